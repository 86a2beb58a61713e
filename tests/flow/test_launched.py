"""The whole command started several times by Paddle's launcher, as on several machines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from temper.distill.launched import launched_here, launched_rank, launched_size
from temper.flow.folder import RunFolder
from tiny_training import rank_environment

_RECIPE = """
name: tiny
data: {synthetic: {train: 16, val: 8}}
input: {width: 64, height: 64}
teacher: {depth: 18, width: 0.125, neck_channels: 32, head_convs: 0, strides: [8, 16, 32]}
student: {depth: 18, width: 0.125, neck_channels: 32, head_convs: 0, strides: [8, 16, 32]}
training: {epochs: 1, batch_size: 8, visualdl: false}
"""


@pytest.mark.slow
def test_the_first_does_the_run_and_the_others_take_part_in_its_trainings(tmp_path):
    pytest.importorskip("paddle", reason="training needs PaddlePaddle")
    (tmp_path / "tiny.yml").write_text(_RECIPE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "temper", "distill", "mgd", "tiny.yml"]
    processes = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **rank_environment(rank, 2, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (first, first_complaint), (second, second_complaint) = (p.communicate(timeout=300) for p in processes)
    assert [process.returncode for process in processes] == [0, 0], first_complaint + second_complaint
    assert "[3/3 MGD student] 2 processes train together, 4 of the 8 pictures of a batch each." in first
    assert second == ""
    run = RunFolder(tmp_path / "runs/tiny")
    assert all(run.record(stage) for stage in ("data", "teacher", "distilled"))
    # nothing to train is said to the others as well
    again = [
        subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **rank_environment(rank, 2, port)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in again] == [0, 0]


def test_what_the_launcher_says_is_read_from_the_environment():
    assert (launched_rank({}), launched_size({}), launched_here({})) == (0, 1, 1)
    several = {"PADDLE_TRAINERS_NUM": "8", "PADDLE_TRAINER_ID": "5", "PADDLE_LOCAL_SIZE": "4"}
    assert (launched_rank(several), launched_size(several), launched_here(several)) == (5, 8, 4)
    assert launched_here({"PADDLE_TRAINERS_NUM": "2"}) == 2
    assert launched_rank({"PADDLE_TRAINER_ID": "3"}) == 0, "one process is the first, whatever a number says"
    assert launched_size({"PADDLE_TRAINERS_NUM": "many"}) == 1
