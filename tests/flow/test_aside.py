"""A changed recipe costs the trial and not what was there before."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from fake_stages import FakeStages, make_recipe
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.distill.recipe import Recipe
from temper.distill.training.job import CHECKPOINTS_NAME
from temper.flow import aside
from temper.flow.folder import RunFolder
from temper.flow.run import run_recipe

FIRST, TRIAL, THIRD = (make_recipe(student__depth=depth) for depth in (18, 34, 50))
STUDENTS = ["student", "distilled", "export-student", "export-distilled"]


def redo(recipe: object, runs: Path, cut: str | None = None) -> list[str]:
    """The stages that a run did, broken off in one of them."""

    def stop(_: object, stage: str) -> None:
        if stage == cut:
            raise KeyboardInterrupt

    stages = FakeStages(stop)
    try:
        run_recipe(recipe, runs, silent, runner=stages)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        assert cut is not None
    return stages.done


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_trial_that_is_broken_off_costs_nothing(
    tmp_path: Path, exchanged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanged:
        monkeypatch.setattr("temper.core.files._exchange", lambda *_: False)
    redo(FIRST, tmp_path)
    before = (tmp_path / "fake" / "student" / "whole.txt").stat().st_mtime_ns
    assert redo(TRIAL, tmp_path, cut="distilled") == ["student"]
    events: list[Event] = []
    again = FakeStages()
    run_recipe(FIRST, tmp_path, events.append, runner=again)
    assert (tmp_path / "fake" / "student" / "whole.txt").stat().st_mtime_ns == before
    assert not set(again.done) & {*STUDENTS, "teacher"}, "the trainings and exports are those of before"
    told = {event.stage: event.data["reason"] for event in events if event.kind == "stage_skipped"}
    assert told["student"] == told["distilled"] == "done before, taken back"
    # the trial's own student is kept in its turn
    assert redo(TRIAL, tmp_path)[0] == "distilled"


def test_it_is_told_where_a_result_is_set_aside(tmp_path: Path) -> None:
    redo(FIRST, tmp_path)
    events: list[Event] = []
    run_recipe(TRIAL, tmp_path, events.append, runner=FakeStages())
    notes = {event.stage: event.data["message"] for event in events if event.kind == "note"}
    assert list(notes) == STUDENTS
    assert str(tmp_path / "fake" / "before" / "student") in notes["student"]


def test_one_result_of_each_stage_is_kept(tmp_path: Path) -> None:
    for recipe in (FIRST, TRIAL, THIRD):
        redo(recipe, tmp_path)
    assert redo(FIRST, tmp_path)[:2] == ["student", "distilled"], "gone two changes ago"
    assert sorted(path.name for path in (tmp_path / "fake" / "before").iterdir()) == sorted(STUDENTS)


def sign(runs: Path, packed: bool) -> str:
    """A signed bundle in the student's export, as a folder or as one file; gives its name."""
    bundle = runs / "fake" / "export-student" / "fake-student.temper"
    if packed:
        # 'temper bundle pack --out' takes any name
        with zipfile.ZipFile(bundle, "w") as archive:
            archive.writestr("signature.json", "{}")
        return bundle.name
    bundle.mkdir()
    (bundle / "signature.json").write_text("{}")
    return bundle.name


