"""What one device does with one graph: the plan's only idea of hardware, measured or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...bundle.loader import Bundle
from ...bundle.manifest import Variant
from ...core.errors import UsageError
from ..candidate import REFERENCE
from ..energy.find import PROCESSOR_RUNTIMES
from ..estimate.row import EstimateRow
from ..latency_rows import LatencyRow
from ..measurement import MachineState, Measurements
from .distribution import HOST_MS, TAIL, LatencyDistribution, of_estimate, of_samples

#: Runtimes whose measurements are of what is estimated.
_ESTIMATED_RUNTIMES = ("tensorrt", "onnxruntime-tensorrt")
#: Before every figure that rests on an estimate.
MARK = "~"

Bound = Literal["compute", "bandwidth", "launch"]
#: What watts are of: the whole device, a module without its carrier, or a board without the PC around it.
WattsOf = Literal["device", "module", "board"]


@dataclass(frozen=True)
class Place:
    """What a device is called and may use.

    Attributes:
        device: key in the device table, or the name of a measured machine.
        device_name: how people call it.
        power_mode: of the device; empty where it has none.
        watts: that it takes in that mode; None where nobody said.
        watts_of: what the watts are of.
        where: which of several devices of that name it is; empty where there is one.
    """

    device: str
    device_name: str
    power_mode: str = ""
    watts: float | None = None
    watts_of: WattsOf = "device"
    where: str = ""

    @property
    def whole_watts(self) -> float | None:
        """Watts that are of all there is to buy and feed: a board without its PC does not count, a module does."""
        return None if self.watts_of == "board" else self.watts

    @property
    def label(self) -> str:
        """The device, and which of several it is."""
        return f"{self.device} ({self.where})" if self.where else self.device


@dataclass(frozen=True)
class Capability:
    """What one device does with one graph of the bundle.

    Attributes:
        place: the device.
        kind: measured, or estimated.
        variant: name of the graph.
        precision: of the graph.
        runtime: that runs it.
        batch: pictures per call.
        tile: width and height of the graph's input.
        latency: of one call.
        memory_mib: that it needs; None where it was not measured.
        device_memory_mib: that the device has; None where that is not known.
        bound: where a call's time goes; None where nobody knows.
        origin: the folder or file it is from.
        ap: mAP of the graph on the bundle's validation split, in points; None where the bundle does not say.
        notes: what has to be said of it.
        not_usable: why it cannot be planned with; None if it can.
    """

    place: Place
    kind: Literal["measured", "estimated"]
    variant: str
    precision: str
    runtime: str
    batch: int
    tile: tuple[int, int]
    latency: LatencyDistribution
    memory_mib: float | None
    device_memory_mib: float | None
    bound: Bound | None
    origin: str
    ap: float | None = None
    notes: tuple[str, ...] = ()
    not_usable: str | None = None

    @property
    def mark(self) -> str:
        """What stands before every figure that rests on it: ``~`` where it is estimated."""
        return MARK if self.kind == "estimated" else ""

    @property
    def graph(self) -> str:
        """The variant's name; an estimate may take it to a precision that the bundle has no graph of."""
        own = self.kind == "measured" or self.precision in self.variant
        return self.variant if own else f"{self.variant} as {self.precision}"

    @property
    def title(self) -> str:
        """``jetson-orin-nano-8gb @15W int8 tensorrt, batch 4``."""
        mode = f" @{self.place.power_mode}" if self.place.power_mode else ""
        return f"{self.place.label}{mode} {self.graph} {self.runtime}, batch {self.batch}"


