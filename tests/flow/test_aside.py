"""A changed recipe costs the trial and not what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_stages import FakeStages, make_recipe
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.flow import aside
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


def test_a_signed_bundle_is_never_dropped(tmp_path: Path) -> None:
    redo(FIRST, tmp_path)
    bundle = tmp_path / "fake" / "export-student" / "fake-student.temper"
    bundle.mkdir()
    (bundle / "signature.json").write_text("{}")
    redo(TRIAL, tmp_path)
    kept = tmp_path / "fake" / aside.ASIDE_NAME / "export-student" / bundle.name
    assert (kept / "signature.json").is_file()
    with pytest.raises(TemperError, match=r"fake-student\.temper is a signed bundle .* Move it to where you keep"):
        redo(THIRD, tmp_path)
    assert (kept / "signature.json").is_file()
    kept.rename(tmp_path / "released.temper")
    assert "report" in redo(THIRD, tmp_path)
