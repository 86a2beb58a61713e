from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_stages import FakeStages, make_recipe
from temper.core.errors import TemperError, UsageError
from temper.core.events import silent
from temper.flow.folder import RunFolder
from temper.flow.keys import STAGES
from temper.flow.run import run_recipe
from temper.flow.status import StageStatus, find_run, run_status


class PowerCut(BaseException):
    pass


def states(run: RunFolder) -> dict[str, str]:
    return {status.stage: status.state for status in run_status(run.path)}


def all_but(other: dict[str, str], usual: str = "done") -> dict[str, str]:
    return dict.fromkeys(STAGES, usual) | other


def broken_off(runs: Path, at: str, **changes: object) -> RunFolder:
    """A run that was killed in the middle of a stage."""

    def cut(_: RunFolder, stage: str) -> None:
        if stage == at:
            raise PowerCut

    with pytest.raises(PowerCut):
        run_recipe(make_recipe(**changes), runs, silent, runner=FakeStages(cut))
    return RunFolder(runs / "fake")


@pytest.fixture
def done(tmp_path: Path) -> RunFolder:
    return run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())


def test_a_finished_run(done: RunFolder) -> None:
    assert states(done) == all_but({})
    assert run_status(done.path)[1].seconds == 7.0


def test_a_run_that_was_broken_off(tmp_path: Path) -> None:
    run = broken_off(tmp_path, "student")
    expected = {"data": "done", "teacher": "done", "student": "interrupted"}
    assert states(run) == all_but(expected, "to do")


def test_a_stage_that_failed_says_why_until_it_begins_again(tmp_path: Path) -> None:
    def fail(_: RunFolder, stage: str) -> None:
        if stage == "teacher":
            raise TemperError("The disk is full. Free some.")

    seen: list[dict[str, str]] = []
    with pytest.raises(TemperError, match="The disk is full"):
        run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(fail))
    run = RunFolder(tmp_path / "fake")
    assert states(run) == all_but({"data": "done", "teacher": "failed"}, "to do")
    assert [status.why for status in run_status(run.path)][:2] == [None, "The disk is full. Free some."]
    broken_off(tmp_path, "teacher")
    assert states(run)["teacher"] == "interrupted" and run_status(run.path)[1].why is None
    with pytest.raises(TemperError, match="The disk is full"):
        run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(fail))
    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(lambda run, _: seen.append(states(run))))
    assert seen[0]["teacher"] == "running" and states(run) == all_but({})


def test_an_interruption_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swallow(_: RunFolder, stage: str) -> None:
        if stage == "teacher":
            monkeypatch.setattr("temper.flow.run.received", KeyboardInterrupt)
            raise RuntimeError("what a library makes of it")

    with pytest.raises(RuntimeError, match="what a library makes of it"):
        run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(swallow))
    assert states(RunFolder(tmp_path / "fake"))["teacher"] == "interrupted"


def test_while_it_runs(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    times: list[float | None] = []

    def look(run: RunFolder, stage: str) -> None:
        seen.append(states(run))
        times.append(next(status.seconds for status in run_status(run.path) if status.stage == stage))

    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(look))
    for index, stage in enumerate(STAGES):
        before = dict.fromkeys(STAGES[:index], "done")
        assert seen[index] == all_but(before | {stage: "running"}, "to do")
    assert all(seconds is not None and 0 <= seconds < 60 for seconds in times)


