"""What is to be measured on every machine: the files that go there, and the words of the benchmark over there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...bundle.loader import Bundle, open_bundle
from ...bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME
from ...core.errors import TemperError, UsageError
from ...core.files import sha256_file, sha256_json
from ...detection.dataset import DataSet, to_coco
from ..candidate import in_labels_of, list_candidates, open_candidates
from .hosts import Host
from .wheel import Wheel, fits

DEFAULT_FOLDER = "~/.cache/temper/remote"
_KEY_DIGITS = 16


@dataclass(frozen=True)
class Cargo:
    """One file that goes to a machine.

    Attributes:
        path: where it belongs below the folder there, with forward slashes.
        source: the file here, or its bytes.
        sha256: of its content.
        size: in bytes.
    """

    path: str
    source: Path | bytes
    sha256: str
    size: int

    @classmethod
    def of_file(cls, path: str, source: Path) -> Cargo:
        """A file of this machine.

        Raises:
            TemperError: if it cannot be read.
        """
        try:
            return cls(path, source, sha256_file(source), source.stat().st_size)
        except OSError as error:
            raise TemperError(f"{source} cannot be read, so it cannot be sent: {error.strerror}.") from error

    @classmethod
    def of_bytes(cls, path: str, content: bytes) -> Cargo:
        """Content that lies in no file."""
        return cls(path, content, hashlib.sha256(content).hexdigest(), len(content))


@dataclass(frozen=True)
class Asked:
    """What is to be measured where a machine has no wishes of its own, as ``temper bench run`` takes it.

    Attributes:
        runtimes: names in the runtimes' registry.
        precisions: precisions or names of variants; none given means all.
        batches: pictures per call.
        options: further words of ``temper bench run``.
    """

    runtimes: tuple[str, ...] = ("onnxruntime",)
    precisions: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1,)
    options: tuple[str, ...] = ()

    @property
    def reads_sensors(self) -> bool:
        """Whether energy or heat is asked for."""
        return "--energy" in self.options or "--soak" in self.options

    def on(self, host: Host) -> Asked:
        """The same with the wishes of a machine."""
        return Asked(
            host.runtimes or self.runtimes,
            host.precisions or self.precisions,
            host.batches or self.batches,
            self.options,
        )


@dataclass(frozen=True)
class Order:
    """Everything that all machines have in common.

    Attributes:
        cargo: the files that go to every machine.
        wheels: those of a folder of wheels for machines without internet; None if none was given.
        wheels_folder: that folder.
        wheel: of Temper.
        wheel_path: where it lies over there.
        supervisor: where the program lies that runs the benchmark.
        asked: what to measure.
        bundles: where the bundles lie over there.
        data: where the data lies over there.
        split: of the data.
        public_key: where the public keys lie over there, if the bundles have to be signed.
        manifests: SHA-256 of every bundle's manifest by its name: what the results have to name.
        data_sha256: likewise of the data.
    """

    cargo: tuple[Cargo, ...]
    wheels: tuple[Cargo, ...] | None
    wheels_folder: Path | None
    wheel: Wheel
    wheel_path: str
    supervisor: str
    asked: Asked
    bundles: tuple[str, ...]
    data: str
    split: str
    public_key: str | None
    manifests: Mapping[str, str]
    data_sha256: str

    def words(self, host: Host) -> list[str | dict[str, str]]:
        """What Python runs over there; ``{"path": ...}`` is a path below the folder."""
        asked = self.asked.on(host)
        words: list[str | dict[str, str]] = ["-m", "temper", "bench", "run"]
        for bundle in self.bundles:
            words.append({"path": bundle})
        words += ["--data", {"path": self.data}, "--split", self.split, "--history", "none", "--json"]
        for option, values in (
            ("--runtime", asked.runtimes),
            ("--precision", asked.precisions),
            ("--batch", asked.batches),
        ):
            for value in values:
                words += [option, str(value)]
        if self.public_key is not None:
            words += ["--public-key", {"path": self.public_key}]
        return [*words, *asked.options]

    def job(self, host: Host) -> str:
        """The name of a machine's job: equal for what would be measured the same way."""
        sent = sorted((cargo.path, cargo.sha256) for cargo in self.cargo)
        return sha256_json([sent, self.words(host)])[:_KEY_DIGITS]

    def wheels_for(self, machine: str) -> tuple[list[Cargo], str | None]:
        """The wheels that fit an architecture, and where they lie over there; nothing and None without a folder."""
        if self.wheels is None:
            return [], None
        chosen = [cargo for cargo in self.wheels if fits(cargo.path, machine)]
        place = f"wheels/{sha256_json(sorted(cargo.sha256 for cargo in chosen))[:_KEY_DIGITS]}"
        return [Cargo(f"{place}/{one.path}", one.source, one.sha256, one.size) for one in chosen], place


