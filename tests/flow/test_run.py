from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_stages import FakeStages, make_recipe
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.events import Event, silent
from temper.core.files import read_json
from temper.core.interruption import listening
from temper.distill.recipe import to_plain
from temper.distill.weights import save_weights
from temper.flow.folder import RunFolder
from temper.flow.keys import STAGES
from temper.flow.run import run_recipe


class PowerCut(BaseException):
    pass


def cut_in(stage: str) -> Callable[[RunFolder, str], None]:
    """Breaks off in the middle of a stage."""

    def cut(_: RunFolder, at: str) -> None:
        if at == stage:
            raise PowerCut

    return cut


def test_all_stages_are_done_in_order_and_told(tmp_path: Path) -> None:
    events: list[Event] = []
    stages = FakeStages()
    folder = run_recipe(make_recipe(), tmp_path, events.append, runner=stages)
    assert stages.done == list(STAGES)
    assert read_json(folder.path / "recipe.json") == to_plain(make_recipe())
    started = [event for event in events if event.kind == "stage_started"]
    assert [event.stage for event in started] == list(STAGES)
    assert [event.data for event in started] == [{"index": i, "total": 9} for i in range(1, 10)]
    # a training knows itself how long it took; the others are timed
    seconds = {event.stage: event.data["seconds"] for event in events if event.kind == "stage_done"}
    assert seconds["teacher"] == 7.0
    assert 0 <= seconds["data"] < 5


def test_again_skips_all_and_writes_nothing(tmp_path: Path) -> None:
    folder = run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.name != ".lock"}
    events: list[Event] = []
    stages = FakeStages()
    run_recipe(make_recipe(), tmp_path, events.append, runner=stages)
    assert stages.done == []
    assert {(event.kind, event.data["reason"]) for event in events} == {("stage_skipped", "already done")}
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.name != ".lock"} == before


@pytest.mark.parametrize("stage", STAGES)
def test_broken_off_in_any_stage_it_goes_on_from_there(tmp_path: Path, stage: str) -> None:
    first = FakeStages(cut_in(stage))
    with pytest.raises(PowerCut):
        run_recipe(make_recipe(), tmp_path, silent, runner=first)
    seen = []
    second = FakeStages(lambda run, at: seen.append((at, (run.stage(at) / "half.txt").exists())))
    half = tmp_path / "fake" / stage / "half.txt"
    before = half.stat().st_ino
    run_recipe(make_recipe(), tmp_path, silent, runner=second)
    assert [*first.done, *second.done] == list(STAGES)
    assert before != half.stat().st_ino, "the fake writes it anew"
    assert all(there for _, there in seen)


def test_half_done_work_of_another_recipe_is_thrown_away(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages(cut_in("teacher")))
    (tmp_path / "fake" / "teacher" / "checkpoint").write_text("of seed 1")
    there = []
    look = FakeStages(lambda run, at: there.append((run.stage(at) / "checkpoint").exists()))
    run_recipe(make_recipe(seed=2), tmp_path, silent, runner=look)
    assert there == [False] * len(there) and look.done[0] == "teacher"


def test_a_stage_done_again_on_request_that_comes_out_the_same_leaves_the_rest_standing(tmp_path: Path) -> None:
    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    for again, expected in ((["teacher"], ["teacher"]), (["data", "student"], ["data", "student"])):
        stages = FakeStages()
        run_recipe(make_recipe(), tmp_path, silent, again=again, runner=stages)
        assert stages.done == expected
    # an export carries its time, so what was measured of the old one is measured again
    stages = FakeStages()
    run_recipe(make_recipe(), tmp_path, silent, again=["export-student"], runner=stages)
    assert stages.done == ["export-student", "benchmark", "report"]


def test_doing_stages_again_goes_on_after_an_interruption(tmp_path: Path) -> None:
    run = run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    again = ["teacher", "student"]
    first = FakeStages(cut_in("student"))
    with pytest.raises(PowerCut):
        run_recipe(make_recipe(), tmp_path, silent, again=again, runner=first)
    assert first.done == ["teacher"]
    (run.stage("student") / "checkpoint").write_text("of the interrupted training")
    kept = []
    second = FakeStages(lambda run, at: kept.append((run.stage(at) / "checkpoint").exists()))
    run_recipe(make_recipe(), tmp_path, silent, again=again, runner=second)
    assert second.done == ["student"] and kept == [True]
    third = FakeStages()
    run_recipe(make_recipe(), tmp_path, silent, again=again, runner=third)
    assert third.done == again, "the interrupted call is over, so this is a new one"


def test_what_was_to_be_done_again_is_done_by_a_call_without_it_too(tmp_path: Path) -> None:
    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    with pytest.raises(PowerCut):
        run_recipe(make_recipe(), tmp_path, silent, again=["teacher", "student"], runner=FakeStages(cut_in("teacher")))
    for goal, done in (("teacher", ["teacher"]), ("report", ["student"])):
        stages = FakeStages()
        run_recipe(make_recipe(), tmp_path, silent, goals=[goal], runner=stages)
        assert stages.done == done
    assert not (tmp_path / "fake" / "again.json").exists()


def test_a_goal_brings_only_what_leads_to_it(tmp_path: Path) -> None:
    stages = FakeStages()
    run_recipe(make_recipe(), tmp_path, silent, goals=["student"], runner=stages)
    assert stages.done == ["data", "student"]
    run_recipe(make_recipe(), tmp_path, silent, runner=stages)
    assert sorted(stages.done) == sorted(STAGES)


