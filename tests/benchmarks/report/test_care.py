from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bench_rows import benchmark_row, figures, latency, manifest, subject, write_benchmark
from temper.benchmarks.measurement import AccuracyRow, BenchmarkRow, Measurements, read_rows
from temper.benchmarks.report.care import sentences_of_care
from temper.benchmarks.report.results import ROLE_TITLES, collect_results
from temper.benchmarks.report.training import TrainingFiles
from temper.bundle.manifest import LeftOut
from temper.detection.dataset import DataSet

ONCE = "Each model was trained once. "


def care(benchmark: BenchmarkRow, trainings: dict[str, TrainingFiles] | None = None, **ap: float | None) -> list[str]:
    """What is said of models with these mAP, by role."""
    subjects = [subject(role) for role in ap]  # type: ignore[arg-type]
    judged = tuple(AccuracyRow(one, figures(ap[one.role]), "d.json") for one in subjects)
    found = collect_results(Measurements(benchmark, tuple(latency(one, 9.0) for one in subjects), judged, ()))
    return sentences_of_care(found, benchmark, trainings or {}, ROLE_TITLES)


def test_good_models_are_passed_over(data: DataSet) -> None:
    roles = ("teacher", "student", "distilled")
    benchmark = benchmark_row(data, [manifest(role, data.labels, ["fp32", "int8"]) for role in roles])
    (once,) = care(benchmark, teacher=40.0, student=30.0, distilled=35.0)
    assert once.startswith(ONCE) and "'temper distill compare'" in once
    assert care(benchmark, teacher=40.0, student=30.0) == [], "nothing is said to be gained"
    assert care(benchmark, teacher=None, student=None) == []


def test_warnings_of_the_measuring_come_first(data: DataSet) -> None:
    said = care(benchmark_row(data, [], ["Another program was busy."]), student=0.4, distilled=0.1)
    assert said[0] == "Another program was busy."
    assert said[1].startswith("No model detects usefully: the highest mAP is 0.4 of 100, so")
    assert len(said) == 3 and said[2].startswith(ONCE)


def test_a_teacher_who_knows_less_is_named(data: DataSet) -> None:
    said, _ = care(benchmark_row(data, []), teacher=20.0, student=30.0, distilled=31.0)
    assert said.startswith("The teacher (20.0 mAP) is not better than the student alone (30.0 mAP)")
    assert not care(benchmark_row(data, []), teacher=20.0, student=30.0), "nobody was taught"


def test_a_lucky_int8_graph_is_not_held_against_the_teacher(data: DataSet) -> None:
    """The summary speaks of fp32; what is said here has to be of the same graphs."""
    points = {
        ("teacher", "fp32"): 31.0,
        ("student", "fp32"): 30.0,
        ("student", "int8"): 32.0,
        ("distilled", "fp32"): 33.0,
    }
    subjects = {subject(role, precision): ap for (role, precision), ap in points.items()}  # type: ignore[arg-type]
    judged = tuple(AccuracyRow(one, figures(ap), "d.json") for one, ap in subjects.items())
    rows = Measurements(benchmark_row(data, []), tuple(latency(one, 9.0) for one in subjects), judged, ())
    said = sentences_of_care(collect_results(rows), rows.benchmark, {}, ROLE_TITLES)
    assert not [one for one in said if "not better than the student" in one]


def test_a_graph_that_gives_other_detections_is_named(data: DataSet) -> None:
    one = manifest("student", data.labels, ["fp32", "int8"])
    full, int8 = one.variants
    assert int8.parity is not None
    far = int8.model_copy(update={"parity": int8.parity.model_copy(update={"matched_share": 0.42})})
    benchmark = benchmark_row(data, [one.model_copy(update={"variants": [full, far]})])
    (said,) = care(benchmark, student=30.0)
    assert said.startswith("The int8 graph of the student alone gives only 42% of the trained model's detections")


def test_what_a_training_warned_of_is_kept(data: DataSet, tmp_path: Path) -> None:
    lines = [
        {"kind": "step", "step": 4, "epoch": 1},
        {"kind": "warning", "step": 4, "epoch": 1, "message": "It may be diverging."},
        {"kind": "warning", "step": 4, "epoch": 1},
    ]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trainings = {
        "student": TrainingFiles(metrics, tmp_path / "e", tmp_path / "r"),
        "other": TrainingFiles(metrics, *[metrics] * 2),
    }
    said = care(benchmark_row(data, []), trainings, student=30.0)
    assert said == ["Training of the student alone, epoch 1: It may be diverging."]


def test_a_graph_that_was_left_out_is_named(data: DataSet) -> None:
    reason = "its mAP of 28.00 is 2.00 below fp32's, 0.5 are allowed"
    one = manifest("student", data.labels, ["fp32"])
    one = one.model_copy(update={"left_out": [LeftOut(name="int8", reason=reason)]})
    (said,) = care(benchmark_row(data, [one]), student=30.0)
    assert said == f"The student alone has no int8 graph: {reason}."


def test_the_option_that_is_named_is_that_of_the_command(data: DataSet, tmp_path: Path) -> None:
    val = replace(data, name="steel/val")
    path = write_benchmark(tmp_path, val, roles=("student",))
    rows = read_rows(path)
    found = collect_results(rows)
    trainings = {"student": TrainingFiles(*[tmp_path / "none"] * 3)}
    (alone,) = sentences_of_care(found, rows.benchmark, {}, ROLE_TITLES)
    (of_a_run,) = sentences_of_care(found, rows.benchmark, trainings, ROLE_TITLES)
    assert alone.endswith("a test split with --split test.")
    assert of_a_run.endswith("a test split with --set benchmark.split=test.")
