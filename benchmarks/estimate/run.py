"""Estimates of a bundle's graphs on devices of the table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ...bundle.loader import Bundle
from ...bundle.manifest import Variant
from ...core.errors import UsageError
from ...core.files import write_text
from ..devices.table import Device, PowerMode
from ..latency_rows import LatencyRow
from ..measurement import Measurements
from ..subject import Subject
from .calibration import Calibration, Correction, correct, load_calibration, log_half_width
from .memory import needed_mib, usable_mib
from .roofline import Graph, Reckoned, reckon
from .row import ESTIMATES_NAME, EstimateRow
from .work import GraphWork, LayerPrecision, graph_work

PRECISIONS: tuple[LayerPrecision, ...] = ("int8", "fp16", "fp32")
#: Runtimes whose measurements say something of what is estimated.
_SAME_RUNTIMES = ("tensorrt", "onnxruntime-tensorrt")
_RUNTIME = "tensorrt"


@dataclass(frozen=True)
class OwnMeasurement:
    """A benchmark that was run on a device of the table.

    Attributes:
        device: its key.
        mode: the power mode that it ran in; None is the device's default.
        measurements: of ``temper bench run`` or ``bench remote``.
    """

    device: str
    mode: str | None
    measurements: Measurements


@dataclass(frozen=True)
class _Chosen:
    """The graph that a precision is estimated by."""

    variant: Variant
    work: GraphWork


def estimate_bundle(
    bundle: Bundle,
    devices: Sequence[tuple[Device, PowerMode]],
    precisions: Sequence[str] = (),
    batches: Sequence[int] = (1,),
    own: Sequence[OwnMeasurement] = (),
) -> list[EstimateRow]:
    """Estimate every precision of a bundle on devices.

    A precision is estimated by the bundle's own graph of it; where it has none, by its fp32 graph with every layer in
    that precision, as a runtime with the choice would have them.

    Args:
        bundle: opened.
        devices: each with its power mode.
        precisions: int8, fp16, fp32; none given means those of the bundle.
        batches: pictures per call.
        own: measurements, which put the estimates of their device right; :func:`says_nothing` tells those that cannot.

    Returns:
        Rows in the order of devices, precisions, batches.

    Raises:
        UsageError: if there is no such precision, or a measurement is of another bundle.
        MissingDependencyError: if the ``onnx`` package is not installed.
        TemperError: if a graph cannot be read.
    """
    wanted = _precisions(bundle, precisions)
    calibration = load_calibration()
    chosen = {(name, batch): _choose(bundle, name, batch) for name in wanted for batch in batches}
    graphs = {key: Graph(one.work) for key, one in chosen.items()}
    rows = []
    for device, mode in devices:
        correction = _correction(bundle, device, calibration, own)
        for key, one in chosen.items():
            rows.append(_row(bundle, device, mode, key[1], one, graphs[key], calibration, correction))
    return rows


def write_estimates(folder: Path, rows: Iterable[EstimateRow]) -> Path:
    """Write rows to ``estimates.jsonl`` in a folder, and give the file."""
    adapter = TypeAdapter(EstimateRow)
    lines = [json.dumps(adapter.dump_python(row, mode="json"), ensure_ascii=False) for row in rows]
    path = folder / ESTIMATES_NAME
    write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def _precisions(bundle: Bundle, given: Sequence[str]) -> list[LayerPrecision]:
    unknown = next((name for name in given if name not in PRECISIONS), None)
    if unknown is not None:
        raise UsageError(f"There is no precision '{unknown}' to estimate. Known here: {', '.join(PRECISIONS)}.")
    has = {variant.precision for variant in bundle.manifest.variants}
    return [name for name in PRECISIONS if name in (given or has)]


def _choose(bundle: Bundle, precision: LayerPrecision, batch: int) -> _Chosen:
    """The bundle's graph of a precision, best one made for TensorRT; else the fp32 graph taken to that precision."""
    own = [one for one in bundle.manifest.variants if one.precision == precision]
    for variant in sorted(own, key=lambda one: one.target != "tensorrt"):
        return _Chosen(variant, graph_work(bundle.graph(variant), batch))
    first = bundle.manifest.variants[0]
    variant = next((one for one in bundle.manifest.variants if one.precision == "fp32"), first)
    return _Chosen(variant, graph_work(bundle.graph(variant), batch).in_precision(precision))