def make_order(
    bundles: Sequence[Path],
    data: DataSet,
    split: str,
    asked: Asked,
    hosts: Sequence[Host],
    wheel: Wheel,
    *,
    wheels: Path | None = None,
    public_key: Path | None = None,
) -> Order:
    """Open and check what is to be measured, and list what has to be sent; nothing is sent yet.

    Args:
        bundles: folders or zips.
        data: the pictures and their truth.
        split: what the data is called.
        asked: what to measure.
        hosts: the machines, whose own wishes are checked too.
        wheel: of Temper.
        wheels: a folder of wheels for machines without internet.
        public_key: file of the keys that the bundles have to be signed with.

    Raises:
        UsageError: if a bundle has nothing that was asked for, or there is no such runtime, folder or wheel.
        TemperError: if a bundle or a picture cannot be used.
    """
    _check(bundles, data, asked, hosts, public_key)
    cargo: list[Cargo] = []
    places, manifests = [], {}
    for path in dict.fromkeys(bundles):
        with open_bundle(path, public_key) as bundle:
            if bundle.manifest.name in manifests:
                raise UsageError(f"Two bundles are called '{bundle.manifest.name}'; measure them in two runs.")
            manifests[bundle.manifest.name] = bundle.manifest_sha256
            places.append(_place_bundle(bundle, cargo))
    data_place = _place_data(data, split, cargo)
    wheel_path = _place_bytes("wheel", wheel.name, wheel.content, cargo)
    supervisor = Path(__file__).with_name("supervisor.py")
    program = _place_bytes("programs", supervisor.name, supervisor.read_bytes(), cargo)
    key = None if public_key is None else _place_bytes("keys", "public.pem", public_key.read_bytes(), cargo)
    return Order(
        cargo=tuple(cargo),
        wheels=None if wheels is None else _wheels(wheels),
        wheels_folder=wheels,
        wheel=wheel,
        wheel_path=wheel_path,
        supervisor=program,
        asked=asked,
        bundles=tuple(places),
        data=data_place,
        split=split,
        public_key=key,
        manifests=manifests,
        data_sha256=_data_sha256(bundles, data, public_key),
    )


def _check(
    bundles: Sequence[Path], data: DataSet, asked: Asked, hosts: Sequence[Host], public_key: Path | None
) -> None:
    """Find wrong use before anything goes over the wire."""
    if not len(data):
        raise TemperError(f"The data set {data.name} has no pictures, so nothing can be measured on it.")
    for number, own in enumerate(dict.fromkeys(asked.on(host) for host in hosts)):
        candidates = list_candidates(
            bundles, precisions=own.precisions, runtimes=own.runtimes, batch_sizes=own.batches, public_key=public_key
        )
        if number == 0:  # what bundles and data have to do with each other is the same for all machines
            open_candidates(candidates, data)


def _data_sha256(bundles: Sequence[Path], data: DataSet, public_key: Path | None) -> str:
    """What the results will call the data: in the labels of the first bundle."""
    with open_bundle(bundles[0], public_key) as first:
        return in_labels_of(first, data).content_hash()


def _place_bundle(bundle: Bundle, cargo: list[Cargo]) -> str:
    place = f"bundles/{bundle.manifest_sha256[:_KEY_DIGITS]}"
    if bundle.folder != bundle.path:  # a zip file stays one
        cargo.append(Cargo.of_file(f"{place}/{bundle.path.name}", bundle.path))
        return f"{place}/{bundle.path.name}"
    place = f"{place}/{bundle.path.resolve().name}"
    names = [MANIFEST_NAME, *([SIGNATURE_NAME] if (bundle.folder / SIGNATURE_NAME).is_file() else [])]
    for name in [*names, *(file.file for file in bundle.manifest.files())]:
        cargo.append(Cargo.of_file(f"{place}/{name}", bundle.folder / name))
    return place


def _place_data(data: DataSet, split: str, cargo: list[Cargo]) -> str:
    """The split's annotations, and its pictures: under the name of its folder here, which results repeat."""
    annotations = (json.dumps(to_coco(data), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    pictures = []
    for name in dict.fromkeys(sample.file_name for sample in data.samples):
        path = data.image_folder / name
        if path.is_file():  # one that is missing is told of by the benchmark, as at home
            pictures.append(Cargo.of_file(f"images/{PurePosixPath(name)}", path))
    content = sha256_json([data.content_hash(), split, sorted((one.path, one.sha256) for one in pictures)])
    name = data.image_folder.parent.name or "data"
    place = f"data/{content[:_KEY_DIGITS]}/{name}"
    cargo.append(Cargo.of_bytes(f"{place}/annotations/{split}.json", annotations))
    cargo += [Cargo(f"{place}/{one.path}", one.source, one.sha256, one.size) for one in pictures]
    return place


def _place_bytes(folder: str, name: str, content: bytes, cargo: list[Cargo]) -> str:
    place = f"{folder}/{hashlib.sha256(content).hexdigest()[:_KEY_DIGITS]}/{name}"
    cargo.append(Cargo.of_bytes(place, content))
    return place


def _wheels(folder: Path) -> tuple[Cargo, ...]:
    if not folder.is_dir():
        raise UsageError(f"There is no folder of wheels {folder}.")
    found = tuple(Cargo.of_file(path.name, path) for path in sorted(folder.glob("*.whl")))
    if not found:
        raise UsageError(f"{folder} has no wheels (*.whl) in it. 'pip download --dest {folder} …' puts some there.")
    return found
