from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from temper.core.errors import TemperError, UsageError
from temper.flow.folder import (
    COMPARISON_NAME,
    DONE_NAME,
    LOCK_NAME,
    RECIPE_NAME,
    SWEEP_NAME,
    RunFolder,
    StageRecord,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


def finish(run: RunFolder, key: str = "k") -> StageRecord:
    """A stage `data` with one file, done under a key."""
    run.begin("data", key)
    (run.stage("data") / "made.txt").write_text("made")
    record = StageRecord(key, 1.5, {"answer": 42})
    run.finish("data", record)
    return record


def test_a_finished_stage_is_read_back(run: RunFolder) -> None:
    record = finish(run)
    read = run.record("data")
    assert read is not None
    assert (read.key, read.seconds, read.result, read.finished_at) == ("k", 1.5, {"answer": 42}, record.finished_at)
    assert read.files == {"made.txt": 4}


@pytest.mark.parametrize("damage", ["missing", "cut", "grown", "torn record", "foreign record", "no record"])
def test_a_damaged_stage_is_not_done(run: RunFolder, damage: str) -> None:
    finish(run)
    made, done = run.stage("data") / "made.txt", run.stage("data") / DONE_NAME
    if damage == "missing":
        made.unlink()
    elif damage == "cut":
        made.write_text("mad")
    elif damage == "grown":
        made.write_text("made up")
    elif damage == "torn record":
        done.write_bytes(done.read_bytes()[:-9])
    elif damage == "foreign record":
        done.write_text(json.dumps(["something", "else"]))
    else:
        done.unlink()
    assert run.record("data") is None


def test_pictures_are_not_watched_one_by_one(run: RunFolder) -> None:
    run.begin("data", "k")
    (run.stage("data") / "set" / "images").mkdir(parents=True)
    (run.stage("data") / "set" / "images" / "1.png").write_bytes(b"png")
    (run.stage("data") / "set" / "train.json").write_text("{}")
    run.finish("data", StageRecord("k", 0, {}))
    read = run.record("data")
    assert read is not None and read.files == {"set/train.json": 2}


def test_half_done_work_is_kept_under_the_same_key_alone(run: RunFolder) -> None:
    run.begin("data", "k")
    half = run.stage("data") / "half.txt"
    half.write_text("half")
    (run.stage("data") / ".x.partial").write_text("torn")
    assert run.can_go_on("data", "k") and not run.can_go_on("data", "other")
    run.begin("data", "k")
    assert half.exists()
    assert not (run.stage("data") / ".x.partial").exists()
    run.begin("data", "other")
    assert not half.exists()
    assert run.started_key("data") == "other"


def test_a_finished_stage_begins_from_nothing(run: RunFolder) -> None:
    finish(run)
    assert not run.can_go_on("data", "k")
    run.begin("data", "k")
    assert os.listdir(run.stage("data")) == ["stage.key"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "photos")
    folder.require_usable()
    folder.path.mkdir()
    folder.require_usable()
    (folder.path / "mine.jpg").write_bytes(b"")
    with pytest.raises(TemperError, match=r"photos is there and does not belong to a run of Temper. Choose another"):
        folder.require_usable()
    (folder.path / LOCK_NAME).write_text("")
    with pytest.raises(TemperError, match=r"photos is there and does not belong to a run of Temper"):
        folder.require_usable()
    (folder.path / RECIPE_NAME).write_text("")
    folder.require_usable()
    (folder.path / RECIPE_NAME).unlink()
    with pytest.raises(TemperError, match=r"mine.jpg is there and is not a folder"):
        RunFolder(folder.path / "mine.jpg").require_usable()


MARKS = {RECIPE_NAME: "run", SWEEP_NAME: "sweep", COMPARISON_NAME: "comparison"}


@pytest.mark.parametrize("mark", MARKS)
def test_runs_sweeps_and_comparisons_do_not_lie_in_each_others_folders(tmp_path: Path, mark: str) -> None:
    there = RunFolder(tmp_path / "steel", mark)
    with there.locked():
        pass
    there.require_usable()  # killed before its mark was written
    (there.path / mark).write_text("{}")
    there.require_usable()
    for other in MARKS.keys() - {mark}:
        with pytest.raises(UsageError, match=f"is the folder of a {MARKS[mark]}, and this {MARKS[other]} would lie"):
            RunFolder(there.path, other).require_usable()


HOLD = """
import sys, time
from pathlib import Path
from temper.flow.folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
with run.locked():
    run.tell("teacher")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(run: RunFolder) -> subprocess.Popen[str]:
    """Another process that is at work in the run."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_never_work_in_one_run(run: RunFolder, holder: subprocess.Popen[str]) -> None:
    sentence = rf"Another temper \(process {holder.pid}\) is at work in .*run. Wait for it or stop it, then give"
    with pytest.raises(TemperError, match=sentence), run.locked():
        pytest.fail("the lock was held by another process")
    holder.kill()
    holder.wait()
    with run.locked():
        assert (run.path / LOCK_NAME).read_text().split() == [str(os.getpid())]


def test_who_looks_sees_the_work_and_does_not_disturb_it(run: RunFolder, holder: subprocess.Popen[str]) -> None:
    work = run.work()
    assert work is not None
    assert (work.process, work.stage) == (str(holder.pid), "teacher")
    assert 0 <= work.seconds < 60
    holder.kill()
    holder.wait()
    assert run.work() is None


def test_a_run_that_never_was_has_no_work(run: RunFolder) -> None:
    assert run.work() is None
    assert run.started_key("data") is None
    assert run.record("data") is None
