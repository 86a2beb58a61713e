"""How stages are joined; a whole run of the real ones is in tests/commands/test_run.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_stages import FakeStages, make_recipe
from temper.benchmarks.history.store import HISTORY_NAME, History
from temper.benchmarks.measurement import MEASUREMENTS_NAME, read_rows
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.core.files import sha256_json
from temper.detection.dataset import load_split, save_split
from temper.flow.folder import RunFolder, StageRecord
from temper.flow.run import run_recipe
from temper.flow.stages import DATA_NAME, _warn_of_weak_teacher, data_split, judged_split, run_stage, training_job
from tiny_run import FinishedRun
from toy_data import toy_data


def run_data(folder: Path, **changes: Any) -> dict[str, Any]:
    """Do the data stage in a fresh run."""
    run = RunFolder(folder / "fake")
    run.begin("data", "k")
    return run_stage(make_recipe(**changes), run, "data", silent)


def test_synthetic_data_depends_on_its_section_alone(tmp_path: Path) -> None:
    first = run_data(tmp_path / "a")
    assert first["images"] == {"train": 8, "val": 4}
    assert first["boxes"]["train"] > 0
    assert first["labels"] == ["crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"]
    assert run_data(tmp_path / "b", seed=9)["content_sha256"] == first["content_sha256"]
    assert run_data(tmp_path / "c", data__synthetic__seed=1)["content_sha256"] != first["content_sha256"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A data set folder with train and val."""
    for index, (split, count) in enumerate((("train", 6), ("val", 3))):
        data = toy_data(tmp_path / "steel" / "images", count, seed=index)
        renamed = [(sample, f"{split}-{sample.file_name}") for sample in data.samples]
        for sample, name in renamed:
            data.image_path(sample).rename(tmp_path / "steel" / "images" / name)
        samples = tuple(type(s)(name, s.width, s.height, s.boxes, s.labels) for s, name in renamed)
        save_split(type(data)(data.labels, samples, data.image_folder, "toy"), tmp_path / "steel", split)
    return tmp_path / "steel"


def test_data_from_a_folder_are_imported_and_told_of(tmp_path: Path, pictures: Path) -> None:
    events: list[Event] = []
    run = RunFolder(tmp_path / "runs" / "fake")
    run.begin("data", "k")
    recipe = make_recipe(data__synthetic=None, data__path=str(pictures))
    facts = run_stage(recipe, run, "data", events.append)
    assert facts["images"] == {"train": 6, "val": 3}
    assert [event.kind for event in events] == ["note"]
    assert "Imported 6 train and 3 val pictures" in events[0].data["message"]
    assert data_split(recipe, run, "val").name == "steel/val"
    # what is half there from an interruption is done anew
    (run.stage("data") / DATA_NAME / "images" / "stray.png").write_bytes(b"x")
    assert run_stage(recipe, run, "data", silent) == facts
    assert not (run.stage("data") / DATA_NAME / "images" / "stray.png").exists()


def test_a_split_to_judge_on_is_asked_for_before_anything_trains(tmp_path: Path, pictures: Path) -> None:
    changes = {"data__synthetic": None, "data__path": str(pictures), "benchmark__split": "test"}
    run_recipe(make_recipe(**{**changes, "benchmark__split": "val"}), tmp_path / "a", silent, goals=["data"])
    stages = FakeStages()
    # the data were there already, and no training begins
    with pytest.raises(TemperError, match="the data has no test pictures. 'temper data split' parts some off"):
        run_recipe(make_recipe(**changes), tmp_path / "a", silent, runner=stages)
    assert stages.done == []
    data = load_split(pictures, "val")
    save_split(data.subset([0, 1]), pictures, "val")
    save_split(data.subset([2]), pictures, "test")
    run_data(tmp_path / "b", **changes)
    run = RunFolder(tmp_path / "b" / "fake")
    for split, name, count in (("val", "steel/val", 2), ("test", "steel/test", 1)):
        judged = judged_split(make_recipe(**{**changes, "benchmark__split": split}), run)
        assert (judged.name, len(judged)) == (name, count)


