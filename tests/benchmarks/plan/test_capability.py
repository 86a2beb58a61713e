from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plan_parts import estimate_row, write_estimates, write_measured
from temper.benchmarks.estimate.row import read_estimates
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.plan.capability import Place, estimated_capabilities, measured_capabilities
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError, UsageError
from temper.detection.dataset import DataSet


def test_a_measured_machine(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    folder = write_measured(tmp_path / "hall-7", bundles["student"], data, 5.0)
    bundle, rows = open_bundle(bundles["student"]), read_rows(folder / "measurements.jsonl")
    (one,) = measured_capabilities(rows, None, bundle, folder)
    assert (one.kind, one.place.device, one.place.watts) == ("measured", "hall-7", None)
    assert (one.variant, one.tile, one.batch, one.runtime) == ("fp32", (64, 64), 1, "onnxruntime")
    assert one.latency.median_ms == pytest.approx(5.0)
    assert one.latency.p99_ms == pytest.approx(5.05, rel=0.001)
    assert (one.memory_mib, one.not_usable) == (180.0, None)
    # the very samples
    assert sum(len(part) for part in one.latency.rounds_ms) == 999
    reference = replace(
        rows.latency[0], subject=replace(rows.latency[0].subject, variant="reference", runtime="paddle")
    )
    with_paddle = replace(rows, latency=(reference, *rows.latency))
    assert [other.runtime for other in measured_capabilities(with_paddle, None, bundle, folder)] == ["onnxruntime"]
    (called,) = measured_capabilities(rows, Place("orin", "An Orin", "15W", 15.0), bundle, folder)
    assert called.title == "orin @15W fp32 onnxruntime, batch 1"


def test_another_models_measurement_is_refused_and_both_are_named(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    folder = write_measured(tmp_path / "here", bundles["teacher"], data, 5.0)
    with pytest.raises(
        UsageError, match=r"here was measured with big \(manifest \w{12}\), not with small \(manifest \w"
    ):
        measured_capabilities(read_rows(folder / "measurements.jsonl"), None, open_bundle(bundles["student"]), folder)


def test_too_few_samples_are_told(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    folder = write_measured(tmp_path / "here", bundles["student"], data, 5.0, samples=99)
    rows = read_rows(folder / "measurements.jsonl")
    (one,) = measured_capabilities(rows, None, open_bundle(bundles["student"]), folder)
    assert one.not_usable == "its p99 needs 662 samples, 99 were taken; measure with --samples 700"
    with pytest.raises(UsageError, match="has no single stream of small, from which plans are made"):
        measured_capabilities(replace(rows, latency=()), None, open_bundle(bundles["student"]), folder)


def test_estimates(bundles: dict[str, Path], tmp_path: Path) -> None:
    row = estimate_row(bundles["student"], unknown_operators=("Mystery",), recalibrated_by=("mine: small int8",))
    (read,) = read_estimates(write_estimates(tmp_path / "e.jsonl", [row]))
    assert read == row
    (one,) = estimated_capabilities([read], open_bundle(bundles["student"]), "e.jsonl", host_ms=0)
    assert (one.kind, one.place.device, one.place.watts, one.bound) == (
        "estimated", "jetson-orin-nano-8gb", 15.0, "bandwidth",
    )  # fmt: skip
    assert one.notes == (
        "operators the estimator does not know: Mystery",
        "scaled by a measurement of mine: small int8",
    )
    (large,) = estimated_capabilities(
        [replace(row, memory_mib=9000.0, fits=False)], open_bundle(bundles["student"]), "e.jsonl"
    )
    assert (one.not_usable, large.not_usable) == (None, "memory: it needs ~9,000 MiB of 8,000 MiB")
    # the far end of the interval, and the tail
    assert one.latency.p99_ms == pytest.approx(1.2 * 1.3 * 1.5)
    with pytest.raises(UsageError, match=r"e was estimated of small .*, not of big .*; estimate that one"):
        estimated_capabilities([read], open_bundle(bundles["teacher"]), "e")


def test_damaged_estimates(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no estimates at"):
        read_estimates(tmp_path / "none.jsonl")
    (tmp_path / "e.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(TemperError, match=r"e\.jsonl, line 1: subject: Field required"):
        read_estimates(tmp_path / "e.jsonl")
    (tmp_path / "e.jsonl").write_text("\n{", encoding="utf-8")
    with pytest.raises(TemperError, match=r"e\.jsonl, line 2 is not JSON"):
        read_estimates(tmp_path / "e.jsonl")
