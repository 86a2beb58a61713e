"""Which stages a change touches. Each row names the stages that are done again; all others are left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fake_stages import FakeStages, make_recipe
from foreign_data import write_coco, write_drawing
from temper.core.errors import TemperError, UsageError
from temper.core.events import silent
from temper.distill.recipe import Recipe
from temper.flow import run as flow_run
from temper.flow.keys import NEEDS, STAGES, read_sources, stages_for
from temper.flow.run import run_recipe

EXPORTS = ["export-teacher", "export-student", "export-distilled"]
AFTER = ["benchmark", "report"]
MODELS = ["teacher", "student", "distilled"]


def redone(runs: Path, before: Recipe, after: Recipe) -> list[str]:
    """The stages that a second run does after a change."""
    run_recipe(before, runs, silent, runner=FakeStages())
    stages = FakeStages()
    run_recipe(after, runs, silent, runner=stages)
    return stages.done


TEACHERS = ["teacher", "distilled", "export-teacher", "export-distilled", *AFTER]
STUDENTS = ["student", "distilled", "export-student", "export-distilled", *AFTER]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({}, []),
        ({"seed": 2}, [*MODELS, *EXPORTS, *AFTER]),
        ({"data__synthetic": {"train": 9, "val": 4}}, list(STAGES)),
        # the pictures come out the same, so all that was learnt from them stands
        ({"data__split_seed": 1}, ["data", "report"]),
        ({"input__width": 192}, [*MODELS, *EXPORTS, *AFTER]),
        ({"teacher__depth": 34}, TEACHERS),
        ({"teacher__training__epochs": 3}, TEACHERS),
        ({"student__depth": 34}, STUDENTS),
        ({"student__training__batch_size": 2}, STUDENTS),
        ({"training__epochs": 3}, [*MODELS, *EXPORTS, *AFTER]),
        ({"training__augment__contrast": 0.2}, [*MODELS, *EXPORTS, *AFTER]),
        ({"distillation__inherit": False}, ["distilled", "export-distilled", *AFTER]),
        ({"export__nms_iou": 0.6}, [*EXPORTS, *AFTER]),
        ({"export__precisions": ["fp32"]}, [*EXPORTS, *AFTER]),
        ({"benchmark__min_seconds": 1.0}, AFTER),
        ({"benchmark__batch_sizes": [1, 8]}, AFTER),
        # how a training is done, not what comes of it; the report prints the recipe
        ({"training__workers": 0}, ["report"]),
        ({"training__checkpoint_seconds": 1.0}, ["report"]),
        ({"training__evaluate_every": 2}, ["report"]),
        ({"distillation__cache": "elsewhere"}, ["report"]),
        # a matter of rounding, but of the bits all the same
        ({"distillation__features": "live"}, ["distilled", "export-distilled", *AFTER]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_changed_recipe_redoes_what_the_change_touches(
    tmp_path: Path, change: dict[str, Any], stages: list[str]
) -> None:
    assert redone(tmp_path, make_recipe(), make_recipe(**change)) == [stage for stage in STAGES if stage in stages]


def test_every_section_of_a_recipe_is_read_by_some_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table above knows all sections: a new one needs its row."""
    sections = {"seed", "data", "input", "teacher", "student", "training", "distillation", "export", "benchmark"}
    assert set(Recipe.model_fields) == sections | {"name", "device"}
    # the device changes the numbers a little; nothing is trained here, so none has to be there
    monkeypatch.setattr(flow_run, "require_device", lambda recipe, stages: None)
    assert redone(tmp_path, make_recipe(), make_recipe(device="gpu"))[0] == "teacher"


def test_goals_bring_what_leads_to_them() -> None:
    assert stages_for(["report"]) == STAGES
    assert stages_for(["distilled"]) == ("data", "teacher", "distilled")
    assert stages_for(["export-student", "teacher"]) == ("data", "teacher", "student", "export-student")
    assert list(NEEDS) == list(STAGES)
    assert all(STAGES.index(need) < STAGES.index(stage) for stage, needs in NEEDS.items() for need in needs)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    (folder / "b.png").write_bytes(b"b")
    return folder


def from_folder(folder: Path) -> Recipe:
    return make_recipe(data__synthetic=None, data__path=str(folder))


def test_changed_files_bring_the_data_and_what_was_learnt_from_it(tmp_path: Path, pictures: Path) -> None:
    recipe = from_folder(pictures)
    assert redone(tmp_path / "runs", recipe, recipe) == []
    (pictures / "b.png").write_bytes(b"c")
    stages = FakeStages()
    run_recipe(recipe, tmp_path / "runs", silent, runner=stages)
    assert stages.done == list(STAGES)


