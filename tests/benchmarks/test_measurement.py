from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_rows import benchmark_row, figures, footprint, latency, manifest, subject
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.inspection import judge_detections
from temper.benchmarks.measurement import AccuracyRow, read_rows, summarise, write_rows
from temper.core.errors import TemperError
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections


@pytest.mark.parametrize(
    ("samples", "has_p90", "has_p99"),
    [(1, False, False), (63, False, False), (64, True, False), (661, True, False), (662, True, True)],
)
def test_percentiles_wait_for_enough_samples(samples: int, has_p90: bool, has_p99: bool) -> None:
    summary = summarise(np.linspace(1, 2, samples).tolist())
    assert (summary.p90_ms is not None, summary.p99_ms is not None) == (has_p90, has_p99)
    assert ("p90_ms" in summary.withheld, "p99_ms" in summary.withheld) == (not has_p90, not has_p99)


def test_a_withheld_percentile_says_why() -> None:
    assert summarise([1.0] * 100).withheld == {"p99_ms": "needs 662 samples, 100 were taken"}


@given(st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=800))
@settings(max_examples=40, deadline=None)
def test_summaries_are_ordered(samples: list[float]) -> None:
    summary = summarise(samples)
    given_values = [summary.min_ms, summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms]
    ordered = [value for value in given_values if value is not None]
    assert all(a <= b * (1 + 1e-12) for a, b in zip(ordered, ordered[1:], strict=False))
    assert summary.min_ms <= summary.mean_ms * (1 + 1e-12)
    assert summary.n == len(samples)


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarise([])


def test_rows_come_back_as_they_were(tmp_path: Path, data: DataSet) -> None:
    one = subject()
    found = [Detections.none(sample.size) for sample in data.samples]
    rows = [
        benchmark_row(data, [manifest("student", data.labels, ["fp32"])], ["Something."]),
        AccuracyRow(one, figures(None, data.labels), "detections/x.json"),
        latency(one, 5.0),
        footprint(one, 3.0),
        *judge_detections(data, found, dict.fromkeys(data.labels, 0.5), 0.3).rows(one, "detections/x.json")[1:],
    ]
    write_rows(tmp_path / "m.jsonl", rows)
    read = read_rows(tmp_path / "m.jsonl")
    line = [*read.precision, *read.escape, *read.false_alarms, *read.sorting, *read.curves]
    assert [read.benchmark, *read.accuracy, *read.latency, *read.footprint] == rows[:4]
    assert sorted(map(repr, line)) == sorted(map(repr, rows[4:]))
    assert all(json.loads(line)["row"] for line in (tmp_path / "m.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "does not begin with a benchmark row"),
        (lambda lines: [], "does not begin with a benchmark row"),
        (lambda lines: [lines[0].replace('"schema_version": 2', '"schema_version": 9', 1)], "schema 9.*reads 2"),
        (lambda lines: [lines[0], lines[1][:50]], "line 2 is not JSON"),
        (lambda lines: [lines[0], '{"row": "energy"}'], "line 2: .*energy"),
        (lambda lines: [lines[0], "[1]"], "schema None"),
        (lambda lines: [lines[0], lines[1].replace('"batch": 1', '"batch": "two"', 1)], "line 2: latency.batch"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, data: DataSet, change: object, message: str) -> None:
    path = tmp_path / "m.jsonl"
    write_rows(path, [benchmark_row(data, [manifest("student", data.labels, ["fp32"])]), latency(subject(), 5.0)])
    path.write_text("\n".join(change(path.read_text().splitlines())))  # type: ignore[operator]
    with pytest.raises(TemperError, match=message):
        read_rows(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="temper bench run"):
        read_rows(tmp_path / "none.jsonl")
