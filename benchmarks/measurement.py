"""Measurements as plain data: one JSON object a line, each saying what was measured and how.

A file of measurements begins with one :class:`BenchmarkRow` (machine, data, settings, bundles) and goes on
with one row per figure or group of figures of a candidate. Reports, tables and plots are pure functions of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ..bundle.manifest import Manifest
from ..core.errors import TemperError
from ..core.files import write_text
from ..detection.inspection import FOUND_IOU
from ..detection.metrics import AccuracyFigures
from .accelerators import GpuState
from .energy.rows import EnergyRow, SoakRow
from .inspection_rows import CurveRow, EscapeRow, FalseAlarmRow, InspectionRow, PrecisionRow, SortingRow
from .latency_rows import Driver, LatencyRow, Scenario, Summary
from .row_lines import read_row_lines
from .subject import STRICT, Kind, Subject

SCHEMA_VERSION = 3
MEASUREMENTS_NAME = "measurements.jsonl"


@dataclass(frozen=True)
class AccuracyRow:
    """COCO figures of one candidate on the data of the file's first row, points from 0 to 100."""

    __pydantic_config__ = STRICT

    subject: Subject
    figures: AccuracyFigures
    detections: str  # file of the detections, below the folder of the measurements
    row: Literal["accuracy"] = "accuracy"
    kind: Kind = "measured"


