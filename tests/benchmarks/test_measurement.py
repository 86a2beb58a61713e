from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_rows import benchmark_row, figures, footprint, latency, manifest, subject
from temper.benchmarks.inspection import judge_detections
from temper.benchmarks.latency_rows import Punctuality
from temper.benchmarks.measurement import AccuracyRow, read_rows, write_rows
from temper.core.errors import TemperError
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections
from temper.detection.intervals import Estimate


def test_rows_come_back_as_they_were(tmp_path: Path, data: DataSet) -> None:
    one, on_a_line = subject(), Punctuality(30.0, 33.3, 4, 100, 2, 1, Estimate(0.03, 0.01, 0.08))
    found = [Detections.none(sample.size) for sample in data.samples]
    rows = [
        benchmark_row(data, [manifest("student", data.labels, ["fp32"])], ["Something."]),
        AccuracyRow(one, figures(None, data.labels), "detections/x.json"),
        latency(one, 5.0),
        latency(one, 5.0, scenario="line", punctuality=on_a_line),
        footprint(one, 3.0),
        *judge_detections(data, found, dict.fromkeys(data.labels, 0.5), 0.3).rows(one, "detections/x.json")[1:],
    ]
    write_rows(tmp_path / "m.jsonl", rows)
    read = read_rows(tmp_path / "m.jsonl")
    line = [*read.precision, *read.escape, *read.false_alarms, *read.sorting, *read.curves]
    assert [read.benchmark, *read.accuracy, *read.latency, *read.footprint] == rows[:5]
    assert sorted(map(repr, line)) == sorted(map(repr, rows[5:]))
    assert all(json.loads(line)["row"] for line in (tmp_path / "m.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "does not begin with a benchmark row"),
        (lambda lines: [], "does not begin with a benchmark row"),
        (lambda lines: [lines[0].replace('"schema_version": 3', '"schema_version": 9', 1)], "schema 9.*reads 3"),
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


def test_the_samples_of_a_row_come_apart_into_its_rounds() -> None:
    row = latency(subject(), 5.0, samples=100)
    assert [len(part) for part in row.rounds_ms] == [one.samples for one in row.rounds] == [34, 33, 33]
    assert [value for part in row.rounds_ms for value in part] == row.samples_ms["end_to_end"]
    assert row.stage_rounds_ms("compute")[1] == row.samples_ms["compute"][34:67]
    assert row.stage_rounds_ms("host_to_device") == []
