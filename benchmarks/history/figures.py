"""What the history keeps of a benchmark: every figure of every candidate with its interval, as flat rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ...core.files import sha256_json
from ...detection.intervals import Estimate
from ..candidate import REFERENCE
from ..energy.leading import leading_energy
from ..latency_rows import LatencyRow
from ..measurement import FootprintRow, MachineState, Measurements, to_plain
from ..round_bootstrap import FEWEST_ROUNDS
from ..subject import Subject


@dataclass(frozen=True)
class FigureKind:
    """A figure that the history shows.

    Attributes:
        title: what readers know it by.
        unit: of its values.
        better: whether more or less of it is better.
        form: how it is written.
    """

    title: str
    unit: str
    better: Literal["more", "less"]
    form: str


FIGURES: dict[str, FigureKind] = {
    "p50": FigureKind("median latency", "ms", "less", ".2f"),
    "mean": FigureKind("mean latency", "ms", "less", ".2f"),
    "p90": FigureKind("90th percentile of the latency", "ms", "less", ".2f"),
    "p99": FigureKind("99th percentile of the latency", "ms", "less", ".2f"),
    "p999": FigureKind("99.9th percentile of the latency", "ms", "less", ".2f"),
    "jitter": FigureKind("jitter", "ms", "less", ".2f"),
    "throughput": FigureKind("throughput", "pictures a second", "more", ".1f"),
    "map": FigureKind("mAP", "points", "more", ".1f"),
    "ap50": FigureKind("AP50", "points", "more", ".1f"),
    "ap75": FigureKind("AP75", "points", "more", ".1f"),
    "ap_small": FigureKind("AP small", "points", "more", ".1f"),
    "ap_medium": FigureKind("AP medium", "points", "more", ".1f"),
    "ap_large": FigureKind("AP large", "points", "more", ".1f"),
    "escape_rate": FigureKind("escape rate", "%", "less", ".1f"),
    "false_alarms": FigureKind("false alarms per picture", "", "less", ".2f"),
    "load": FigureKind("load time", "ms", "less", ".0f"),
    "first_call": FigureKind("first call", "ms", "less", ".1f"),
    "peak_memory": FigureKind("peak memory", "MiB", "less", ".0f"),
    "file_size": FigureKind("size of the graph file", "MB", "less", ".2f"),
    "joules_per_frame": FigureKind("energy per frame", "J", "less", ".4g"),
}


@dataclass(frozen=True)
class Figure:
    """One value with its 95 % interval; the ends are None where one benchmark does not tell.

    ``conditions`` are the settings that it depends on and that its name and candidate do not tell, as text.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    conditions: str = ""


@dataclass(frozen=True)
class Entry:
    """One candidate of a benchmark.

    Attributes:
        model: name of the bundle.
        role: of the model.
        manifest_sha256: of the bundle.
        graph_sha256: of the graph's file; two versions of a model differ in it.
        variant: of the bundle.
        precision: of the variant.
        runtime: name in the runtimes' registry.
        runtime_version: of its library; empty where it was not noted.
        batch: pictures per call.
        threads: of the runtime; None where it chose.
        scenario: how the work arrived.
        figures: what was measured.
    """

    model: str
    role: str
    manifest_sha256: str
    graph_sha256: str
    variant: str
    precision: str
    runtime: str
    runtime_version: str
    batch: int
    threads: int | None
    scenario: str
    figures: tuple[Figure, ...]


def entries_of(measured: Measurements) -> list[Entry]:
    """The candidates of a benchmark, in its order."""
    bundles = {entry.manifest.name: entry for entry in measured.benchmark.bundles}
    footprints = {(row.subject, row.batch): row for row in measured.footprint}
    entries: list[Entry] = []
    judged: set[Subject] = set()
    for row in measured.latency:
        if row.subject.variant == REFERENCE:  # the model in Paddle is none of the bundle's graphs
            continue
        bundle = bundles[row.subject.model]
        variant = next(one for one in bundle.manifest.variants if one.name == row.subject.variant)
        cost = footprints.get((row.subject, row.batch))
        # batch, threads and scenario change nothing of what is detected: one point for a subject
        accuracy = () if row.subject in judged else tuple(_accuracy(measured, row.subject))
        judged.add(row.subject)
        conditions = scenario_conditions(row, measured.benchmark.settings.query_pictures)
        entries.append(
            Entry(
                model=row.subject.model,
                role=row.subject.role,
                manifest_sha256=bundle.manifest_sha256,
                graph_sha256=variant.sha256,
                variant=row.subject.variant,
                precision=row.subject.precision,
                runtime=row.subject.runtime,
                runtime_version=cost.runtime_version if cost else "",
                batch=row.batch,
                threads=row.threads,
                scenario=row.scenario,
                figures=(*_latency(row, conditions), *accuracy, *_footprint(cost), *_energy(measured, row)),
            )
        )
    return entries