def test_while_something_is_done_again(done: RunFolder, tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    look = FakeStages(lambda run, stage: seen.append(states(run)))
    run_recipe(make_recipe(), tmp_path, silent, again=["student"], runner=look)
    # what hangs on the student may stand or not, as it turns out
    hanging = dict.fromkeys(["export-student", "benchmark", "report"], "outdated")
    assert seen == [all_but({"student": "running", **hanging})]
    assert states(done) == all_but({})


def test_after_a_change_of_the_recipe(done: RunFolder, tmp_path: Path) -> None:
    broken_off(tmp_path, "student", training__epochs=3)
    hanging = ["distilled", "export-teacher", "export-student", "export-distilled", "benchmark", "report"]
    expected = {"student": "interrupted"} | dict.fromkeys(hanging, "outdated")
    assert states(done) == all_but(expected)


def test_half_done_work_of_another_recipe_would_not_go_on(tmp_path: Path) -> None:
    broken_off(tmp_path, "student")
    run = broken_off(tmp_path, "teacher", seed=2)
    expected = {"data": "done", "teacher": "interrupted", "student": "outdated"}
    assert states(run) == all_but(expected, "to do")


def test_a_lost_file_makes_its_stage_outdated(done: RunFolder) -> None:
    (done.stage("report") / "whole.txt").unlink()
    assert states(done) == all_but({"report": "outdated"})


def test_a_torn_record_makes_its_stage_outdated(done: RunFolder) -> None:
    record = done.stage("report") / "stage.json"
    record.write_bytes(record.read_bytes()[:20])
    assert states(done) == all_but({"report": "outdated"})


def test_data_that_has_moved_away_leaves_what_is_done_done(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"a")
    changes = {"data__synthetic": None, "data__path": str(pictures)}
    run = broken_off(tmp_path / "runs", "student", **changes)
    expected = all_but({"data": "done", "teacher": "done", "student": "interrupted"}, "to do")
    assert states(run) == expected
    pictures.rename(tmp_path / "elsewhere")
    assert states(run) == expected
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"other")
    (tmp_path / "elsewhere").rename(pictures)
    assert states(run) == all_but({"data": "outdated", "teacher": "outdated", "student": "outdated"}, "to do")


def test_a_training_tells_what_it_has_reached(tmp_path: Path) -> None:
    run = broken_off(tmp_path, "teacher", teacher__training__epochs=9)
    lines = [
        {"kind": "step", "step": 1, "epoch": 1, "total": 2.5},
        {"kind": "evaluated", "step": 1, "epoch": 1, "ap": 31.5},
        {"kind": "step", "step": 2, "epoch": 2, "total": 1.5},
    ]
    torn = '{"kind": "step", "st'
    (run.stage("teacher") / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)
    assert run_status(run.path)[1] == StageStatus("teacher", "interrupted", None, 2, 9, 1.5, 31.5)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"5\n", b"null\n", b'{"kind": "step"}\n', b"\0" * 100])
def test_a_damaged_log_is_no_trouble(tmp_path: Path, content: bytes) -> None:
    run = broken_off(tmp_path, "teacher")
    (run.stage("teacher") / "metrics.jsonl").write_bytes(content)
    assert run_status(run.path)[1].state == "interrupted"


def test_a_run_is_found_by_its_name_or_its_folder(done: RunFolder, tmp_path: Path) -> None:
    assert find_run(Path("fake"), tmp_path) == tmp_path / "fake"
    assert find_run(tmp_path / "fake", Path("elsewhere")) == tmp_path / "fake"
    with pytest.raises(TemperError, match=r"There is no run fak. Did you mean 'fake'\? 'temper run RECIPE' starts one"):
        find_run(Path("fak"), tmp_path)
    with pytest.raises(TemperError, match=r"There is no run other. Known here: fake."):
        find_run(Path("other"), tmp_path)
    with pytest.raises(TemperError, match=r"There is no run other. 'temper run RECIPE' starts one."):
        find_run(Path("other"), tmp_path / "none")


def test_a_recipe_that_cannot_be_read(done: RunFolder) -> None:
    (done.path / "recipe.json").write_text("{torn")
    with pytest.raises(TemperError, match=r"recipe.json cannot be read as JSON"):
        run_status(done.path)
    (done.path / "recipe.json").write_text("{}")
    with pytest.raises(UsageError, match=r"recipe.json: name is missing"):
        run_status(done.path)
