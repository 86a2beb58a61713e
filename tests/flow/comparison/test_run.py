from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.distill.recipe import Recipe

pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.weights import load_weights
from temper.flow.comparison.run import Comparison, parse_ways, run_comparison
from temper.flow.folder import COMPARISON_NAME, RunFolder

THIN = {"depth": 18, "width": 0.125, "neck_channels": 16, "head_convs": 1, "head_norm": "level_batch"}
VALUES: dict[str, Any] = {
    "name": "tiny",
    "data": {"synthetic": {"train": 10, "val": 4}},
    "input": {"width": 64, "height": 64},
    "teacher": {**THIN, "strides": [8, 16, 32]},
    "student": {**THIN, "strides": [8, 16, 32]},
    "training": {"epochs": 1, "batch_size": 4, "warmup_steps": 2, "workers": 0, "checkpoint_seconds": 0},
    "distillation": {"mgd": {"alpha": 0.5, "alpha_form": "relative"}},
}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**VALUES, **changes})


CWD = recipe(distillation={"mgd": None, "cwd": {}})


def test_two_seeds_two_ways_one_teacher(tmp_path: Path) -> None:
    events: list[Event] = []
    wanted = Comparison(recipe(), (1, 2), {"cwd": CWD}, one_teacher=True)
    outcome = run_comparison(wanted, tmp_path, events.append)
    assert [(one.model, one.seed) for one in outcome.trainings] == [
        *[("teacher", 1), ("student", 1), ("distilled", 1), ("cwd", 1)],
        *[("student", 2), ("distilled", 2), ("cwd", 2)],
    ]
    # the teacher is the same network as the student here, trained alike
    hashes = [one.record["weights_sha256"] for one in outcome.trainings if one.model != "teacher"]
    assert len(set(hashes)) == len(hashes), "each is a training of its own"
    first, second = (load_weights(outcome.folder / f"seed-{n}/teacher/weights.safetensors") for n in (1, 2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not (outcome.folder / "features").exists()
    assert {event.stage for event in events if event.kind == "step"} == {"teacher", "student", "distilled", "cwd"}
    figures = json.loads((outcome.folder / "result.json").read_text())
    assert len(figures["trainings"]) == 7
    events.clear()
    again = run_comparison(wanted, tmp_path, events.append)
    assert [one.record for one in again.trainings] == [one.record for one in outcome.trainings]
    assert not any(event.kind == "step" for event in events)


def test_each_seed_has_its_own_teacher_and_more_seeds_can_be_added(tmp_path: Path) -> None:
    run_comparison(Comparison(recipe(), (1,)), tmp_path, silent)
    events: list[Event] = []
    outcome = run_comparison(Comparison(recipe(), (1, 2)), tmp_path, events.append)
    assert [(one.model, one.seed) for one in outcome.trainings if one.model == "teacher"] == [
        ("teacher", 1),
        ("teacher", 2),
    ]
    assert sum(event.kind == "stage_done" and event.stage == "teacher" for event in events) == 1
    assert "2 of 2 seeds (1, 2)" in (outcome.folder / "result.md").read_text()


def test_an_archive_that_grows_is_listed_once_for_all_trainings(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    rng = np.random.default_rng(0)

    def grow(index: int) -> None:
        cv2.imwrite(str(archive / f"{index}.png"), rng.integers(0, 255, (64, 64), dtype=np.uint8))

    grow(0)
    grow(1)
    told: list[str] = []

    def report(event: Event) -> None:
        if event.kind == "note" and "unlabelled" in event.data["message"]:
            told.append(event.data["message"])
            grow(len(told) + 1)

    data = {**VALUES["data"], "unlabelled": str(archive)}
    wanted = Comparison(recipe(data=data), (1, 2), {"cwd": recipe(data=data, distillation={"mgd": None, "cwd": {}})})
    outcome = run_comparison(wanted, tmp_path / "runs", report)
    assert told == ["Distilling on 2 unlabelled pictures as well."] * 4
    assert len(list(outcome.folder.glob("unlabelled-*.json"))) == 1


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (recipe(), "--way other teaches the student as the recipe does"),
        (recipe(training={"epochs": 2}), "--way other also changes the teacher and the student;"),
        (recipe(data={"synthetic": {"train": 11, "val": 4}}), "--way other also changes the data;"),
    ],
)
def test_a_way_only_teaches(tmp_path: Path, way: Recipe, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run_comparison(Comparison(recipe(), (1,), {"other": way}), tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tiny-compare").mkdir()
    (tmp_path / "tiny-compare/recipe.json").write_text("{}")
    with pytest.raises(UsageError, match="is the folder of a run, and this comparison would lie there"):
        run_comparison(Comparison(recipe(), (1,)), tmp_path, silent)


def test_two_processes_never_work_in_one_comparison(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-compare"
    with RunFolder(folder, COMPARISON_NAME).locked(), pytest.raises(TemperError, match=r"Another temper \(process \d+"):
        run_comparison(Comparison(recipe(), (1,)), tmp_path, silent)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_ways_are_gathered_by_their_names() -> None:
    texts = ["cwd:distillation.mgd=null", "more-mgd:distillation.mgd.alpha=2", "cwd:distillation.cwd.alpha=5"]
    assert parse_ways(texts) == {
        "cwd": ["distillation.mgd=null", "distillation.cwd.alpha=5"],
        "more-mgd": ["distillation.mgd.alpha=2"],
    }


@pytest.mark.parametrize("text", ["cwd", "cwd:", "distillation.mgd=null", ":a=1", "../x:a=1", f"{'a' * 41}:a=1"])
def test_a_way_without_name_or_field(text: str) -> None:
    with pytest.raises(UsageError, match="write it as NAME:FIELD=VALUE"):
        parse_ways([text])


def test_a_way_has_a_name_of_its_own() -> None:
    with pytest.raises(UsageError, match="'student' is one of the recipe's own models"):
        parse_ways(["student:distillation.mgd=null"])