def measured_capabilities(
    measurements: Measurements, place: Place | None, bundle: Bundle, origin: Path, name: str = "", host: str = ""
) -> list[Capability]:
    """Of every single stream of a benchmark that has this bundle.

    Args:
        measurements: what ``temper bench run --out`` wrote.
        place: the device it was measured on; None makes one of the machine's own words and the folder's name.
        bundle: that is planned with.
        origin: the folder of the measurements.
        name: of the machine where ``place`` is None; empty takes the folder's.
        host: of it, where it was another machine.

    Raises:
        UsageError: if it was measured with another bundle, naming both, or has no single stream.
    """
    entries = measurements.benchmark.bundles
    own = [entry for entry in entries if entry.manifest_sha256 == bundle.manifest_sha256]
    if not own:
        others = ", ".join(f"{entry.manifest.name} (manifest {entry.manifest_sha256[:12]})" for entry in entries)
        raise UsageError(
            f"{origin} was measured with {others}, not with {bundle.manifest.name} (manifest "
            f"{bundle.manifest_sha256[:12]}) of {bundle.path}; measure that one with 'temper bench run "
            f"{bundle.path.name}'."
        )
    names = {entry.manifest.name for entry in own}
    streams = [row for row in measurements.latency if row.scenario == "single-stream" and row.subject.model in names]
    # the model in Paddle is for comparison: no line runs it
    rows = [row for row in streams if row.subject.variant != REFERENCE]
    state = measurements.benchmark.machine_before
    if not rows and state.emulated:
        raise UsageError(
            f"{origin} was measured on an emulated processor, which has no latencies to plan with; measure on a real "
            "one."
        )
    if not rows:
        raise UsageError(
            f"{origin} has no single stream of {bundle.manifest.name}, from which plans are made; measure it with "
            "'temper bench run --scenario single-stream'."
        )
    found = place or _place_of(state, name or origin.resolve().name, host)
    return [_measured(row, measurements, found, state, bundle, origin) for row in rows]


def estimated_capabilities(
    rows: Sequence[EstimateRow], bundle: Bundle, origin: str, tail: float = TAIL, host_ms: float = HOST_MS
) -> list[Capability]:
    """Of estimates.

    Args:
        rows: of this bundle.
        bundle: that is planned with.
        origin: where they are from, for messages.
        tail: p99 by p50 that is assumed.
        host_ms: per picture, for preparing it and reading its answer; a measured call has that in it.

    Raises:
        UsageError: if one was made of another bundle, naming both.
    """
    for row in rows:
        if row.manifest_sha256 != bundle.manifest_sha256:
            raise UsageError(
                f"{origin} was estimated of {row.subject.model} (manifest {row.manifest_sha256[:12]}), not of "
                f"{bundle.manifest.name} (manifest {bundle.manifest_sha256[:12]}) of {bundle.path}; estimate that one "
                f"with 'temper estimate {bundle.path.name}'."
            )
    return [_estimated(row, bundle, origin, tail, host_ms) for row in rows]


def has_single_stream(measurements: Measurements) -> bool:
    """Whether plans can be made of a benchmark; an emulated processor's says so by itself."""
    emulated = measurements.benchmark.machine_before.emulated
    return bool(emulated) or any(row.scenario == "single-stream" for row in measurements.latency)


def doubt_of_place(measurements: Measurements, place: Place) -> str | None:
    """Why what was measured may not be of the device it is called, in a sentence; None if nothing speaks against it."""
    state = measurements.benchmark.machine_before
    runtimes = sorted({row.subject.runtime for row in measurements.latency})
    on_processor = [name for name in runtimes if name in PROCESSOR_RUNTIMES]
    embedded = place.device.startswith("jetson-")
    if embedded and state.architecture == "x86_64":
        return f"It is called {place.device_name}, and was measured on an x86_64 machine ({state.cpu_model})."
    if on_processor:
        return (
            f"It is called {place.device_name}, and {', '.join(on_processor)} ran on the processor beside it "
            f"({state.cpu_model or state.architecture}), not on its GPU."
        )
    return None