def scenario_conditions(row: LatencyRow, query_pictures: int) -> str:
    """The settings of a row's scenario that its durations depend on, and who issued the queries, in a line.

    Args:
        row: of the scenario.
        query_pictures: pictures in a query of multi stream.
    """
    told = [f"driver {row.driver}"]
    if row.scenario == "multi-stream":
        told.append(f"{query_pictures} pictures a query")
    if row.punctuality is not None:
        line = row.punctuality
        told.append(f"{line.frame_rate_hz:g} frames/s, deadline {line.deadline_ms:g} ms, queue {line.queue}")
    return ", ".join(told)


def machine_title(state: MachineState) -> str:
    """The machine in a line."""
    quota = "" if state.cpu_quota_cores is None else f", {state.cpu_quota_cores:g} of them allowed"
    gpus = "".join(f", {gpu.name}" for gpu in state.gpus)
    mode = f", power mode {state.power_mode}" if state.power_mode else ""
    return f"{state.cpu_model or state.architecture}, {state.usable_cores} cores{quota}{gpus}{mode}"


def machine_key(state: MachineState) -> str:
    """What tells machines apart: processor, cores, memory, GPUs and what power they may draw, not what is installed or
    runs on them."""
    plain = to_plain(state)
    fixed = ("cpu_model", "architecture", "logical_cores", "physical_cores", "usable_cores", "cpu_quota_cores")
    gpus = [[gpu.name, round((gpu.memory_mib or 0) / 1024), gpu.power_limit_w] for gpu in state.gpus]
    told = {
        "gpus": gpus,
        "visible_gpus": state.visible_gpus if gpus else None,
        "power_mode": state.power_mode,
    }
    return sha256_json(
        {
            **{name: plain[name] for name in fixed},
            # the same machine has a few MiB more or less with another kernel
            "memory_gib": round(state.memory_mib / 1024),
            # a machine without them is called as it was before they were noted
            **{name: value for name, value in told.items() if value},
        }
    )


def _latency(row: LatencyRow, conditions: str) -> Iterator[Figure]:
    whole = row.stages["end_to_end"]
    for name in ("p50", "mean", "p90", "p99", "p999", "jitter"):
        value = getattr(whole, f"{name}_ms")
        if value is not None:
            # that of rounds in one process says nothing of what another process would have shown
            low, high = (whole.intervals.get(f"{name}_ms") if row.starts >= FEWEST_ROUNDS else None) or (None, None)
            yield Figure(name, value, low, high, conditions)
    rate = row.images_per_second
    if rate.value is not None:
        told = row.starts >= FEWEST_ROUNDS
        yield Figure("throughput", rate.value, rate.low if told else None, rate.high if told else None, conditions)


def _accuracy(measured: Measurements, subject: Subject) -> Iterator[Figure]:
    for precision in measured.precision:
        if precision.subject == subject and precision.label is None:
            for name, estimate in precision.figures.items():
                yield from _estimate("map" if name == "ap" else name, estimate)
    for figure in _inspection(measured, subject):
        yield replace(figure, conditions=f"found from IoU {measured.benchmark.settings.found_iou:g}")


def _inspection(measured: Measurements, subject: Subject) -> Iterator[Figure]:
    for escape in measured.escape:
        if escape.subject == subject and escape.group == "all":
            yield from _estimate("escape_rate", escape.escape.rate, 100)
    for alarms in measured.false_alarms:
        if alarms.subject == subject and alarms.label is None:
            yield from _estimate("false_alarms", alarms.alarms.per_image)


def _estimate(name: str, estimate: Estimate, factor: float = 1) -> Iterator[Figure]:
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        yield Figure(name, factor * estimate.value, factor * estimate.low, factor * estimate.high)


def _energy(measured: Measurements, row: LatencyRow) -> Iterator[Figure]:
    own = [one for one in measured.energy if (one.subject, one.batch) == (row.subject, row.batch)]
    leading = leading_energy(own, row.subject.runtime)
    # how work arrives in a scenario changes nothing of it: one point for a candidate
    first = next(one for one in measured.latency if (one.subject, one.batch) == (row.subject, row.batch))
    if leading is not None and leading.joules_per_frame is not None and row is first:
        where = f"{leading.sensor.name} ({leading.sensor.device})"
        yield Figure("joules_per_frame", leading.joules_per_frame, conditions=where)


def _footprint(cost: FootprintRow | None) -> Iterator[Figure]:
    if cost is None:
        return
    for name, ms in (("load", cost.load_ms), ("first_call", cost.first_call_ms)):
        if ms is not None:
            yield Figure(name, ms, *(cost.intervals.get(f"{name}_ms") or (None, None)))
    if cost.peak_memory_mib is not None:
        yield Figure("peak_memory", cost.peak_memory_mib)
    # it is counted, not measured
    size = cost.file_bytes / 1e6
    yield Figure("file_size", size, size, size)