@dataclass(frozen=True)
class FootprintRow:
    """What one candidate costs apart from its calls.

    Attributes:
        subject: what ran.
        batch: pictures per call.
        file_bytes: size of the graph file.
        load_ms: from a checked bundle to a runtime ready to take a picture; None on an emulated processor, as are
            the next three; the median of the starts.
        first_call_ms: the first call end to end (cold start); the median of the starts.
        peak_memory_mib: most memory of a process that ran the candidate, pictures and libraries included.
        idle_memory_mib: the first such process just before it loaded the candidate.
        runtime_version: version of the runtime.
        load_starts_ms: of every start.
        first_call_starts_ms: of every start.
        intervals: for ``load_ms`` and ``first_call_ms`` the 95 % interval of the median, as far as there is one.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    batch: int
    file_bytes: int
    load_ms: float | None
    first_call_ms: float | None
    peak_memory_mib: float | None
    idle_memory_mib: float | None
    runtime_version: str
    load_starts_ms: tuple[float, ...] = ()
    first_call_starts_ms: tuple[float, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    row: Literal["footprint"] = "footprint"
    kind: Kind = "measured"


@dataclass(frozen=True)
class MachineState:
    """The machine as it was at one moment; None where the system does not tell.

    ``emulated`` says whether the processor is a program that pretends to be one. Then there are no latencies.
    ``visible_gpus`` is ``CUDA_VISIBLE_DEVICES``, where it is set; ``power_mode`` a Jetson's, or the firmware's profile.
    """

    __pydantic_config__ = STRICT

    taken_at: str
    cpu_model: str | None
    architecture: str
    logical_cores: int | None
    physical_cores: int | None
    usable_cores: int
    cpu_quota_cores: float | None
    cpu_features: tuple[str, ...]
    governor: str | None
    frequency_mhz: float | None
    virtual_machine: bool | None
    memory_mib: float
    memory_available_mib: float
    memory_limit_mib: float | None
    load_average: tuple[float, float, float] | None
    other_cpu_share: float | None
    system: str
    kernel: str
    python: str
    packages: dict[str, str]
    emulated: bool | None = None
    gpus: tuple[GpuState, ...] = ()
    visible_gpus: str | None = None
    power_mode: str | None = None


@dataclass(frozen=True)
class LineSettings:
    """The line that candidates have to keep up with.

    Attributes:
        frame_rate_hz: frames that arrive per second.
        deadline_ms: from the arrival of a frame to when its result is due.
        queue: frames that may wait while the candidate is busy; of more the oldest is dropped.
    """

    __pydantic_config__ = STRICT

    frame_rate_hz: float
    deadline_ms: float
    queue: int = 4


@dataclass(frozen=True)
class BenchmarkSettings:
    """How to measure.

    Attributes:
        min_seconds: each candidate is sampled at least this long in each scenario,
        min_samples: and at least this often,
        max_seconds: but no longer than this (the time box).
        rounds: turns that the candidates take, each in a process that is started for it.
        warmup_seconds: longest warm-up of a start.
        pictures: encoded pictures kept in memory and cycled through.
        answer_seconds: a process that says nothing for this long beyond its task is given up.
        found_iou: from which IoU on a detection lies on a defect.
        scenarios: how the work arrives; each is measured by itself.
        driver: who issues the queries; "auto" is LoadGen where it is installed and knows the scenario.
        query_pictures: pictures in a query of multi stream.
        line: the line; needed where ``scenarios`` has it.
        energy_seconds: how long each candidate is run for its energy after the latencies; None leaves that out.
        soak_minutes: how long each is run on after that; None leaves that out.
        minute_seconds: how long a minute of a soak is.
    """

    __pydantic_config__ = STRICT

    min_seconds: float = 3.0
    min_samples: int = 100
    max_seconds: float = 60.0
    rounds: int = 10
    warmup_seconds: float = 5.0
    pictures: int = 64
    answer_seconds: float = 120.0
    found_iou: float = FOUND_IOU
    scenarios: tuple[Scenario, ...] = ("single-stream",)
    driver: Driver | Literal["auto"] = "auto"
    query_pictures: int = 8
    line: LineSettings | None = None
    energy_seconds: float | None = None
    soak_minutes: int | None = None
    minute_seconds: float = 60.0


@dataclass(frozen=True)
class BundleEntry:
    """A bundle that took part, with everything it says of itself."""

    __pydantic_config__ = STRICT

    path: str
    manifest_sha256: str
    manifest: Manifest


@dataclass(frozen=True)
class UnreadPicture:
    """A picture of the data set that could not be read, and why; no figure rests on it."""

    __pydantic_config__ = STRICT

    file: str
    reason: str


@dataclass(frozen=True)
class BenchmarkRow:
    """The first row of a file: what the others have in common.

    ``images`` counts the pictures of the data set; ``unread`` are those of them that no figure rests on. ``incomplete``
    says what cut the benchmark off, if anything did: then rows are missing, or rest on fewer rounds. ``no_energy`` says
    why energy was asked for and is not there for some candidates. ``timing_warnings`` counts those of the ``warnings``
    that are about durations.
    """

    __pydantic_config__ = STRICT

    schema_version: int
    temper: str
    started_at: str
    finished_at: str
    data: str
    data_sha256: str
    images: int
    image_folder: str
    settings: BenchmarkSettings
    bundles: list[BundleEntry]
    machine_before: MachineState
    machine_after: MachineState
    warnings: list[str]
    timing_warnings: int = 0
    unread: list[UnreadPicture] = field(default_factory=list)
    incomplete: str | None = None
    no_energy: str | None = None
    row: Literal["benchmark"] = "benchmark"


Row = BenchmarkRow | LatencyRow | AccuracyRow | FootprintRow | InspectionRow | EnergyRow | SoakRow


@dataclass(frozen=True)
class Measurements:
    """The rows of one file, by kind."""

    benchmark: BenchmarkRow
    latency: tuple[LatencyRow, ...]
    accuracy: tuple[AccuracyRow, ...]
    footprint: tuple[FootprintRow, ...]
    precision: tuple[PrecisionRow, ...] = ()
    escape: tuple[EscapeRow, ...] = ()
    false_alarms: tuple[FalseAlarmRow, ...] = ()
    sorting: tuple[SortingRow, ...] = ()
    curves: tuple[CurveRow, ...] = ()
    energy: tuple[EnergyRow, ...] = ()
    soak: tuple[SoakRow, ...] = ()


def to_plain(row: Row | Summary | MachineState | BenchmarkSettings) -> dict[str, Any]:
    """A row as plain JSON values."""
    plain: dict[str, Any] = TypeAdapter(type(row)).dump_python(row, mode="json")
    return plain


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, all or none; the :class:`BenchmarkRow` comes first."""
    lines = [json.dumps(to_plain(row), ensure_ascii=False, allow_nan=False) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def read_rows(path: Path) -> Measurements:
    """Read a file written by :func:`write_rows`.

    Raises:
        TemperError: naming the file and line if it is missing, damaged, or of another schema.
    """
    missing = f"There are no measurements at {path}. Make them with 'temper bench run'."
    rows = read_row_lines(path, lambda plain: _checked(plain, path), missing=missing, again="Measure again.")
    if not rows or not isinstance(rows[0], BenchmarkRow):
        raise TemperError(f"{path} does not begin with a benchmark row. Measure again with 'temper bench run'.")
    return Measurements(
        benchmark=rows[0],
        latency=tuple(row for row in rows if isinstance(row, LatencyRow)),
        accuracy=tuple(row for row in rows if isinstance(row, AccuracyRow)),
        footprint=tuple(row for row in rows if isinstance(row, FootprintRow)),
        precision=tuple(row for row in rows if isinstance(row, PrecisionRow)),
        escape=tuple(row for row in rows if isinstance(row, EscapeRow)),
        false_alarms=tuple(row for row in rows if isinstance(row, FalseAlarmRow)),
        sorting=tuple(row for row in rows if isinstance(row, SortingRow)),
        curves=tuple(row for row in rows if isinstance(row, CurveRow)),
        energy=tuple(row for row in rows if isinstance(row, EnergyRow)),
        soak=tuple(row for row in rows if isinstance(row, SoakRow)),
    )


def _checked(plain: Any, path: Path) -> Row:
    version = plain.get("schema_version", SCHEMA_VERSION) if isinstance(plain, dict) else None
    if version != SCHEMA_VERSION:
        raise TemperError(
            f"{path} has measurements of schema {version}; this Temper reads {SCHEMA_VERSION}. "
            "Measure again with 'temper bench run'."
        )
    return _row_adapter().validate_python(plain)


@cache
def _row_adapter() -> TypeAdapter[Row]:
    return TypeAdapter(Annotated[Row, Field(discriminator="row")])
