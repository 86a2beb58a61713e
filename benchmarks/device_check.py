"""Does a bundle detect on this device what it should? Parity and accuracy on one runtime, written down to be shared.

Every graph runs on the runtime in question and, as the reference, on ONNX Runtime on the processor: the same pictures,
one at a time, as on the line. Without a data set the pictures are made up, and there is no mAP.

The result lies beside the bundle as ``NAME.check-RUNTIME.json``. It holds figures, versions and hashes; no picture, no
path and no name of a person or a host.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..bundle.loader import Bundle
from ..bundle.manifest import BUNDLE_SUFFIX, Manifest, Variant
from ..core.errors import MissingDependencyError, TemperError, UsageError
from ..core.events import Event, Reporter
from ..core.files import write_json
from ..deploy.check import answer_faults, check_pictures
from ..deploy.compare import TOLERANCES, Comparison, Tolerance, different_in_batch, tolerance_dict
from ..deploy.detector import BundleDetector
from ..deploy.engines.build import ensure_engine
from ..deploy.engines.record import engines_folder
from ..deploy.golden import replay_golden
from ..deploy.runtimes.base import Runtime
from ..deploy.runtimes.load import DEFAULT_RUNTIME, load_runtime, runtime_kind
from ..deploy.runtimes.tensorrt import TensorRt
from ..detection.dataset import DataSet
from ..detection.detections import Detections
from ..detection.images import read_sample
from ..detection.metrics import AccuracyFigures, evaluate
from .candidate import in_labels_of
from .machine import machine_state, now

STAGE = "check"
SCHEMA_VERSION = 1
#: Pictures made up where there is no data set, and pictures in the batch that must equal them one by one.
MADE_UP = 8
BATCH = 8
_PROGRESS_STEP = 10
_MOST_FAULTS = 3


@dataclass(frozen=True)
class VariantResult:
    """How one graph did on the runtime.

    Attributes:
        variant: its name.
        faults: what is wrong, a clause each; none means that it passed, or was not tried.
        skipped: why it was not tried; None if it was.
        record: the figures, as plain JSON values.
    """

    variant: str
    faults: tuple[str, ...]
    skipped: str | None
    record: dict[str, Any]


@dataclass(frozen=True)
class DeviceCheck:
    """The check of a bundle on one runtime: its results, and the file they were written to, or why it was not."""

    results: tuple[VariantResult, ...]
    path: Path
    unwritten: str | None = None

    @property
    def passed(self) -> bool:
        """Whether something was tried and nothing was wrong."""
        tried = [result for result in self.results if result.skipped is None]
        return bool(tried) and not any(result.faults for result in tried)


def check_on_device(
    bundle: Bundle,
    runtime: str,
    data: DataSet | None,
    report: Reporter,
    *,
    threads: int | None = None,
    folder: Path | None = None,
) -> DeviceCheck:
    """Check every graph of a bundle that a runtime is meant for, and write the result beside the bundle.

    A bundle may lie where nothing can be written. That costs the file and not the verdict: ``unwritten`` says why.

    Args:
        bundle: opened, so its hashes are checked.
        runtime: a name in the runtimes' registry.
        data: pictures and truth; None makes pictures up, and leaves mAP out.
        report: hears of the progress, under the stage ``check``.
        threads: of the runtime; None lets it choose.
        folder: for the result; None is the bundle's.

    Raises:
        UsageError: if there is no such runtime.
        MissingDependencyError: if it is not on this machine.
        TemperError: if the data does not fit the bundle, or a picture cannot be read.
    """
    kind = runtime_kind(runtime)
    absence = kind.absence()
    if absence:
        raise MissingDependencyError(absence)
    if data is not None:
        data = in_labels_of(bundle, data)
        if not len(data):
            raise UsageError(f"The data set {data.name} has no pictures, so nothing can be checked on it.")
    machine = machine_state(sample_seconds=0)
    results = []
    for variant in bundle.manifest.variants:
        if variant.target not in kind.targets:
            results.append(VariantResult(variant.name, (), f"made for {variant.target}", _identity(variant)))
            continue
        check = _Check(bundle, variant, runtime, threads, data, report)
        results.append(check.run())
    path = result_path(bundle, runtime, folder)
    done = DeviceCheck(tuple(results), path)
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "measured",
        "temper": __version__,
        "checked_at": now(),
        "passed": done.passed,
        "runtime": runtime,
        "reference": DEFAULT_RUNTIME,
        "bundle": {"name": bundle.manifest.name, "manifest_sha256": bundle.manifest_sha256},
        "data_sha256": None if data is None else data.content_hash(),
        "machine": asdict(machine),
        "variants": [
            {
                **result.record,
                "passed": not result.faults and result.skipped is None,
                "skipped": result.skipped,
                "faults": list(result.faults),
            }
            for result in results
        ],
    }
    try:
        write_json(path, record)
    except TemperError as error:
        return replace(done, unwritten=str(error))
    return done


def result_path(bundle: Bundle, runtime: str, folder: Path | None = None) -> Path:
    """Where the result of a check lies: in a folder, or beside the bundle."""
    whole = bundle.path.resolve()
    name = whole.name.removesuffix(".zip").removesuffix(BUNDLE_SUFFIX)
    return (folder or whole.parent) / f"{name}.check-{runtime}.json"


@dataclass(frozen=True)
class _Check:
    """One graph on one runtime."""

    bundle: Bundle
    variant: Variant
    runtime: str
    threads: int | None
    data: DataSet | None
    report: Reporter

    @property
    def manifest(self) -> Manifest:
        """The bundle's, at the size of this graph."""
        return self.bundle.manifest.at_size_of(self.variant)

    @property
    def tolerance(self) -> Tolerance:
        """Of the graph's precision."""
        return TOLERANCES[self.variant.precision]

    def run(self) -> VariantResult:
        record = _identity(self.variant)
        try:
            faults = self._measure(record)
        except TemperError as error:
            faults = [without_folders(str(error), self.bundle).rstrip(".")]
        return VariantResult(self.variant.name, tuple(faults), None, record)

    def _measure(self, record: dict[str, Any]) -> list[str]:
        """Fill the record; gives what is wrong."""
        if self.runtime == TensorRt.name:
            engine = ensure_engine(self.bundle, self.variant, report=self.report)
            record["engine"] = engine.record.model_dump(mode="json")
        with contextlib.ExitStack() as stack:
            tested = self._load(self.runtime, stack)
            record["runtime_version"] = tested.version
            # on the reference itself there is nothing to compare with
            reference = None if self.runtime == DEFAULT_RUNTIME else self._load(DEFAULT_RUNTIME, stack)
            record["reference_version"] = None if reference is None else reference.version
            faults = self._run_pictures(BundleDetector(self.bundle, self.variant, tested), reference, record)
            replay = replay_golden(self.bundle, self.variant, tested)
            record["golden"] = None if replay is None else asdict(replay)
            faults += [replay.fault] if replay is not None and replay.fault else []
            faults += self._check_batch(BundleDetector(self.bundle, self.variant, tested), record)
            record["notes"] = [without_folders(note, self.bundle) for note in tested.notes]
        return faults

    def _load(self, name: str, stack: contextlib.ExitStack) -> Runtime:
        runtime = load_runtime(name, self.bundle, self.variant, threads=self.threads, report=self.report)
        stack.callback(runtime.close)
        return runtime

    def _run_pictures(self, detector: BundleDetector, reference: Runtime | None, record: dict[str, Any]) -> list[str]:
        comparison = Comparison(self.bundle.manifest.score_floor)
        faults: list[str] = []
        found: dict[str, list[Detections]] = {"runtime": [], "reference": []}
        total = MADE_UP if self.data is None else len(self.data)
        for index in range(total):
            image = self._image(index)
            picture = detector.to_input(image)[np.newaxis]
            ours = detector.runtime.infer(picture)
            faults += answer_faults(ours, self.manifest)
            found["runtime"].append(detector.to_detections(ours, 0, image, ""))
            if reference is not None:
                theirs = reference.infer(picture)
                comparison.add(theirs, ours)
                found["reference"].append(detector.to_detections(theirs, 0, image, ""))
            if (index + 1) % _PROGRESS_STEP == 0 or index + 1 == total:
                self.report(Event("step", STAGE, {"done": index + 1, "total": total, "unit": "pictures"}))
        faults = _first_few(list(dict.fromkeys(faults)))
        record["pictures"] = total
        record["tolerance"] = tolerance_dict(self.tolerance)
        record["comparison"] = None if reference is None else comparison.to_dict()
        least = self.tolerance.matched_share
        if comparison.matched_share < least:
            faults.append(
                f"{comparison.matched_share:.1%} of the detections have a partner in the reference's, at least "
                f"{least:.0%} should"
            )
        if self.data is not None:
            figures = {name: evaluate(self.data, detections) for name, detections in found.items() if detections}
            faults += self._judge_accuracy(figures, record)
        return faults

    def _judge_accuracy(self, figures: dict[str, AccuracyFigures], record: dict[str, Any]) -> list[str]:
        at_export = self.variant.accuracy
        record["accuracy"] = {name: one.to_dict() for name, one in figures.items()}
        record["accuracy"]["ap_at_export"] = None if at_export is None else at_export.ap
        ours, theirs = (figures[name].ap if name in figures else None for name in ("runtime", "reference"))
        most = self.tolerance.map_points
        if ours is not None and theirs is not None and abs(ours - theirs) > most:
            return [f"mAP is {ours:.1f} and the reference's {theirs:.1f}, further apart than {most:g} points"]
        return []

    def _check_batch(self, detector: BundleDetector, record: dict[str, Any]) -> list[str]:
        """Whether pictures in a batch get the answers they get alone."""
        count = MADE_UP if self.data is None else len(self.data)
        images = np.stack([detector.to_input(self._image(index % count)) for index in range(BATCH)])
        floor = self.bundle.manifest.score_floor
        try:
            _, different = different_in_batch(detector.runtime, images, floor, self.tolerance.batch)
        except UsageError as error:
            record["batch"] = {"size": BATCH, "same": None, "not_tried": without_folders(str(error), self.bundle)}
            return []
        record["batch"] = {"size": BATCH, "same": not different, "not_tried": None}
        if not different:
            return []
        return [f"{len(different)} of {BATCH} pictures get another answer in a batch than alone"]

    @functools.cached_property
    def _made_up(self) -> NDArray[np.uint8]:
        return made_up_pictures(self.manifest)

    def _image(self, index: int) -> NDArray[np.uint8]:
        if self.data is None:
            return self._made_up[index]
        return read_sample(self.data, self.data.samples[index], self.bundle.manifest.input.channels)


