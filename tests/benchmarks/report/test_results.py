from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from bench_rows import benchmark_row, figures, footprint, latency, manifest, subject, write_benchmark
from temper.benchmarks.measurement import AccuracyRow, Measurements, read_rows
from temper.benchmarks.report.results import (
    collect_results,
    model_titles,
    write_results_csv,
    write_results_json,
)
from temper.detection.dataset import DataSet


def test_results_stand_in_the_readers_order(tmp_path: Path, data: DataSet) -> None:
    path = write_benchmark(tmp_path, data, roles=("distilled", "student", "teacher"), precisions=("int8", "fp32"))
    found = collect_results(read_rows(path))
    assert [(r.title, r.subject.precision, r.series) for r in found] == [
        ("Teacher", "fp32", 0),
        ("Teacher", "int8", 0),
        ("Student alone", "fp32", 1),
        ("Student alone", "int8", 1),
        ("MGD student", "fp32", 2),
        ("MGD student", "int8", 2),
    ]


def test_models_of_one_role_keep_their_names() -> None:
    titles = model_titles([subject("student", model="a"), subject("student", model="b"), subject("teacher")], {})
    assert titles == {"a": "a", "b": "b", "steel-teacher": "Teacher"}


@pytest.mark.parametrize(
    ("section", "title"),
    [
        ({"inherit": True, "mgd": {"alpha": 0.5}, "fgd": None}, "MGD student"),
        ({"inherit": True, "mgd": None, "fgd": {"form": "sum"}}, "FGD student"),
        ({"mgd": {}, "fgd": {}}, "Distilled student"),
        ({"mgd": None, "response": {}}, "Distilled student"),
        (None, "Distilled student"),
    ],
)
def test_the_distilled_student_is_called_after_its_loss(section: object, title: str) -> None:
    one = subject("distilled")
    assert model_titles([one], {one.model: {"distillation": section}}) == {one.model: title}
    assert model_titles([one], {}) == {one.model: "Distilled student"}


def test_json_has_figures_and_no_raw_samples(tmp_path: Path, data: DataSet) -> None:
    measurements = read_rows(write_benchmark(tmp_path, data))
    write_results_json(
        tmp_path / "results.json", "steel", ["One."], ["Two."], collect_results(measurements), measurements
    )
    content = json.loads((tmp_path / "results.json").read_text())
    first = content["results"][0]
    assert (content["name"], content["summary"], content["images"]) == ("steel", ["One."], len(data))
    assert first["kind"] == "measured"
    assert first["subject"]["role"] == "teacher"
    assert first["accuracy"]["ap"] == 60.0
    assert first["stages"]["end_to_end"]["p50_ms"] == 20.0
    assert first["stages"]["end_to_end"]["p99_ms"] is None
    assert first["file_bytes"] == 8_000_000
    assert "samples_ms" not in json.dumps(content)
    line = first["inspection"]
    assert [one["label"] for one in line["average_precision"]] == [None, *data.labels]
    missed = len(data.samples[-1].labels)
    assert line["escape"][0]["escape"]["missed"] == missed
    assert line["false_alarms"][0]["alarms"]["per_image"]["value"] == 0
    assert line["sorting"]["pictures"]["bad_passed"] == 1
    assert [one["curve"] for one in line["curves"]] == ["precision-recall", "froc"]
    assert content["unread"] == []


def test_csv_has_a_line_per_candidate(tmp_path: Path, data: DataSet) -> None:
    measurements = read_rows(write_benchmark(tmp_path, data))
    write_results_csv(tmp_path / "results.csv", collect_results(measurements))
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    assert lines[0]["role"] == "teacher"
    assert lines[0]["kind"] == "measured"
    assert float(lines[0]["end_to_end_p50_ms"]) == 20.0
    assert lines[0]["end_to_end_p99_ms"] == "INVALID: needs 662 samples, 99 were taken"
    assert float(lines[0][f"ap_class_{data.labels[0]}"]) == 60.0
    defects, missed = sum(len(sample.labels) for sample in data.samples), len(data.samples[-1].labels)
    assert (lines[0]["defects"], lines[0]["missed"]) == (str(defects), str(missed))
    assert float(lines[0]["escape_rate"]) == pytest.approx(missed / defects)
    assert float(lines[0]["escape_rate_low"]) < missed / defects < float(lines[0]["escape_rate_high"])
    assert float(lines[0]["false_alarms_per_image"]) == 0
    assert float(lines[0]["false_alarms_per_image_high"]) > 0
    assert (lines[0]["good"], lines[0]["bad_passed"]) == ("0", "1")


def test_csv_never_holds_a_formula(tmp_path: Path, data: DataSet) -> None:
    one = subject(model="=1+1")
    rows = Measurements(
        benchmark_row(data, [manifest("student", data.labels, ["fp32"])]),
        (latency(one, 1.0),),
        (AccuracyRow(one, figures(1.0, ["=cmd()"]), "d.json"),),
        (footprint(one, 1.0),),
    )
    write_results_csv(tmp_path / "results.csv", collect_results(rows))
    with (tmp_path / "results.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["model"] == "'=1+1"
    assert "ap_class_=cmd()" in line
