from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import write_benchmark
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.report.glance import glance
from temper.benchmarks.report.results import Result, collect_results
from temper.detection.dataset import DataSet


@pytest.fixture
def results(tmp_path: Path, data: DataSet) -> list[Result]:
    return collect_results(read_rows(write_benchmark(tmp_path, data)))


def test_one_row_per_model_one_column_per_precision(results: list[Result]) -> None:
    table = glance(results, {"teacher": 3_000_000, "student": None})
    assert table is not None
    assert table.precisions == ("fp32", "int8")
    assert [row.title for row in table.rows] == ["Teacher", "Student alone", "MGD student"]
    assert [row.parameters for row in table.rows] == [3_000_000, None, None]
    assert all([one.subject.precision for one in row.best if one is not None] == ["fp32", "int8"] for row in table.rows)
    assert not table.many_runtimes


def test_of_two_runtimes_the_faster_stands_there(results: list[Result]) -> None:
    def on_another(result: Result, factor: float) -> Result:
        stages = dict(result.latency.stages)
        whole = stages["end_to_end"]
        stages["end_to_end"] = replace(whole, p50_ms=whole.p50_ms * factor)
        subject = replace(result.subject, runtime="other")
        return replace(result, subject=subject, latency=replace(result.latency, subject=subject, stages=stages))

    table = glance([*results, *(on_another(one, 0.5) for one in results if one.subject.precision == "int8")], {})
    assert table is not None
    assert table.many_runtimes
    assert [one.subject.runtime for one in table.rows[0].best if one] == ["onnxruntime", "other"]


def test_what_a_model_does_not_have_stays_empty(results: list[Result]) -> None:
    table = glance([one for one in results if (one.subject.role, one.subject.precision) != ("student", "int8")], {})
    assert table is not None
    assert table.rows[1].best[1] is None


def test_one_model_needs_no_choice(results: list[Result]) -> None:
    assert glance([one for one in results if one.subject.role == "teacher"], {}) is None
