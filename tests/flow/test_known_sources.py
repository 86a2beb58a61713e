"""A run whose sources have moved: what is done needs them no more, what is to be done says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_stages import FakeStages, make_recipe
from temper.core.errors import UsageError
from temper.core.events import Event, silent
from temper.distill.recipe import Recipe
from temper.flow.run import run_recipe
from temper.flow.status import run_status


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pictures, in which a run was done."""
    for name in ("steel", "line", "golden"):
        (tmp_path / "here" / name).mkdir(parents=True)
        (tmp_path / "here" / name / "a.png").write_bytes(b"picture")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("temper.flow.run.require_golden", lambda *_: None)
    run_recipe(recipe(), Path("../runs"), silent, runner=FakeStages())
    return tmp_path


def recipe(**changes: object) -> Recipe:
    outside = {"data__path": "steel", "data__unlabelled": "line", "export__golden_images": "golden"}
    return make_recipe(**{"data__synthetic": None, **outside, **changes})


def redone(wanted: Recipe, told: list[Event], again: tuple[str, ...] = ()) -> list[str]:
    stages = FakeStages()
    run_recipe(wanted, Path("../runs"), told.append, runner=stages, again=again)
    return stages.done


@pytest.mark.parametrize("how", ["moved", "elsewhere", "unmounted"])
def test_a_finished_run_needs_no_sources(place: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("steel", "line", "golden"):
        if how != "elsewhere":
            shutil.rmtree(place / "here" / name)
        if how == "unmounted":
            (place / "here" / name).mkdir()
    if how == "elsewhere":
        monkeypatch.chdir(place / "there")
    told: list[Event] = []
    assert redone(recipe(), told) == []
    warnings = [event.data["message"] for event in told if event.kind == "warning"]
    assert len(warnings) == 3
    assert all("could not be looked at" in warning for warning in warnings)
    assert "The recipe's data.path is 'steel', and there is nothing at" in warnings[0]
    assert redone(recipe(), told, again=("report",)) == ["report"]
    assert redone(recipe(benchmark__min_seconds=1.0), told) == ["benchmark", "report"]


@pytest.mark.parametrize(
    ("changes", "again", "field"),
    [
        ({"data__split_seed": 7}, (), "data.path"),
        ({"data__path": "stel"}, (), "data.path"),
        ({}, ("data",), "data.path"),
        ({}, ("distilled",), "data.unlabelled"),
        ({"training__epochs": 3}, (), "data.unlabelled"),
        ({"export__nms_iou": 0.6}, (), "export.golden_images"),
    ],
)
def test_what_has_to_be_done_needs_them(
    place: Path, changes: dict[str, object], again: tuple[str, ...], field: str
) -> None:
    name = {"data.path": "steel", "data.unlabelled": "line", "export.golden_images": "golden"}[field]
    shutil.rmtree(place / "here" / name)
    if field != "data.path":  # it is not what is in the way
        shutil.rmtree(place / "here/steel")
    before = (place / "runs/fake/recipe.json").read_bytes()
    with pytest.raises(UsageError, match=f"The recipe's {field} is '.*', and there is nothing at"):
        redone(recipe(**changes), [], again)
    assert (place / "runs/fake/recipe.json").read_bytes() == before


def test_a_source_that_is_there_is_judged_beside_one_that_is_not(place: Path) -> None:
    shutil.rmtree(place / "here/line")
    (place / "here/steel/b.png").write_bytes(b"more")
    with pytest.raises(UsageError, match=r"data.unlabelled is 'line', and there is nothing"):
        redone(recipe(), [])


def test_status_knows_what_is_done_and_what_is_outdated(place: Path) -> None:
    shutil.rmtree(place / "here/steel")
    redone(recipe(), [])
    assert {stage.state for stage in run_status(place / "runs/fake")} == {"done"}