def _row(
    bundle: Bundle,
    device: Device,
    mode: PowerMode,
    batch: int,
    chosen: _Chosen,
    graph: Graph,
    calibration: Calibration,
    correction: Correction,
) -> EstimateRow:
    reckoned = reckon(graph, device, mode, calibration.parameters)
    matrix = [layer.precision for layer in chosen.work.layers if layer.kind in ("conv", "matmul")]
    precision = max(set(matrix), key=matrix.count) if matrix else "fp32"
    half = log_half_width(calibration, correction, matrix, _unknown_share(chosen.work, reckoned))
    latency = reckoned.latency_ms * math.exp(correction.log_factor)
    needed, usable = needed_mib(chosen.work), usable_mib(device)
    made_by = bundle.manifest.made_by
    return EstimateRow(
        subject=Subject(bundle.manifest.name, made_by.role, chosen.variant.name, precision, _RUNTIME),
        manifest_sha256=bundle.manifest_sha256,
        device=device.key,
        device_name=device.name,
        power_mode=mode.name,
        watts=mode.watts,
        batch=batch,
        latency_ms=latency,
        interval_ms=(latency * math.exp(-half), latency * math.exp(half)),
        memory_mib=needed,
        device_memory_mib=usable,
        fits=needed <= usable,
        bound=reckoned.bound,
        unknown_operators=chosen.work.unknown,
        recalibrated_by=correction.origins,
        watts_of=device.watts_of,
    )


def _unknown_share(work: GraphWork, reckoned: Reckoned) -> float:
    unknown = sum(ms for layer, ms in zip(work.layers, reckoned.layers_ms, strict=True) if layer.kind == "unknown")
    return unknown / reckoned.latency_ms


def _correction(bundle: Bundle, device: Device, calibration: Calibration, own: Sequence[OwnMeasurement]) -> Correction:
    """What the measurements on a device say: each against what is reckoned for the mode it was taken in."""
    ratios: list[float] = []
    origins: list[str] = []
    reckoned: dict[tuple[str, str, int], float] = {}
    for one in own:
        if one.device != device.key:
            continue
        _require_of(one, bundle)
        mode = device.mode(one.mode)
        for row in _usable_rows(one.measurements, bundle):
            key = (mode.name, row.subject.variant, row.batch)
            if key not in reckoned:
                work = graph_work(bundle.graph(bundle.variant(row.subject.variant)), row.batch)
                reckoned[key] = reckon(Graph(work), device, mode, calibration.parameters).latency_ms
            measured = row.stages["end_to_end"].p50_ms
            if measured is not None and measured > 0:
                ratios.append(math.log(measured / reckoned[key]))
                graph = f"{row.subject.model} {row.subject.variant}, batch {row.batch}"
                origins.append(f"{device.key}@{mode.name}: {graph}")
    return correct(ratios, origins)


def _require_of(own: OwnMeasurement, bundle: Bundle) -> None:
    """Refuse a measurement of another model: it says nothing of this one's graphs that could be reckoned here."""
    entries = own.measurements.benchmark.bundles
    if not any(one.manifest_sha256 == bundle.manifest_sha256 for one in entries):
        measured = ", ".join(f"{one.manifest.name} (manifest {one.manifest_sha256[:12]})" for one in entries)
        raise UsageError(
            f"What is given as measured on {own.device} measured another bundle than {bundle.manifest.name} (manifest "
            f"{bundle.manifest_sha256[:12]}): {measured}. Measure this one there, or leave it out."
        )


def says_nothing(own: OwnMeasurement, bundle: Bundle, devices: Sequence[str]) -> str | None:
    """Why a measurement changes no estimate, for people; None if it does.

    Args:
        own: the measurement.
        bundle: that is estimated.
        devices: keys of those that are estimated.
    """
    if own.device not in devices:
        return f"{own.device} is not among the devices that are estimated"
    if _usable_rows(own.measurements, bundle):
        return None
    runtimes = ", ".join(sorted({row.subject.runtime for row in own.measurements.latency})) or "no runtime"
    return f"it was measured with {runtimes}, and estimates are of single streams on TensorRT"


def _usable_rows(measurements: Measurements, bundle: Bundle) -> list[LatencyRow]:
    hashes: Mapping[str, str] = {one.manifest.name: one.manifest_sha256 for one in measurements.benchmark.bundles}
    return [
        row
        for row in measurements.latency
        if row.scenario == "single-stream"
        and row.subject.runtime in _SAME_RUNTIMES
        and hashes.get(row.subject.model) == bundle.manifest_sha256
    ]
