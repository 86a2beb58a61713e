"""Rows of a benchmark that never ran, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from temper.benchmarks.accuracy import save_detections
from temper.benchmarks.inspection import judge_detections
from temper.benchmarks.latency_figures import summarise, throughput
from temper.benchmarks.latency_rows import LatencyRow, Punctuality, Round, Scenario
from temper.benchmarks.machine import machine_state
from temper.benchmarks.measurement import (
    SCHEMA_VERSION,
    AccuracyRow,
    BenchmarkRow,
    BenchmarkSettings,
    BundleEntry,
    FootprintRow,
    Row,
    write_rows,
)
from temper.benchmarks.subject import Role, Subject
from temper.bundle.manifest import InputRule, MadeBy, Manifest, Parity, Variant
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections
from temper.detection.metrics import AccuracyFigures


def subject(
    role: Role = "student", precision: str = "fp32", model: str | None = None, runtime: str = "onnxruntime"
) -> Subject:
    """A subject called after its role."""
    return Subject(model or f"steel-{role}", role, precision, precision, runtime)


def figures(ap: float | None, labels: Sequence[str] = ("dark", "bright")) -> AccuracyFigures:
    """The same AP for everything."""
    return AccuracyFigures(8, ap, ap, ap, ap, ap, ap, dict.fromkeys(labels, ap))


def latency(
    of: Subject,
    ms: float,
    *,
    batch: int = 1,
    samples: int = 99,
    scenario: Scenario = "single-stream",
    punctuality: Punctuality | None = None,
) -> LatencyRow:
    """A candidate that takes ``ms`` per call, nearly all of it in the graph; each of three rounds is slower."""
    drift = np.linspace(0.99, 1.01, samples)
    parts = {"decode": 0.02 * ms * drift, "preprocess": 0.01 * ms * drift, "compute": 0.96 * ms * drift}
    parts["postprocess"] = 0.01 * ms * drift
    parts["end_to_end"] = ms * drift
    by_round = {stage: np.array_split(values, 3) for stage, values in parts.items()}
    rounds = tuple(Round(len(part), batch * len(part), part.sum() / 1000) for part in by_round["end_to_end"])
    return LatencyRow(
        subject=of,
        batch=batch,
        threads=None,
        scenario=scenario,
        driver="temper",
        stages={stage: summarise(values) for stage, values in by_round.items()},
        images_per_second=throughput(rounds),
        warmup_calls=10,
        warmup_stable=True,
        rounds=rounds,
        round_p50_ms=(0.99 * ms, ms, 1.01 * ms),
        complete=True,
        samples_ms={stage: values.tolist() for stage, values in parts.items()},
        punctuality=punctuality,
        starts=3,
    )


def footprint(of: Subject, megabytes: float, *, batch: int = 1) -> FootprintRow:
    """A candidate whose graph has so many megabytes."""
    return FootprintRow(of, batch, int(megabytes * 1e6), 12.5, 30.0, 180.0, 70.0, "1.2.3")


def manifest(of: Role, labels: Sequence[str], precisions: Sequence[str], name: str | None = None) -> Manifest:
    """A manifest with parity for each of its graphs."""
    parity = Parity(
        images=4,
        runtime="onnxruntime",
        largest_score_difference=2e-6,
        largest_box_difference_px=3e-4,
        matched_share=1.0,
        map_paddle=50.0,
        map_graph=50.0,
    )
    return Manifest(
        name=name or f"steel-{of}",
        labels=list(labels),
        input=InputRule(width=64, height=64, channels="grey"),
        thresholds=dict.fromkeys(labels, 0.4),
        score_floor=0.02,
        nms_iou=0.5,
        max_detections=100,
        variants=[
            Variant.model_validate(
                {
                    "name": p,
                    "precision": p,
                    "file": f"graphs/{p}.onnx",
                    "sha256": "a" * 64,
                    "bytes": 1000,
                    "parity": parity,
                }
            )
            for p in precisions
        ],
        made_by=MadeBy(
            temper="0.1.0",
            role=of,
            recipe={
                "name": "steel",
                "seed": 7,
                "student": {"depth": 18},
                "input": {"width": 64},
                "distillation": {"inherit": True, "mgd": {"alpha": 0.5}, "fgd": None},
            },
            data_sha256="b" * 64,
            weights_sha256="c" * 64,
            versions={"onnx": "1.17.0"},
        ),
    )


def benchmark_row(data: DataSet, manifests: Sequence[Manifest], warnings: Sequence[str] = ()) -> BenchmarkRow:
    """The first row for bundles with these manifests."""
    state = machine_state(sample_seconds=0)
    return BenchmarkRow(
        schema_version=SCHEMA_VERSION,
        temper="0.1.0",
        started_at="2026-01-01T10:00:00+00:00",
        finished_at="2026-01-01T10:01:00+00:00",
        data=data.name,
        data_sha256=data.content_hash(),
        images=len(data),
        image_folder=str(data.image_folder),
        settings=BenchmarkSettings(),
        bundles=[BundleEntry(f"{m.name}.temper", "d" * 64, m) for m in manifests],
        machine_before=state,
        machine_after=state,
        warnings=list(warnings),
    )


def write_benchmark(
    folder: Path,
    data: DataSet,
    *,
    roles: Sequence[Role] = ("teacher", "student", "distilled"),
    precisions: Sequence[str] = ("fp32", "int8"),
    runtimes: Sequence[str] = ("onnxruntime",),
    warnings: Sequence[str] = (),
) -> Path:
    """Write ``measurements.jsonl`` and the detections it names; the models find exactly the truth, but for the last
    picture, where they find nothing."""
    manifests = [manifest(role, data.labels, precisions) for role in roles]
    rows: list[Row] = [benchmark_row(data, manifests, warnings)]
    found = [_truth(s.boxes, s.labels, s.size) for s in data.samples]
    # one picture is answered with nothing, so that something is missed
    found[-1] = Detections.none(found[-1].image_size)
    judged = judge_detections(data, found, dict.fromkeys(data.labels, 0.4), 0.5)
    for place, role in enumerate(roles):
        for precision, (turn, runtime) in product(precisions, enumerate(runtimes)):
            one = subject(role, precision, runtime=runtime)
            file = f"detections/{role}-{precision}-{runtime}.json"
            save_detections(folder / file, data, found)
            # runtimes agree on fp32 and differ by a point on int8
            ap = 60.0 - 5 * place - (turn if precision == "int8" else 0)
            rows.append(AccuracyRow(one, figures(ap, data.labels), file))
            rows += [row for row in judged.rows(one, file) if not isinstance(row, AccuracyRow)]
            rows.append(latency(one, 20.0 / (place + 1) / (2 if precision == "int8" else 1) * (1 + 0.2 * turn)))
            rows.append(footprint(one, 8.0))
    path = folder / "measurements.jsonl"
    write_rows(path, rows)
    return path


def _truth(boxes: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> Detections:
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32), labels, size)
