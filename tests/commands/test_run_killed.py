"""A run that is killed at any moment goes on and ends with the same weights; nothing half-written stays."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from temper.flow.keys import STAGES
from temper.flow.status import run_status
from tiny_run import MODELS, FinishedRun, run_temper, temper_command, weights_of, write_tiny_recipe

#: `TEMPER_KILLS=20 make test PYTEST_ARGS=tests/commands/test_run_killed.py` for a longer look.
KILLS = int(os.environ.get("TEMPER_KILLS", "3"))
#: Events of one process before it is killed, at most: a whole run has about 70.
MOST_EVENTS = 30


def kill_at_random(folder: Path, generator: random.Random) -> int:
    """Start `temper run`, kill it some time after some of its events; returns how it ended."""
    process = subprocess.Popen(
        temper_command("run", "tiny.yml", "--json"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    for _ in range(generator.randint(0, MOST_EVENTS)):
        if not process.stdout.readline():
            break
    time.sleep(generator.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait()


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_weights(finished_run: FinishedRun, tmp_path: Path) -> None:
    write_tiny_recipe(tmp_path)
    generator = random.Random(20_240_607)
    run, codes = tmp_path / "runs" / "tiny", []
    for _ in range(KILLS):
        codes.append(kill_at_random(tmp_path, generator))
        if (run / "recipe.json").exists():
            states = [status.state for status in run_status(run)]
            reached = next((index for index, state in enumerate(states) if state != "done"), len(states))
            assert set(states[reached : reached + 1]) <= {"interrupted", "to do"}
            assert set(states[reached + 1 :]) <= {"to do"}
    assert codes.count(-signal.SIGKILL) > KILLS // 2
    done = run_temper("run", "tiny.yml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert weights_of(run) == weights_of(finished_run.path)
    for model in MODELS:
        log = f"{model}/metrics.jsonl"
        assert (run / log).read_bytes() == (finished_run.path / log).read_bytes()
    assert [status.state for status in run_status(run)] == ["done"] * len(STAGES)
    assert not list(tmp_path.rglob("*.partial"))
    strangers = {path.relative_to(run).parts[0] for path in run.rglob("*")} - {
        *STAGES,
        "recipe.json",
        ".lock",
        "visualdl",
    }
    assert not strangers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "at"),
    [(signal.SIGINT, 130, "teacher"), (signal.SIGTERM, 143, "teacher"), (signal.SIGTERM, 143, "export-teacher")],
)
def test_asked_to_end_it_says_so_and_leaves_nothing_half(
    tmp_path: Path, number: signal.Signals, code: int, at: str
) -> None:
    """In the import of Paddle and its tracing as well, where an exception from a signal does harm."""
    pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    write_tiny_recipe(tmp_path)
    process = subprocess.Popen(
        temper_command("run", "tiny.yml", "--json", "--set", "training.epochs=1"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if f'"stage": "{at}"' in line:
            break
    time.sleep(0.3)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == code
    assert told.strip() == "Interrupted. What is finished is kept; the same command goes on from there."
    run = tmp_path / "runs" / "tiny"
    assert not list(run.rglob("*.partial"))
    assert {status.stage: status.state for status in run_status(run)}[at] == "interrupted"