def test_data_that_is_only_touched_or_moved_leaves_the_models_standing(tmp_path: Path, pictures: Path) -> None:
    runs = tmp_path / "runs"
    run_recipe(from_folder(pictures), runs, silent, runner=FakeStages())
    os.utime(pictures / "a.png", (1, 1))
    stages = FakeStages()
    run_recipe(from_folder(pictures), runs, silent, runner=stages)
    assert stages.done == ["data"]
    moved = pictures.rename(tmp_path / "moved")
    stages = FakeStages()
    run_recipe(from_folder(moved), runs, silent, runner=stages)
    assert stages.done == ["report"]


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, ["data", *EXPORTS, *AFTER]),
        ({"export__precisions": ["fp32"]}, ["data"]),
        ({"export__precisions": ["fp32"], "benchmark__split": "test"}, ["data", *AFTER]),
    ],
    ids=lambda value: ",".join(value),
)
def test_changed_test_pictures_touch_what_reads_them_and_no_training(
    tmp_path: Path, pictures: Path, changes: dict[str, Any], stages: list[str]
) -> None:
    recipe = make_recipe(data__synthetic=None, data__path=str(pictures), **changes)
    (pictures / "test.png").write_bytes(b"a")
    run_recipe(recipe, tmp_path / "runs", silent, runner=FakeStages())
    (pictures / "test.png").write_bytes(b"b")
    again = FakeStages()
    run_recipe(recipe, tmp_path / "runs", silent, runner=again)
    assert again.done == stages


def test_a_broken_link_and_a_strange_name_are_no_trouble(pictures: Path) -> None:
    (pictures / "gone.png").symlink_to("nowhere")
    (pictures / os.fsdecode(b"\xff\n.png")).write_bytes(b"x")
    first = read_sources(from_folder(pictures)).data
    assert first == read_sources(from_folder(pictures)).data
    (pictures / "gone.png").unlink()
    assert read_sources(from_folder(pictures)).data != first


def test_files_behind_a_link_count(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (pictures / "more").symlink_to(tmp_path / "elsewhere")
    (pictures / "more" / "round").symlink_to(pictures)
    first = read_sources(from_folder(pictures)).data
    (tmp_path / "elsewhere" / "z.png").write_bytes(b"z")
    assert read_sources(from_folder(pictures)).data != first


def test_an_archive_is_known_by_its_state(pictures: Path) -> None:
    file = pictures / "a.png"
    first = read_sources(from_folder(file)).data
    file.write_bytes(b"longer")
    assert read_sources(from_folder(file)).data != first


def test_the_pictures_that_a_json_file_names_count_and_no_others(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "source")
    recipe = from_folder(source / "annotations" / "instances_val2017.json")
    first = read_sources(recipe).data
    write_drawing(source / "runs" / "page.png", 1)
    assert read_sources(recipe).data == first
    write_drawing(source / "val2017" / "0000.png", 99)
    changed = read_sources(recipe).data
    assert changed != first
    (source / "val2017" / "0000.png").unlink()
    assert read_sources(recipe).data != changed


def test_missing_data_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"data.path is '.*none', and there is nothing at .*--set data.path=FOLDER"):
        read_sources(from_folder(tmp_path / "none"))


def test_unlabelled_pictures_are_looked_for_before_any_work(tmp_path: Path) -> None:
    def fault(path: Path) -> str:
        with pytest.raises(UsageError, match=r"data\.unlabelled is '.*', which (is no folder|has no pictures)") as told:
            read_sources(make_recipe(data__unlabelled=str(path)))
        return str(told.value)

    (tmp_path / "notes.txt").write_text("none here")
    assert "is no folder" in fault(tmp_path / "notes.txt")
    assert "has no pictures" in fault(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.PNG").write_bytes(b"x")
    assert read_sources(make_recipe(data__unlabelled=str(tmp_path))).unlabelled


def test_an_archive_that_grows_is_distilled_on_again_when_asked(tmp_path: Path) -> None:
    archive, runs = tmp_path / "line-3", tmp_path / "runs"
    archive.mkdir()
    (archive / "a.png").write_bytes(b"x")
    recipe = make_recipe(data__unlabelled=str(archive))
    assert redone(runs, recipe, recipe) == []
    (archive / "b.png").write_bytes(b"y")
    assert redone(runs, recipe, recipe) == []
    stages = FakeStages()
    run_recipe(recipe, runs, silent, again=["distilled"], runner=stages)
    assert stages.done[0] == "distilled"
    other = tmp_path / "line-4"
    archive.rename(other)
    assert redone(runs, make_recipe(data__unlabelled=str(other)), make_recipe(data__unlabelled=str(other))) == []
    third = tmp_path / "line-5"
    third.mkdir()
    (third / "a.png").write_bytes(b"x")
    last = make_recipe(data__unlabelled=str(third))
    assert redone(runs, make_recipe(data__unlabelled=str(other)), last)[0] == "distilled"


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    first = read_sources(make_recipe(student__weights=str(weights))).weights
    assert list(first) == ["student"]
    other = weights.rename(tmp_path / "other.safetensors")
    assert read_sources(make_recipe(student__weights=str(other))).weights == first
    other.write_bytes(b"two")
    assert read_sources(make_recipe(student__weights=str(other))).weights != first
    with pytest.raises(
        TemperError, match=r"teacher.weights is '.*', which cannot be read: No such file.*weights=null\."
    ):
        read_sources(make_recipe(teacher__weights=str(weights)))
    frozen = make_recipe(teacher__weights=str(weights), teacher__backbone_norm="frozen", teacher__freeze_stages=1)
    advice = "--set teacher.weights=null --set teacher.backbone_norm=train --set teacher.freeze_stages=0."
    with pytest.raises(TemperError, match=advice):
        read_sources(frozen)
