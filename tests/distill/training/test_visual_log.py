from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.core.events import Event, silent
from temper.detection.dataset import DataSet

pytest.importorskip("paddle", reason="training needs PaddlePaddle")
visualdl = pytest.importorskip("visualdl", reason="the log is VisualDL's")

from temper.distill.training.log import TrainingLog, read_metrics  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from temper.distill.training.visual_log import visual_log  # noqa: E402


class Interrupted(Exception):
    pass


def interrupted_after(steps: int):
    def report(event: Event) -> None:
        if event.kind == "step" and event.data["done"] == steps:
            raise Interrupted

    return report


def read_log(folder: Path) -> visualdl.LogReader:
    (file,) = folder.iterdir()
    return visualdl.LogReader(file_path=str(file))


def points(reader: visualdl.LogReader, tag: str) -> list[tuple[int, float]]:
    return [(point.id, point.value) for point in reader.get_data("scalar", tag)]


def test_a_killed_and_resumed_training_has_every_step_once(make_job, tmp_path):
    whole = make_job(visual_log=tmp_path / "vdl" / "whole")
    broken = make_job(visual_log=tmp_path / "vdl" / "broken")
    train_model(whole, tmp_path / "whole", silent)
    # the first is in the middle of an epoch, the second right after an evaluation
    for steps in (5, 13):
        with pytest.raises(Interrupted):
            train_model(broken, tmp_path / "broken", interrupted_after(steps))
    train_model(broken, tmp_path / "broken", silent)
    logs = [read_log(tmp_path / "vdl" / name) for name in ("whole", "broken")]
    tags = set(logs[0].get_tags()["scalar"])
    assert {"loss/total", "loss/classification", "step/learning_rate", "accuracy/mAP", "mAP of class/dark"} <= tags
    assert set(logs[1].get_tags()["scalar"]) == tags
    for tag in tags:
        assert points(logs[0], tag) == points(logs[1], tag)
    assert [step for step, _ in points(logs[1], "loss/total")] == list(range(1, 19))
    evaluated = [entry["step"] for entry in read_metrics(tmp_path / "whole/metrics.jsonl") if "ap" in entry]
    assert evaluated == [12, 18]
    for log in logs:
        assert [image.id for image in log.get_data("image", "examples/1")] == evaluated
    for name in ("metrics.jsonl", "examples.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_files_carry_what_the_report_draws(make_job, tmp_path):
    train_model(make_job(), tmp_path, silent)
    evaluations = [entry for entry in read_metrics(tmp_path / "metrics.jsonl") if entry["kind"] == "evaluated"]
    assert all(set(entry["per_class"]) == {"dark", "bright"} for entry in evaluations)
    examples = read_metrics(tmp_path / "examples.jsonl")
    assert [entry["epoch"] for entry in examples] == [entry["epoch"] for entry in evaluations] == [2, 3]
    assert [picture["file"] for picture in examples[0]["pictures"]] == [p["file"] for p in examples[1]["pictures"]]


def test_steps_tell_what_their_loss_is_made_of(make_job, tmp_path):
    events: list[Event] = []
    train_model(make_job(training={"epochs": 1}), tmp_path, events.append)
    steps = [event.data for event in events if event.kind == "step"]
    assert all(sum(step["losses"].values()) == pytest.approx(step["loss"], rel=1e-5) for step in steps)
    assert steps[0]["distillation"] == {}


def test_a_listener_hears_what_was_kept_and_what_is_new(tmp_path):
    entries = [{"kind": kind, "step": step} for step in (1, 2, 3) for kind in ("step", "evaluated", "examples")]
    first = TrainingLog(tmp_path, 0)
    for entry in entries:
        first.append(entry)
    heard: list[dict] = []
    second = TrainingLog(tmp_path, 2, heard.append)
    for entry in entries[6:]:
        second.append(entry)
    assert sorted(map(json.dumps, heard)) == sorted(map(json.dumps, entries))
    assert [entry["step"] for entry in heard] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_class_of_any_name_is_logged(make_job, tmp_path, toy_sets):
    def renamed(data: DataSet) -> DataSet:
        return replace(data, labels=("dark/50%", "ß"))

    sets = {"train": renamed(toy_sets[0]), "val": renamed(toy_sets[1])}
    train_model(make_job(training={"epochs": 1}, visual_log=tmp_path / "vdl", **sets), tmp_path / "out", silent)
    tags = read_log(tmp_path / "vdl").get_tags()["scalar"]
    assert {"mAP of class/dark-50percent", "mAP of class/ß"} <= set(tags)


def test_pictures_are_logged_a_few_times_however_long_the_training(make_job, tmp_path):
    job = make_job(training={"epochs": 100}, visual_log=tmp_path / "vdl")
    sample = job.val.samples[0]
    picture = {"file": sample.file_name, "size": [64, 64], "status": "ok", "boxes": [], "scores": [], "labels": []}
    with visual_log(job, silent) as listen:
        for epoch in range(1, 101):
            listen({"kind": "examples", "step": epoch, "epoch": epoch, "pictures": [picture]})
    drawn = read_log(tmp_path / "vdl").get_data("image", "examples/1")
    assert 10 <= len(drawn) <= 14
    assert drawn[-1].id == 100
    assert np.frombuffer(drawn[0].image.encoded_image_string, np.uint8).size > 1000


def test_without_visualdl_training_goes_on_with_a_note(make_job, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "visualdl", None)
    notes = []
    job = make_job(training={"epochs": 1}, visual_log=tmp_path / "vdl")
    train_model(job, tmp_path / "out", lambda e: notes.append(e.data["message"]) if e.kind == "note" else None)
    assert notes == ["VisualDL is not installed, so no log for it is written."]
    assert not (tmp_path / "vdl").exists()
    assert (tmp_path / "out/record.json").exists()


def test_a_model_that_is_judged_alone_has_its_figures(make_job, tmp_path):
    job = make_job(visual_log=tmp_path / "log")
    train_model(replace(job, training=job.training.model_copy(update={"epochs": 0})), tmp_path / "out", silent)
    reader = read_log(tmp_path / "log")
    assert [step for step, _ in points(reader, "accuracy/mAP")] == [0]
