"""One comparison: two sides on the same pictures, in accuracy and latency, and the pictures they disagree on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ... import __version__
from ...core.emulation import is_emulated
from ...core.errors import TemperError, UsageError
from ...core.events import Event, Reporter
from ...deploy.runtimes.load import load_runtime, prepare_runtime
from ...detection.dataset import DataSet
from ...detection.detections import Detections
from ...detection.inspection import FOUND_IOU
from ..accuracy import Readable, detect_pictures, leave_out_unread, unread_warning
from ..candidate import Entrant, in_labels_of
from ..machine import EMULATED, machine_state, machine_warnings, now
from ..measurement import MachineState, UnreadPicture
from ..run import PROGRESS_STEP
from .accuracy import Judged, compare_accuracy, judge_side
from .conditions import FIGURES
from .disagreement import Disagreement, find_disagreements
from .effect import LEVEL, Effect
from .latency import STAGE, LatencyComparison, LatencySettings, MakeWorker, compare_latency
from .side import require_comparable, side_titles

SCHEMA_VERSION = 1
#: The smallest effects of interest: mAP in points, escape rate in points of per cent, false alarms per picture, and the
#: share of a latency.
SMALLEST = {"map": 0.1, "escape": 1.0, "false_alarms": 0.05, "latency": 0.02}
#: Encoded pictures that are kept in memory and cycled through.
PICTURES = 64

Part = Literal["accuracy", "latency"]
PARTS: tuple[Part, ...] = ("accuracy", "latency")


@dataclass(frozen=True)
class ComparisonSettings:
    """How two sides are compared.

    Attributes:
        parts: what is compared.
        level: chance that a difference is claimed of a figure where there is none.
        smallest: effects of interest by the names of :data:`SMALLEST`.
        found_iou: from which IoU on a detection lies on a defect.
        latency: how latencies are measured.
    """

    parts: tuple[Part, ...] = PARTS
    level: float = LEVEL
    smallest: Mapping[str, float] = field(default_factory=lambda: dict(SMALLEST))
    found_iou: float = FOUND_IOU
    latency: LatencySettings = field(default_factory=LatencySettings)


@dataclass(frozen=True, eq=False)
class Looked:
    """What both sides said of the pictures; it is drawn, and not kept as data.

    Attributes:
        data: the pictures that could be read.
        a: what one side said of them.
        b: what the other did.
    """

    data: DataSet
    a: Judged
    b: Judged


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that is known of two sides.

    Attributes:
        a: one side.
        b: the other; verdicts are on it.
        settings: how they were compared.
        data: name of the data set; None where only latency was compared, on A's golden pictures.
        images: pictures that accuracy rests on.
        unread: pictures that could not be read.
        effects: by figure, ``ap``, ..., ``escape_rate``, ``false_alarms``, ``latency``, as far as they were compared.
        latency: what the latency's ratio rests on.
        disagreements: pictures on which the sides disagree.
        machine: before anything was measured.
        warnings: what spoils the comparison.
        started_at: UTC in ISO 8601.
        looked: for drawing; None where accuracy was not compared.
    """

    a: Entrant
    b: Entrant
    settings: ComparisonSettings
    data: str | None
    images: int
    unread: tuple[UnreadPicture, ...]
    effects: Mapping[str, Effect]
    latency: LatencyComparison | None
    disagreements: tuple[Disagreement, ...]
    machine: MachineState
    warnings: tuple[str, ...]
    started_at: str
    looked: Looked | None

    def values(self) -> dict[str, float | None]:
        """The figures that ``--fail-if`` asks about, by name; those that were not compared are not there."""
        values: dict[str, float | None] = {}
        for name in FIGURES:
            effect = self.effects.get(_EFFECT_OF[name])
            if effect is None:
                continue
            change = effect.change
            drop = name.endswith("_drop")
            ends = (None, None, None) if change is None else (change.value, change.low, change.high)
            if drop:
                # B less A the other way round, and so are its ends
                ends = tuple(None if end is None else -end for end in (ends[0], ends[2], ends[1]))  # type: ignore[assignment]
            values |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        return values

    def to_plain(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "temper": __version__,
            "started_at": self.started_at,
            "a": _plain_side(self.a),
            "b": _plain_side(self.b),
            "settings": _plain(self.settings),
            "data": self.data,
            "images": self.images,
            "unread": [_plain(one) for one in self.unread],
            "effects": {name: _plain(effect) for name, effect in self.effects.items()},
            "values": self.values(),
            "starts": [{**_plain(one), "ratio": one.ratio} for one in self.latency.starts] if self.latency else [],
            "samples": self.latency.samples if self.latency else 0,
            "outside_load": _plain(self.latency.outside) if self.latency else None,
            "disagreements": [_plain(one) for one in self.disagreements],
            "machine": _plain(self.machine),
            "warnings": list(self.warnings),
        }


_EFFECT_OF = {
    "map_drop": "ap",
    **{name: name.removesuffix("_drop") for name in FIGURES if name.startswith("ap")},
    "escape_rise": "escape_rate",
    "false_alarms_rise": "false_alarms",
    "latency_ratio": "latency",
}


def figures_compared(settings: ComparisonSettings, has_data: bool) -> set[str]:
    """The names of :data:`FIGURES` that a comparison will give."""
    latency = {"latency_ratio"} if "latency" in settings.parts else set()
    return latency | (set(FIGURES) - {"latency_ratio"} if has_data and "accuracy" in settings.parts else set())


