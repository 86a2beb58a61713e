"""What plans are made of, for tests: demands, capabilities, rows of estimates, and a measured folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import bench_rows
import numpy as np
from temper.benchmarks.estimate.row import EstimateRow
from temper.benchmarks.measurement import BundleEntry, write_rows
from temper.benchmarks.plan.capability import Capability, Place
from temper.benchmarks.plan.demand import Demand, Due, plan_demand
from temper.benchmarks.plan.distribution import LatencyDistribution, of_estimate, of_samples
from temper.benchmarks.plan.optics import Geometry
from temper.benchmarks.subject import Subject
from temper.bundle.loader import open_bundle
from temper.detection.dataset import DataSet


def geometry(**changes: Any) -> Geometry:
    """The strip of the worked example in docs/reference/planning.md."""
    return replace(Geometry(strip_mm=1200, speed_m_s=3, defect_mm=2), **changes)


def demand(due: Due | None = None, tile: tuple[int, int] = (256, 256), **changes: Any) -> Demand:
    """The demand of :func:`geometry`."""
    return plan_demand(geometry(**changes), due or Due(), tile)


def steady(ms: float, samples: int = 1000) -> LatencyDistribution:
    """Measured calls that all take nearly as long."""
    values = ms * np.random.default_rng(0).uniform(0.99, 1.0, samples)
    return of_samples([part.tolist() for part in np.array_split(values, 4)], None)


def capability(ms: float = 1.0, **changes: Any) -> Capability:
    """A measured device whose calls take ``ms``."""
    one = Capability(
        place=Place("box", "A box", "", 20.0),
        kind="measured",
        variant="fp32",
        precision="fp32",
        runtime="onnxruntime",
        batch=1,
        tile=(256, 256),
        latency=steady(ms),
        memory_mib=200.0,
        device_memory_mib=8000.0,
        bound=None,
        origin="somewhere",
    )
    return replace(one, **changes)


def estimated(ms: float = 1.0, error: float = 0.3, **changes: Any) -> Capability:
    """An estimated device."""
    latency = of_estimate(ms, (ms * (1 - error), ms * (1 + error)))
    return capability(kind="estimated", latency=latency, bound="bandwidth", **changes)


def estimate_row(bundle: Path, device: str = "jetson-orin-nano-8gb", ms: float = 1.2, **changes: Any) -> EstimateRow:
    """An estimate of a bundle's fp32 graph."""
    with open_bundle(bundle) as opened:
        name, sha256 = opened.manifest.name, opened.manifest_sha256
    row = EstimateRow(
        subject=Subject(name, "student", "fp32", "fp32", "tensorrt"),
        manifest_sha256=sha256,
        device=device,
        device_name=device.replace("-", " "),
        power_mode="15W",
        watts=15.0,
        batch=1,
        latency_ms=ms,
        interval_ms=(0.8 * ms, 1.3 * ms),
        memory_mib=120.0,
        device_memory_mib=8000.0,
        fits=True,
        bound="bandwidth",
        watts_of="module" if device.startswith("jetson") else "board",
    )
    return replace(row, **changes)


def write_estimates(path: Path, rows: Sequence[EstimateRow]) -> Path:
    """A file of estimates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(asdict(row))}\n" for row in rows), encoding="utf-8")
    return path


def write_measured(
    folder: Path,
    bundle: Path,
    data: DataSet,
    ms: float,
    samples: int = 999,
    warnings: Sequence[str] = (),
    runtime: str = "onnxruntime",
) -> Path:
    """A folder as ``temper bench run`` writes it, of a benchmark of this bundle that never ran."""
    with open_bundle(bundle) as opened:
        entry = BundleEntry(str(bundle), opened.manifest_sha256, opened.manifest)
    subject = Subject(entry.manifest.name, "student", "fp32", "fp32", runtime)
    first = replace(bench_rows.benchmark_row(data, [], warnings), bundles=[entry])
    rows = [first, bench_rows.latency(subject, ms, samples=samples), bench_rows.footprint(subject, 8.0)]
    write_rows(folder / "measurements.jsonl", rows)
    return folder