@pytest.mark.parametrize("packed", [False, True])
def test_a_signed_bundle_is_never_dropped(tmp_path: Path, packed: bool) -> None:
    redo(FIRST, tmp_path)
    name = sign(tmp_path, packed)
    redo(TRIAL, tmp_path)
    kept = tmp_path / "fake" / aside.ASIDE_NAME / "export-student" / name
    assert kept.exists()
    before = (tmp_path / "fake" / "recipe.json").read_bytes()
    stages = FakeStages()
    with pytest.raises(TemperError, match=r"fake-student\.temper.* is a signed bundle .* Move it to where you keep"):
        run_recipe(THIRD, tmp_path, silent, runner=stages)
    assert stages.done == [], "said before hours of training"
    assert (tmp_path / "fake" / "recipe.json").read_bytes() == before
    assert kept.exists()
    kept.rename(tmp_path / "released")
    assert "report" in redo(THIRD, tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_neither_again_nor_a_lost_file_drops_a_signed_bundle(tmp_path: Path, packed: bool) -> None:
    redo(FIRST, tmp_path)
    name = sign(tmp_path, packed)
    kept = tmp_path / "fake" / aside.ASIDE_NAME / "export-student" / name
    run_recipe(FIRST, tmp_path, silent, again=["export-student"], runner=FakeStages())
    assert kept.exists()
    kept.rename(tmp_path / "released")
    sign(tmp_path, packed)
    (tmp_path / "fake" / "export-student" / "whole.txt").unlink()
    redo(TRIAL, tmp_path)
    assert kept.exists()


def test_a_training_done_again_keeps_the_old_one_until_then_and_does_not_take_it_back(tmp_path: Path) -> None:
    redo(FIRST, tmp_path)

    def stop(_: object, stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_recipe(FIRST, tmp_path, silent, again=["distilled"], runner=FakeStages(stop))
    assert (tmp_path / "fake" / aside.ASIDE_NAME / "distilled" / "whole.txt").is_file()
    assert redo(FIRST, tmp_path)[0] == "distilled"


def test_what_was_done_again_already_is_taken_back(tmp_path: Path) -> None:
    redo(FIRST, tmp_path)

    def stop(_: object, stage: str) -> None:
        if stage == "distilled":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_recipe(FIRST, tmp_path, silent, again=["student", "distilled"], runner=FakeStages(stop))
    made = (tmp_path / "fake" / "student" / "whole.txt").stat().st_mtime_ns
    redo(TRIAL, tmp_path, cut="distilled")
    assert redo(FIRST, tmp_path)[0] == "distilled"
    assert (tmp_path / "fake" / "student" / "whole.txt").stat().st_mtime_ns == made


def test_what_is_taken_back_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redo(FIRST, tmp_path)
    redo(TRIAL, tmp_path)
    asked: list[str] = []
    monkeypatch.setattr("temper.flow.run.require_packages", asked.extend)
    assert redo(FIRST, tmp_path) == asked == ["benchmark", "report"]


@pytest.mark.parametrize("step", [1, 2])
def test_a_swap_that_was_killed_is_put_right(tmp_path: Path, step: int) -> None:
    """On a file system that cannot swap names, between its renames."""
    redo(FIRST, tmp_path)
    redo(TRIAL, tmp_path)
    place, kept = tmp_path / "fake" / "student", tmp_path / "fake" / aside.ASIDE_NAME / "student"
    kept.rename(place.with_name("student.aside"))
    if step == 2:
        place.rename(kept)
    done = redo(FIRST, tmp_path)
    assert "student" not in done
    assert not list((tmp_path / "fake").glob("*.aside"))
    assert "student" not in redo(TRIAL, tmp_path)


class Training(FakeStages):
    """Stops in the student after a checkpoint, and tells what a student went on from."""

    def __init__(self, cut: bool) -> None:
        super().__init__(self._in_between)
        self.cut, self.went_on_from = cut, list[str]()

    def _in_between(self, run: RunFolder, stage: str) -> None:
        if stage != "student":
            return
        checkpoint = run.stage(stage) / CHECKPOINTS_NAME / "step-000000007.safetensors"
        if checkpoint.exists():
            self.went_on_from.append(checkpoint.read_text())
        if self.cut:
            checkpoint.parent.mkdir(exist_ok=True)
            checkpoint.write_text(str(run.started_key(stage)))
            raise KeyboardInterrupt


def break_off(recipe: Recipe, runs: Path, **options: Any) -> Training:
    stages = Training(cut=True)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, runs, silent, runner=stages, **options)
    return stages


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_training_that_was_begun_is_not_lost_by_a_trial(
    tmp_path: Path, exchanged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanged:
        monkeypatch.setattr("temper.core.files._exchange", lambda *_: False)
    break_off(FIRST, tmp_path)
    run = RunFolder(tmp_path / "fake")
    first, told = run.started_key("student"), list[Event]()
    trial = Training(cut=True)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(TRIAL, tmp_path, told.append, runner=trial)
    assert trial.went_on_from == []
    (note,) = [event.data["message"] for event in told if event.kind == "note"]
    assert note.startswith("what was begun here is set aside in ") and "before/unfinished/student" in note
    second = run.started_key("student")
    # to and fro: each goes on where it was
    assert break_off(FIRST, tmp_path).went_on_from == [first]
    assert break_off(TRIAL, tmp_path).went_on_from == [second]
    told.clear()
    last = Training(cut=False)
    run_recipe(FIRST, tmp_path, told.append, runner=last)
    assert last.went_on_from == [first]
    assert "goes on with what was begun before and set aside" in [e.data.get("message") for e in told]


def test_what_was_begun_takes_the_place_of_nothing_that_is_finished(tmp_path: Path) -> None:
    redo(FIRST, tmp_path)
    made = (tmp_path / "fake/student/whole.txt").stat().st_mtime_ns
    break_off(TRIAL, tmp_path)
    key = RunFolder(tmp_path / "fake").started_key("student")
    break_off(THIRD, tmp_path)
    assert "student" not in redo(FIRST, tmp_path)
    assert (tmp_path / "fake/student/whole.txt").stat().st_mtime_ns == made
    # the last that was begun is the one that is kept
    assert break_off(TRIAL, tmp_path).went_on_from != [key]
    assert "student" not in redo(FIRST, tmp_path)
    key = RunFolder(tmp_path / "fake/before/unfinished").started_key("student")
    trial = Training(cut=False)
    run_recipe(TRIAL, tmp_path, silent, runner=trial)
    assert trial.went_on_from == [key]
    assert "student" not in redo(FIRST, tmp_path), "set aside in its turn, whole"


def test_again_means_from_the_beginning(tmp_path: Path) -> None:
    break_off(FIRST, tmp_path)
    redo(TRIAL, tmp_path)
    assert break_off(FIRST, tmp_path, again=["student"]).went_on_from == []


@pytest.mark.parametrize("step", [1, 2])
def test_a_swap_of_what_was_begun_that_was_killed_is_put_right(tmp_path: Path, step: int) -> None:
    break_off(FIRST, tmp_path)
    first = RunFolder(tmp_path / "fake").started_key("student")
    break_off(TRIAL, tmp_path)
    place, kept = tmp_path / "fake/student", tmp_path / "fake/before/unfinished/student"
    kept.rename(place.with_name("student.aside"))
    if step == 2:
        place.rename(kept)
    assert break_off(FIRST, tmp_path).went_on_from == [first]