def test_a_changed_picture_is_another_content(tmp_path: Path, pictures: Path) -> None:
    changes = {"data__synthetic": None, "data__path": str(pictures)}
    first = run_data(tmp_path / "a", **changes)
    picture = sorted((pictures / "images").iterdir())[0]
    other = sorted((pictures / "images").iterdir())[1].read_bytes()
    picture.unlink()  # the import may have linked it
    picture.write_bytes(other)
    second = run_data(tmp_path / "b", **changes)
    assert second["sha256"] == first["sha256"], "the boxes are the same"
    assert second["content_sha256"] != first["content_sha256"]


def test_test_pictures_are_known_apart_from_what_is_learnt(tmp_path: Path, pictures: Path) -> None:
    changes = {"data__synthetic": None, "data__path": str(pictures)}
    data = load_split(pictures, "val")
    save_split(data.subset([0, 1]), pictures, "val")
    save_split(data.subset([2]), pictures, "test")
    first = run_data(tmp_path / "a", **changes)
    picture = data.image_path(data.samples[2])
    other = data.image_path(data.samples[0]).read_bytes()
    picture.unlink()  # the import may have linked it
    picture.write_bytes(other)
    second = run_data(tmp_path / "b", **changes)
    assert second["content_sha256"] == first["content_sha256"]
    assert second["test_sha256"] != first["test_sha256"]


def test_a_distillation_on_unlabelled_pictures_knows_what_is_judged_on(tmp_path: Path, pictures: Path) -> None:
    changes = {"data__synthetic": None, "data__path": str(pictures), "data__unlabelled": str(pictures / "images")}
    data = load_split(pictures, "val")
    save_split(data.subset([0, 1]), pictures, "val")
    save_split(data.subset([2]), pictures, "test")
    run = RunFolder(tmp_path / "a" / "fake")
    facts = run_data(tmp_path / "a", **changes)
    run.finish("data", StageRecord("k", 0.0, facts))
    job = training_job(make_recipe(**changes), run, "distilled", tmp_path)
    assert job.test is not None and [s.file_name for s in job.test.samples] == [data.samples[2].file_name]
    # what is left out of the list is part of its name
    run.finish("data", StageRecord("k", 0.0, {**facts, "test_sha256": "other"}))
    assert training_job(make_recipe(**changes), run, "distilled", tmp_path).unlabelled_list != job.unlabelled_list
    assert training_job(make_recipe(**changes), run, "student").test is None


def test_teacher_and_student_have_their_sections() -> None:
    recipe = make_recipe(teacher__depth=34)
    assert recipe.section_of("teacher").depth == 34
    assert recipe.section_of("student") == recipe.section_of("distilled") == recipe.student


@pytest.mark.parametrize(("teacher", "warned"), [(10.0, True), (30.0, False), (None, False)])
def test_a_teacher_who_knows_less_is_warned_of(tmp_path: Path, teacher: float | None, warned: bool) -> None:
    run = RunFolder(tmp_path)
    for model, points in (("teacher", teacher), ("student", 20.0)):
        run.begin(model, "k")
        run.finish(model, StageRecord("k", 1, {"accuracy": {"ap": points}}))
    events: list[Event] = []
    _warn_of_weak_teacher(run, events.append)
    told = [event.data["message"] for event in events]
    assert len(told) == warned
    assert not warned or told[0].startswith(
        "The teacher (10.0 mAP) is not better than the student alone (20.0 mAP), so"
    )


def test_facts_of_a_real_run_are_those_of_its_files(finished_run: FinishedRun) -> None:
    run = RunFolder(finished_run.path)
    record = run.record("data")
    assert record is not None
    for split in ("train", "val"):
        data = load_split(run.stage("data") / DATA_NAME, split)
        assert record.result["images"][split] == len(data)
        assert record.result["sha256"][split] == data.content_hash()
    assert len(record.result["content_sha256"]) == len(sha256_json(""))
    benchmark = run.record("benchmark")
    assert benchmark is not None and benchmark.result == {"candidates": 3}


def test_the_benchmark_of_a_run_is_in_the_history_beside_it(finished_run: FinishedRun) -> None:
    measured = read_rows(finished_run.path / "benchmark" / MEASUREMENTS_NAME)
    with History(finished_run.path.parent / HISTORY_NAME) as history:
        points = history.points(["p50"])
    assert {point.model for point in points} == {row.subject.model for row in measured.latency}
    assert {point.started for point in points} == {measured.benchmark.started_at}
