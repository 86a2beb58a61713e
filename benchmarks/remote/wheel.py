"""The wheel of the very Temper that asks, what an environment over there needs, and how to fetch that for it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shlex
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from pathlib import Path

from ...core.errors import TemperError, UsageError

_PACKAGE = "temper"
_TAG = "py3-none-any"
_WHEEL_FILE = f"Wheel-Version: 1.0\nGenerator: {_PACKAGE}\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
#: What an installer leaves beside the files of a wheel.
_OF_THE_INSTALLER = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: Extras that runtimes need; onnxruntime-gpu takes the place of its twin and is no extra here.
_EXTRAS = {"openvino": "openvino", "tensorrt": "tensorrt"}
#: Reads a GPU's sensors. A Jetson's jetson-stats belongs to its system, whose packages the environment sees.
_SENSORS_REQUIREMENT = "nvidia-ml-py>=13"
_GPU_RUNTIMES = ("onnxruntime-cuda", "onnxruntime-tensorrt")
_GPU_REQUIREMENT = "onnxruntime-gpu>=1.18"
#: What the requirements of older Pythons are beyond those of newer: pip asks for those of the Python it runs on.
_LEFT_OUT = {"3.10": ("tomli>=2",)}
#: The second numbers of glibc 2.x that wheels are built for.
_GLIBC = (39, 35, 34, 31, 28, 27, 26, 24, 17)


@dataclass(frozen=True)
class Wheel:
    """A wheel of Temper: its file name, its bytes, and what its metadata says it requires."""

    name: str
    content: bytes
    requires: tuple[str, ...]


def installed_wheel() -> Wheel:
    """The installed Temper, packed into a wheel again; equal files give equal bytes.

    Raises:
        TemperError: if what is installed only points at a source tree, or is not installed at all.
    """
    try:
        distribution = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        distribution = None
    contents = {} if distribution is None else _contents(distribution)
    if distribution is None or f"{_PACKAGE}/__init__.py" not in contents:
        raise TemperError(
            "This Temper runs from a source tree and is not installed as a wheel would be, so it cannot be sent. "
            "Build one with 'pip wheel --no-deps .' in that tree and give it with --wheel."
        )
    info = f"{_PACKAGE}-{distribution.version}.dist-info"
    contents[f"{info}/WHEEL"] = _WHEEL_FILE.encode()
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_urlsafe(content)},{len(content)}" for name, content in sorted(contents.items())]
    contents[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*sorted(contents.keys() - {record}), record):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[name])
    name = f"{_PACKAGE}-{distribution.version}-{_TAG}.whl"
    return Wheel(name, packed.getvalue(), tuple(distribution.requires or ()))


def _contents(distribution: metadata.Distribution) -> dict[str, bytes]:
    """The files of the installed wheel by their name in it."""
    contents = {}
    info = f"{_PACKAGE}-{distribution.version}.dist-info"
    for file in distribution.files or ():
        top = file.parts[0]
        inside = top == _PACKAGE or (top == info and file.parts[-1] not in _OF_THE_INSTALLER)
        if inside and "__pycache__" not in file.parts and file.suffix != ".pyc":
            contents[file.as_posix()] = Path(str(distribution.locate_file(file))).read_bytes()
    return contents


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")


def read_wheel(path: Path) -> Wheel:
    """A wheel of Temper from a file.

    Raises:
        UsageError: if it is not one.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = next(name for name in archive.namelist() if re.fullmatch(r"temper-[^/]*\.dist-info/METADATA", name))
            fields = Parser().parsestr(archive.read(name).decode("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no wheel {path}.") from error
    except (OSError, zipfile.BadZipFile, StopIteration, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no wheel of Temper. Build one with 'pip wheel --no-deps .'.") from error
    return Wheel(path.name, content, tuple(fields.get_all("Requires-Dist", ())))


def base_requirements(requires: Iterable[str], extras: Sequence[str] = ()) -> list[str]:
    """The requirements of the package without extras, and of these extras, as pip takes them."""
    wanted = []
    for requirement in requires:
        needs = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if needs is None or needs[1] in extras:
            wanted.append(re.sub(r"\s*(;|and)\s*extra\s*==\s*['\"][^'\"]+['\"]\s*$", "", requirement).strip())
    return wanted


def extras_for(runtimes: Iterable[str]) -> list[str]:
    """The extras of Temper that these runtimes need."""
    return sorted({_EXTRAS[runtime] for runtime in runtimes if runtime in _EXTRAS})


def needs_gpu(runtimes: Iterable[str]) -> bool:
    """Whether ONNX Runtime has to be the one for GPUs."""
    return any(runtime in _GPU_RUNTIMES for runtime in runtimes)


def install_words(
    wheel: Mapping[str, str], find_links: Mapping[str, str] | None, runtimes: Sequence[str], *, sensors: bool = False
) -> list[list[str | dict[str, str]]]:
    """What the environment's Python runs to get Temper and all it needs.

    Args:
        wheel: the place of the wheel: ``{"path": below the folder}``.
        find_links: the place of a folder of wheels; None lets pip ask its index.
        runtimes: that will be measured.
        sensors: whether a GPU's are to be read, too.
    """
    extras = extras_for(runtimes)
    links: list[str | dict[str, str]] = [] if find_links is None else ["--no-index", "--find-links", dict(find_links)]
    install: list[str | dict[str, str]] = ["-m", "pip", "install", *links]
    whole = {**wheel, "more": f"[{','.join(extras)}]" if extras else ""}
    words = [[*install, whole]]
    words += [[*install, _SENSORS_REQUIREMENT]] if sensors else []
    if needs_gpu(runtimes):
        words += [["-m", "pip", "uninstall", "--yes", "onnxruntime"], [*install, "--no-deps", _GPU_REQUIREMENT]]
    return words


def update_words(wheel: Mapping[str, str]) -> list[list[str | dict[str, str]]]:
    """What brings Temper alone up to date."""
    return [["-m", "pip", "install", "--no-index", "--no-deps", "--force-reinstall", dict(wheel)]]


def download_command(
    requires: Sequence[str],
    runtimes: Sequence[str],
    *,
    sensors: bool = False,
    python: str,
    machine: str,
    glibc: str,
    folder: Path | None,
) -> str:
    """The command that fetches wheels for a machine without internet.

    Args:
        requires: of the wheel's metadata.
        runtimes: that will be measured.
        sensors: whether a GPU's are to be read, too.
        python: version over there: "3.10.12".
        machine: architecture over there: "aarch64".
        glibc: version over there: "2.35".
        folder: where they go; ``wheels`` if None.
    """
    wanted = [_for_machine(one, machine) for one in base_requirements(requires, extras_for(runtimes))]
    wanted = [one for one in wanted if one] + list(_LEFT_OUT.get(".".join(python.split(".")[:2]), ()))
    if needs_gpu(runtimes):
        wanted.append(_GPU_REQUIREMENT)
    wanted += [_SENSORS_REQUIREMENT] if sensors else []
    newest = int(glibc.split(".")[1]) if re.fullmatch(r"2\.\d{1,3}", glibc) else 17
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC if minor <= newest] + [f"manylinux2014_{machine}"]
    words = ["pip", "download", "--dest", str(folder or "wheels"), "--only-binary", ":all:", "--implementation", "cp"]
    words += ["--python-version", ".".join(python.split(".")[:2])]
    for one in platforms:
        words += ["--platform", one]
    return shlex.join([*words, *wanted])


def _for_machine(requirement: str, machine: str) -> str:
    """A requirement without its marker about the architecture, which pip asks of where it runs; empty if unmet."""
    found = re.search(r"\s*;\s*platform_machine\s*==\s*['\"](\w+)['\"]\s*$", requirement)
    if found is None:
        return requirement
    return requirement[: found.start()] if found[1] == machine else ""


def fits(name: str, machine: str) -> bool:
    """Whether a wheel of this file name is for machines of this architecture."""
    tags = name.removesuffix(".whl").rsplit("-", 1)[-1].split(".")
    return any(tag == "any" or tag.endswith(f"_{machine}") for tag in tags)