def test_damage_is_mended(tmp_path: Path) -> None:
    folder = run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    (folder.path / "recipe.json").write_bytes(b"\xff{torn")
    (folder.stage("student") / "whole.txt").unlink()
    stages = FakeStages()
    run_recipe(make_recipe(), tmp_path, silent, runner=stages)
    assert stages.done == ["student"]
    assert read_json(folder.path / "recipe.json") == to_plain(make_recipe())


def test_weights_that_were_damaged_cost_nothing_made_of_them_before(tmp_path: Path) -> None:
    folder = run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    weights = folder.stage("student") / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")  # of the same size
    changed = make_recipe(export__max_detections=50)
    before = sorted(path for path in folder.path.rglob("*") if path.is_file())
    stages = FakeStages()
    with pytest.raises(TemperError, match=r"weights.safetensors are not those .*'temper run \S+fake --again student'"):
        run_recipe(changed, tmp_path, silent, goals=["export-student"], runner=stages)
    assert stages.done == []
    assert set(before) <= set(folder.path.rglob("*")), "the bundle stays where it is"
    run_recipe(changed, tmp_path, silent, again=["student"], runner=stages)
    assert stages.done[0] == "student"


def test_what_killed_writers_left_is_swept_away(tmp_path: Path) -> None:
    folder = run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    (folder.path / ".recipe.json.x.partial").write_text("torn")
    (folder.stage("data") / ".set.y.partial").mkdir()
    (folder.stage("data") / ".set.y.partial" / "1.png").write_text("torn")
    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    assert not list(folder.path.rglob("*.partial"))


def test_missing_packages_are_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.flow.requirements.is_installed", lambda name: name not in ("paddle", "onnx"))
    with pytest.raises(MissingDependencyError, match=r"This needs paddlepaddle, onnx, which are not installed in "):
        run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    assert os.listdir(tmp_path) == []


def test_packages_of_stages_that_are_done_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_recipe(make_recipe(), tmp_path, silent, runner=FakeStages())
    monkeypatch.setattr("temper.flow.requirements.is_installed", lambda name: name not in ("paddle", "onnx"))
    stages = FakeStages()
    run_recipe(make_recipe(benchmark__min_seconds=1.0), tmp_path, silent, runner=stages)
    assert stages.done == ["benchmark", "report"]


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_weights_are_looked_at_before_any_work(tmp_path: Path, model: str) -> None:
    pytest.importorskip("safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not weights at all")
    recipe = make_recipe(**{f"{model}__weights": str(bad)})
    stages = FakeStages()
    with pytest.raises(TemperError, match=r"bad.safetensors are damaged or not safetensors"):
        run_recipe(recipe, tmp_path / "runs", silent, runner=stages)
    assert stages.done == []
    import numpy as np

    save_weights(bad, {"w": np.zeros(3, np.float32)})
    run_recipe(recipe, tmp_path / "runs", silent, runner=stages)
    assert stages.done == list(STAGES)


def test_an_interruption_that_a_library_swallowed_ends_the_run_at_the_next_word(tmp_path: Path) -> None:
    import contextlib
    import signal

    def swallow(_: RunFolder, stage: str) -> None:
        if stage == "teacher":
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    stages = FakeStages(swallow)
    with listening(), pytest.raises(KeyboardInterrupt):
        run_recipe(make_recipe(), tmp_path, silent, runner=stages)
    assert stages.done == ["data", "teacher"]


@pytest.mark.parametrize(
    ("changes", "goal", "told"),
    [
        (
            {"training__batch_size": 9},
            "teacher",
            r"training\.batch_size is 9, which 2 .* Set training\.batch_size to 8",
        ),
        ({"student__training__batch_size": 3}, "report", r"student\.training\.batch_size is 3, .*batch_size to 4,"),
        ({"teacher__training__batch_size": 1}, "distilled", r"teacher\.training\.batch_size is 1, .*batch_size to 2,"),
    ],
)
def test_batches_that_the_processes_cannot_share_are_refused_before_any_work(
    tmp_path: Path, changes: dict[str, int], goal: str, told: str
) -> None:
    recipe, stages = make_recipe(**changes), FakeStages()
    with pytest.raises(UsageError, match=told):
        run_recipe(recipe, tmp_path / "runs", silent, goals=(goal,), runner=stages, processes=2)
    assert not (tmp_path / "runs").exists() and stages.done == []


def test_gpus_that_are_not_there_are_said_before_the_data_is_read(tmp_path: Path) -> None:
    paddle = pytest.importorskip("paddle", reason="it is Paddle that sees GPUs")
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("this machine has a GPU")
    stages = FakeStages()
    with pytest.raises(TemperError, match="asks for a GPU, but this Paddle"):
        run_recipe(make_recipe(device="gpu"), tmp_path, silent, goals=("teacher",), runner=stages, processes=2)
    assert stages.done == []


def test_only_the_batches_of_models_to_be_trained_count(tmp_path: Path) -> None:
    stages = FakeStages()
    recipe = make_recipe(student__training__batch_size=3)
    run_recipe(recipe, tmp_path, silent, goals=("teacher",), runner=stages, processes=2)
    assert stages.done == ["data", "teacher"]