def require_real_processor(settings: ComparisonSettings, has_data: bool, asked: Collection[str] = ()) -> None:
    """Refuse a comparison of latency alone, or a condition on it, where the processor is emulated.

    Args:
        settings: what is to be compared; with accuracy it is compared without latency.
        has_data: whether there are pictures with their truth.
        asked: names of :data:`FIGURES` that something depends on.

    Raises:
        UsageError: saying why.
    """
    latency_alone = "latency" in settings.parts and not (has_data and "accuracy" in settings.parts)
    if (latency_alone or "latency_ratio" in asked) and is_emulated():
        raise UsageError(f"Latency cannot be compared here. {EMULATED}")


def run_comparison(
    a: Entrant,
    b: Entrant,
    data: DataSet | None,
    settings: ComparisonSettings,
    report: Reporter,
    make_b: MakeWorker | None = None,
) -> Comparison:
    """Compare two sides; on an emulated processor without their latency, and a warning says why.

    Args:
        a: one side.
        b: the other.
        data: pictures and truth, with the classes of both; None compares latency alone, on A's golden pictures.
        settings: what and how.
        report: hears of the progress, under the stage ``benchmark``.
        make_b: as in :func:`temper.benchmarks.compare.latency.compare_latency`.

    Raises:
        UsageError: if nothing is left to compare.
        TemperError: if bundles, data and runtimes do not fit together, or a side cannot be measured.
    """
    require_comparable(a, b)
    require_real_processor(settings, data is not None)
    if data is not None:
        if not len(data):
            raise TemperError(f"The data set {data.name or data.image_folder} has no pictures to compare on.")
        data = in_labels_of(a.bundle, data)
    for side in (a, b):
        prepare_runtime(side.subject.runtime, side.bundle, side.variant, side.candidate.batch, report)
    started, machine = now(), machine_state()
    looked, readable = None, None
    effects: dict[str, Effect] = {}
    disagreements: list[Disagreement] = []
    if data is not None and "accuracy" in settings.parts:
        looked, readable = _look(a, b, data, settings, report)
        effects |= compare_accuracy(looked.data, looked.a, looked.b, settings.smallest, settings.level)
        disagreements = find_disagreements(looked.data, looked.a, looked.b, settings.found_iou)
    latency = None
    if "latency" in settings.parts and not machine.emulated:
        pictures = _golden_pictures(a) if data is None else _pictures(readable.data if readable else data)
        latency = compare_latency(
            a, b, pictures, settings.latency, settings.smallest["latency"], settings.level, report, make_b
        )
        effects["latency"] = latency.effect
    if not effects:
        raise UsageError("Nothing is left to compare: accuracy needs pictures with their truth, so give --data.")
    unread = tuple(readable.unread) if readable else ()
    warnings = machine_warnings(machine, latency.outside if latency else None) if "latency" in settings.parts else []
    warnings += unread_warning(unread, len(data) if data is not None else 0)
    for warning in warnings:
        report(Event("warning", STAGE, {"message": warning}))
    return Comparison(
        a=a,
        b=b,
        settings=settings,
        data=None if data is None else data.name or str(data.image_folder),
        images=len(looked.data) if looked else 0,
        unread=unread,
        effects=effects,
        latency=latency,
        disagreements=tuple(disagreements),
        machine=machine,
        warnings=tuple(warnings),
        started_at=started,
        looked=looked,
    )


def _look(
    a: Entrant, b: Entrant, data: DataSet, settings: ComparisonSettings, report: Reporter
) -> tuple[Looked, Readable]:
    """Both sides on all pictures, judged on those that both could read."""
    found: list[list[Detections]] = []
    unread: dict[str, str] = {}
    for number, side in enumerate((a, b)):

        def progress(done: int, _: int, already: int = number * len(data)) -> None:
            if done % PROGRESS_STEP == 0 or done == len(data):
                report(Event("step", STAGE, {"done": already + done, "total": 2 * len(data), "unit": "pictures"}))

        runtime = load_runtime(side.subject.runtime, side.bundle, side.variant, threads=side.candidate.threads)
        try:
            detections, reasons = detect_pictures(side.bundle, side.variant, runtime, data, progress)
        finally:
            runtime.close()
        found.append(detections)
        unread.update(reasons)
    readable = leave_out_unread(data, unread)
    judged = [
        judge_side(
            readable.data,
            [detections[row] for row in readable.rows],
            side.bundle.manifest.thresholds,
            settings.found_iou,
        )
        for side, detections in zip((a, b), found, strict=True)
    ]
    return Looked(readable.data, *judged), readable


def _pictures(data: DataSet) -> list[Path]:
    return [data.image_path(sample).resolve() for sample in data.spread(PICTURES).samples]


def _golden_pictures(side: Entrant) -> list[Path]:
    golden = side.bundle.manifest.golden
    if golden is None:
        raise UsageError(
            f"{side.bundle.path} has no golden pictures to time, and no data was given. Give --data with a data set."
        )
    return [(side.bundle.folder / image.file).resolve() for image in golden.images]


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return plain


def _plain_side(side: Entrant) -> dict[str, Any]:
    return {
        **_plain(side.subject),
        "bundle": str(side.candidate.bundle),
        "manifest_sha256": side.bundle.manifest_sha256,
        "graph_sha256": side.variant.sha256,
        "batch": side.candidate.batch,
        "threads": side.candidate.threads,
    }


def titles(comparison: Comparison) -> tuple[str, str]:
    """How the two sides are called."""
    return side_titles(comparison.a, comparison.b)
