"""``--processes``: Paddle's launcher starts the ranks, one of them dies, the run itself dies, and it goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.flow.together import EVENTS_NAME, Devices, _Events, _failure, failure_path

_DETECTOR = (
    "{depth: 18, width: 0.125, backbone_norm: frozen, neck_channels: 32, head_convs: 1, head_norm: group,"
    " strides: [8, 16, 32], weights: start.safetensors}"
)


_RECIPE = f"""
name: tiny
data: {{synthetic: {{train: 24, val: 8}}}}
input: {{width: 64, height: 64}}
teacher: {_DETECTOR}
student: {_DETECTOR}
training: {{epochs: 40, batch_size: 8, optimizer: momentum, learning_rate: 1e-3, weight_decay: 1e-4,
  checkpoint_seconds: 0, evaluate_every: 0, visualdl: false}}
"""


def write_start(path: Path) -> None:
    """Weights to start from: frozen norms need some, and what they are does not matter here."""
    from temper.distill.detectors.build import build_detector
    from temper.distill.recipe_detectors import RetinaNetSection
    from temper.distill.synthetic.generator import LABELS
    from temper.distill.weights import save_weights

    own = {"width": 0.125, "neck_channels": 32, "head_convs": 1, "head_norm": "group", "strides": (8, 16, 32)}
    section = RetinaNetSection.model_validate({"depth": 18, **own})
    detector = build_detector(section, LABELS, seed=1)
    save_weights(path, {name: value.numpy() for name, value in detector.state_dict().items()})


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "temper", "distill", "teacher", "tiny.yml", "--processes", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def ranks_of(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "rank" in child.cmdline() and "PADDLE_TRAINER_ID" in (environment := child.environ()):
                found[int(environment["PADDLE_TRAINER_ID"])] = child
        except psutil.Error:
            continue
    return found


def wait_for_checkpoint(process: subprocess.Popen[str], teacher: Path, after: str = "") -> str:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        newest = max((path.name for path in teacher.glob("checkpoints/step-*")), default="")
        if newest > after:
            return newest
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint: {process.communicate()}")


@pytest.mark.slow
def test_a_rank_dies_and_the_run_dies_and_the_same_command_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    (tmp_path / "tiny.yml").write_text(_RECIPE)
    write_start(tmp_path / "start.safetensors")
    monkeypatch.chdir(tmp_path)  # for the recipe's path, read by this process in the end
    teacher = tmp_path / "runs/tiny/teacher"

    run = start(tmp_path)
    reached = wait_for_checkpoint(run, teacher)
    ranks_of(run)[1].kill()
    said, complaint = run.communicate(timeout=300)
    assert run.returncode == 1 and "Traceback" not in said + complaint
    # the launcher may have noticed the other one's complaint first, and then knows no signal
    how = r"was killed \(by the system, if it ran out of memory\)|ended unexpectedly"
    assert re.match(f"Error: Process 2 of the 2 that trained the teacher ({how}), and the others were", complaint)
    assert complaint.count("\n") == 1

    run = start(tmp_path)
    wait_for_checkpoint(run, teacher, reached)
    orphans = list(ranks_of(run).values())
    assert len(orphans) == 2
    run.kill()
    run.communicate()
    assert not psutil.wait_procs(orphans, timeout=60)[1], "no rank goes on in a folder that nobody locks"

    run = start(tmp_path)
    assert "Going on from step" in run.communicate(timeout=300)[0] and run.returncode == 0
    assert not list((tmp_path / "runs/tiny").glob(".*.partial")), "what the killed ones talked through is gone"
    same_as_undisturbed(tmp_path, teacher)


def same_as_undisturbed(folder: Path, teacher: Path) -> None:
    """By one process in this one; so the same within the rounding of 120 steps."""
    from temper.distill.recipe_file import read_recipe
    from temper.distill.training.log import read_metrics
    from temper.distill.training.train import train_model
    from temper.flow.folder import RunFolder
    from temper.flow.stages import training_job

    job = training_job(read_recipe(folder / "tiny.yml"), RunFolder(folder / "runs/tiny"), "teacher")
    train_model(job, folder / "alone", silent)
    mine, theirs = (read_metrics(place / "metrics.jsonl") for place in (folder / "alone", teacher))
    assert [entry["step"] for entry in mine] == [entry["step"] for entry in theirs]
    totals = [[entry["total"] for entry in entries if entry["kind"] == "step"] for entries in (mine, theirs)]
    assert totals[0] == pytest.approx(totals[1], rel=0.05)


def word(talk: Path, rank: int, kind: str, message: str) -> None:
    failure_path(talk, rank).write_text(json.dumps({"kind": kind, "message": message, "traceback": "Traceback: deep"}))


@pytest.fixture
def talk(tmp_path) -> Path:
    (tmp_path / "launcher.log").write_text("LAUNCH INFO nothing of note\n")
    return tmp_path


def test_what_a_rank_says_of_itself_is_what_the_run_says(talk):
    word(talk, 0, "lost", "another is gone")
    word(talk, 1, "failed", "The disk is full.")
    error = _failure(talk, "student", 3)
    assert type(error) is TemperError and str(error) == "The disk is full."
    word(talk, 1, "usage", "No such thing.")
    assert type(_failure(talk, "student", 3)) is UsageError


def test_a_bug_in_a_rank_is_a_bug_with_its_own_traceback(talk):
    word(talk, 2, "bug", "KeyError: 'x'")
    error = _failure(talk, "student", 3)
    assert isinstance(error, RuntimeError) and "training process 3 of 3: KeyError" in str(error)
    assert "deep" in str(error.__cause__)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("Container rank 2 status failed cmd ['x'] code -9 log /tmp/x", "Process 3 of the 4 .* was killed"),
        ("Container rank 2 status failed cmd ['x'] code -11 log /tmp/x", "Process 3 of the 4 .* ended by signal 11"),
        ("Container rank 3 status failed cmd ['x'] code 5 log /tmp/x", "Process 4 of the 4 .* with exit code 5"),
        # rank 0 was first to be told of, and only because it had lost another one
        ("Container rank 0 status failed cmd ['x'] code 1 log /tmp/x", "Process 3 of the 4 .* ended unexpectedly, and"),
    ],
)
def test_the_rank_that_died_is_named_and_not_those_that_lost_it(talk, log, told):
    (talk / "launcher.log").write_text(f"LAUNCH ERROR Container failed !!!\n{log}\n")
    word(talk, 0, "lost", "another is gone")
    word(talk, 1, "lost", "another is gone")
    with pytest.raises(TemperError, match=f"{told}.*others were stopped"):
        raise _failure(talk, "student", 4)


def test_events_are_handed_on_once_and_whole(tmp_path):
    heard: list[Event] = []
    path = tmp_path / EVENTS_NAME
    events = _Events(path, heard.append)
    events.relay()
    lines = [json.dumps({"kind": "note", "stage": "student", "data": {"message": str(n)}}) + "\n" for n in range(3)]
    path.write_text(lines[0] + lines[1][:10])
    events.relay()
    events.relay()
    path.write_text("".join(lines))
    events.relay()
    assert [event.data["message"] for event in heard] == ["0", "1", "2"]


def test_devices_are_counted():
    assert (Devices().count, Devices((0, 1, 2)).count, Devices(processes=4).count) == (1, 3, 4)