def without_the_measured(found: Sequence[Capability]) -> list[Capability]:
    """Leave out estimates of what was measured, and give the others of a measured device its own tail.

    A measurement of another runtime says nothing of estimates, which are of TensorRT.
    """
    measured = [one for one in found if one.kind == "measured" and one.runtime in _ESTIMATED_RUNTIMES]
    there = {_what(one) for one in measured}
    tails: dict[str, float] = {}
    for one in measured:
        if one.latency.p99_ms is not None and one.latency.median_ms > 0:
            tail = one.latency.p99_ms / one.latency.median_ms
            tails[one.place.device] = max(tail, tails.get(one.place.device, 1.0))
    left = [one for one in found if one.kind == "measured" or _what(one) not in there]
    return [
        replace(one, latency=one.latency.with_tail(tails[one.place.device]))
        if one.kind == "estimated" and tails.get(one.place.device, 0) > one.latency.tail
        else one
        for one in left
    ]


def _what(one: Capability) -> tuple[str, str, str, str, int]:
    return (one.place.device, one.place.power_mode, one.variant, one.precision, one.batch)


def _measured(
    row: LatencyRow, measurements: Measurements, place: Place, state: MachineState, bundle: Bundle, origin: Path
) -> Capability:
    variant = bundle.variant(row.subject.variant)
    footprint = [f for f in measurements.footprint if f.subject == row.subject and f.batch == row.batch]
    latency = of_samples(row.rounds_ms, row.stages["end_to_end"].intervals.get("p50_ms"))
    unusable = None
    if latency.withheld:
        unusable = f"its p99 {latency.withheld}; measure with --samples 700"
    elif state.emulated:
        unusable = "it was measured on an emulated processor, whose times say nothing"
    notes = [] if row.complete else ["the time box cut its measurement off"]
    return Capability(
        place=place,
        kind="measured",
        variant=variant.name,
        precision=variant.precision,
        runtime=row.subject.runtime,
        batch=row.batch,
        tile=_input_of(bundle, variant),
        latency=latency,
        memory_mib=footprint[0].peak_memory_mib if footprint else None,
        device_memory_mib=min(state.memory_mib, state.memory_limit_mib or state.memory_mib),
        bound=None,
        origin=str(origin),
        ap=variant.accuracy.ap if variant.accuracy else None,
        notes=tuple(notes),
        not_usable=unusable,
    )


def _estimated(row: EstimateRow, bundle: Bundle, origin: str, tail: float, host_ms: float) -> Capability:
    variant = bundle.variant(row.subject.variant)
    host = host_ms * row.batch
    notes = []
    if row.unknown_operators:
        notes.append(f"operators the estimator does not know: {', '.join(row.unknown_operators)}")
    notes += [f"scaled by a measurement of {name}" for name in row.recalibrated_by]
    return Capability(
        place=Place(row.device, row.device_name, row.power_mode, row.watts, row.watts_of),
        kind="estimated",
        variant=variant.name,
        precision=row.subject.precision,
        runtime=row.subject.runtime,
        batch=row.batch,
        tile=_input_of(bundle, variant),
        latency=of_estimate(row.latency_ms + host, (row.interval_ms[0] + host, row.interval_ms[1] + host), tail),
        memory_mib=row.memory_mib,
        device_memory_mib=row.device_memory_mib,
        bound=row.bound,
        origin=origin,
        ap=variant.accuracy.ap if variant.accuracy and variant.precision == row.subject.precision else None,
        notes=tuple(notes),
        not_usable=None if row.fits else _does_not_fit(row),
    )


def _does_not_fit(row: EstimateRow) -> str:
    return f"memory: it needs {MARK}{row.memory_mib:,.0f} MiB of {row.device_memory_mib:,.0f} MiB"


def _input_of(bundle: Bundle, variant: Variant) -> tuple[int, int]:
    size = variant.size or bundle.manifest.input
    return size.width, size.height


def _place_of(state: MachineState, name: str, host: str) -> Place:
    told = f"{state.cpu_model or state.architecture}, {state.usable_cores} cores"
    return Place(name, f"{told}, {host}" if host else told)