def made_up_pictures(manifest: Manifest) -> NDArray[np.uint8]:
    """Pictures at the manifest's size, the same on every machine: those of the quick check, mirrored and dimmed.

    Returns:
        uint8 [8, H, W] or [8, H, W, 3].
    """
    two = check_pictures(manifest)
    dimmed = (two // 2 + 20).astype(np.uint8)
    return np.concatenate([two, two[:, :, ::-1], dimmed, dimmed[:, ::-1]])


def summary_line(result: VariantResult, runtime: str) -> str:
    """What the check of one graph came to, in a line."""
    title = f"{result.variant} on {runtime}"
    if result.skipped:
        return f"{title}  not tried: {result.skipped}"
    if result.faults:
        return f"{title}  failed: {'; '.join(result.faults)}"
    words = [f"{result.record['pictures']} pictures"]
    comparison = result.record["comparison"]
    if comparison is not None:
        found = f"{comparison['matched_share']:.1%} of the detections found again"
        detected = comparison["matched"] + comparison["unmatched"]
        words.append(found if detected else "nothing detected, so nothing to find again")
        scores, boxes = (comparison[name]["largest"] for name in ("scores_of_matched", "box_edges_of_matched_px"))
        if scores is not None:
            words.append(f"scores off by {scores:.1e}, boxes by {boxes:.1e} px")
    accuracy = result.record.get("accuracy", {})
    for name, who in (("runtime", "here"), ("reference", f"on {DEFAULT_RUNTIME}"), ("at_export", "at export")):
        ap = accuracy["ap_at_export"] if name == "at_export" and accuracy else accuracy.get(name, {}).get("ap")
        if ap is not None:
            words.append(f"mAP {ap:.2f} {who}")
    return f"{title}  ok: {', '.join(words)}"


def without_folders(message: str, bundle: Bundle) -> str:
    """A message as it may be passed on: of a path, no folder that tells of the machine or of who works on it.

    Paths into the bundle and its engines begin with the bundle's name, those into the home folder with ``~``.
    """
    beside = engines_folder(bundle.path)
    places = {
        bundle.folder: bundle.path.name,
        bundle.path: bundle.path.name,
        beside: beside.name,
        Path.home(): "~",
        # what else lies beside the bundle; a relative folder says nothing of the machine
        bundle.path.absolute().parent: "",
    }
    names: dict[str, str] = {}
    for place, name in places.items():
        for spelling in (place, place.absolute(), place.resolve()):
            if spelling.is_absolute() and len(spelling.parts) > 1:
                names.setdefault(str(spelling), name)
    # the longest first: the home folder holds the others
    for known in sorted(names, key=len, reverse=True):
        name = names[known]
        # up to the end of a folder's name, so that /home/ann leaves /home/anna alone
        ending = "/" if not name else r"(?![\w-])"
        message = re.sub(rf"(?<![\w.~-]){re.escape(known)}{ending}", name.replace("\\", r"\\"), message)
    return message


def _first_few(faults: list[str]) -> list[str]:
    """The first of many: every picture may word the same fault with other numbers."""
    return (
        faults
        if len(faults) <= _MOST_FAULTS
        else [*faults[:_MOST_FAULTS], f"{len(faults) - _MOST_FAULTS} more like these"]
    )


def _identity(variant: Variant) -> dict[str, Any]:
    return {"variant": variant.name, "precision": variant.precision, "graph_sha256": variant.sha256}


def runtimes_to_check(named: Sequence[str], there: Sequence[str]) -> list[str]:
    """The runtimes asked for; without any, those of this machine that build nothing first."""
    return list(dict.fromkeys(named)) or [name for name in there if not runtime_kind(name).builds]
