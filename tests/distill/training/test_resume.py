"""Killed and resumed is undisturbed, to the byte, whatever a recipe uses; and what is done with bad checkpoints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.core.events import Event, silent

paddle = pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.checkpoint import latest_checkpoint  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from tiny_training import tiny_job  # noqa: E402

OPTIONS = {
    "momentum, step schedule": {"schedule": "step", "step_epochs": (1,), "clip_norm": None},
    "adamw, cosine, moving average": {"optimizer": "adamw", "ema_decay": 0.9},
    "sizes, noise and gamma": {"scales": (0.5, 1.0), "augment": {"noise": 0.1, "gamma": 0.5}, "workers": 3},
    "early stopping": {"early_stopping": {"patience": 2, "hold_out": 0.34}, "epochs": 5, "learning_rate": 0.05},
    "early stopping and moving average": {
        "early_stopping": {"patience": 1, "hold_out": 0.34, "every": 2},
        "ema_decay": 0.8,
        "epochs": 6,
        "learning_rate": 1e-9,
    },
    "batch norm": {"norm": "batch", "optimizer": "adamw"},
}


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    seen = 0

    def report(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == steps:
            raise Interrupted

    return report


def warnings_of(job, out: Path) -> list[str]:
    said: list[Event] = []
    train_model(job, out, said.append)
    return [event.data["message"] for event in said if event.kind == "warning"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def whole(folder) -> dict[str, Path]:
    """An undisturbed training for each of the options."""
    for name, options in OPTIONS.items():
        train_model(tiny_job(folder / "data", **options), folder / name, silent)
    return {name: folder / name for name in OPTIONS}


def same_results(one: Path, two: Path) -> None:
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_killed_and_resumed_is_undisturbed(whole, folder, tmp_path, name):
    job = tiny_job(folder / "data", **OPTIONS[name])
    # each dies before the checkpoint of its last step is written
    for steps in (2, 3, 2):
        with pytest.raises(Interrupted):
            train_model(job, tmp_path, stop_after(steps))
    said: list[Event] = []
    record = train_model(job, tmp_path, said.append)
    first = next(event.data["message"] for event in said if event.kind in ("note", "warning"))
    assert first.startswith("Going on from step 4 of ")
    same_results(tmp_path, whole[name])
    assert (record.best_epoch is None) == (job.training.early_stopping is None)


def test_a_training_that_has_stopped_early_and_was_killed_then_stops_where_it_did(whole, folder, tmp_path):
    name = "early stopping and moving average"
    job = tiny_job(folder / "data", **OPTIONS[name])
    seen = []

    def die_at_the_end(event: Event) -> None:
        seen.append(event)
        if event.kind == "note" and "Stopped after" in event.data["message"]:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_model(job, tmp_path, die_at_the_end)
    train_model(job, tmp_path, silent)
    same_results(tmp_path, whole[name])
    # with next to no learning rate the second look finds nothing better than the first one
    assert seen[-1].data["message"].startswith("Stopped after epoch 4 of 6: ")
    assert seen[-1].data["message"].endswith("after epoch 2, whose weights are kept.")


def test_a_moving_average_is_not_its_last_weights(whole, folder, tmp_path):
    job = tiny_job(folder / "data", **OPTIONS["adamw, cosine, moving average"])
    train_model(replace(job, training=job.training.model_copy(update={"ema_decay": None})), tmp_path, silent)
    one, two = (p / "weights.safetensors" for p in (tmp_path, whole["adamw, cosine, moving average"]))
    assert one.read_bytes() != two.read_bytes()


def interrupted(folder: Path, out: Path, **options):
    """A job, and a folder with its two last checkpoints."""
    job = tiny_job(folder / "data", **options)
    with pytest.raises(Interrupted):
        train_model(job, out, stop_after(5))
    checkpoints = sorted((out / "checkpoints").iterdir())
    assert [path.stem for path in checkpoints] == ["step-000000003", "step-000000004"]
    return job, checkpoints


@pytest.mark.parametrize("damage", ["truncated", "flipped header", "flipped bit", "empty"])
def test_one_damaged_checkpoint_is_passed_over_and_two_start_anew(whole, folder, tmp_path, damage):
    job, checkpoints = interrupted(folder, tmp_path, **OPTIONS["momentum, step schedule"])
    shutil.copytree(tmp_path, tmp_path / "both")
    harm(checkpoints[1], damage)
    found, _ = latest_checkpoint(tmp_path / "checkpoints")
    assert found is not None and found.step == 3
    warnings = warnings_of(job, tmp_path)
    assert len(warnings) == 1 and "Going on from the checkpoint before it." in warnings[0]
    same_results(tmp_path, whole["momentum, step schedule"])

    both = tmp_path / "both"
    for path in sorted((both / "checkpoints").iterdir()):
        harm(path, damage)
    warnings = warnings_of(job, both)
    assert len(warnings) == 2 and "Starting from the beginning." in warnings[1]
    same_results(both, whole["momentum, step schedule"])


def harm(path: Path, damage: str) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    damaged = {
        "truncated": content[:-1000],
        "flipped header": bytes([content[0] ^ 0xFF]) + content[1:],
        "flipped bit": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        "empty": b"",
    }
    path.write_bytes(damaged[damage])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"neck_channels": 64}, "its model's '.*' has the shape"),
        ({"norm": "batch"}, "of its model's tensors are another training's"),
        ({"ema_decay": 0.5}, "of its average's tensors are another training's"),
    ],
)
def test_checkpoints_of_another_training_are_passed_over(folder, tmp_path, options, told):
    """The stage's key keeps them apart in a run; a folder given by hand has no key."""
    options = dict(options)
    interrupted(folder, tmp_path, **OPTIONS["momentum, step schedule"])
    neck = options.pop("neck_channels", 32)
    job = tiny_job(folder / "data", **OPTIONS["momentum, step schedule"] | options)
    job = replace(job, detector=job.detector.model_copy(update={"neck_channels": neck}))
    warnings = warnings_of(job, tmp_path)
    assert len(warnings) == 2 and "does not fit: " in warnings[0]
    assert re.search(told, warnings[0]), warnings[0]


_SCRIPT = """
import sys
from pathlib import Path  # noqa: E402

from temper.core.events import silent  # noqa: E402
from temper.distill.training.train import train_model  # noqa: E402
from tiny_training import tiny_job  # noqa: E402

options = dict(optimizer="adamw", scales=(0.5, 1.0), augment={"noise": 0.1}, workers=int(sys.argv[3]))
train_model(tiny_job(Path(sys.argv[1]), **options), Path(sys.argv[2]), silent)
"""


def test_the_same_recipe_has_the_same_losses_to_the_last_bit_in_another_process(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    tests = str(Path(__file__).parents[2])
    for name, hashes, workers in (("one", "1", "0"), ("two", "2", "3")):
        environment = {"PYTHONHASHSEED": hashes, "PYTHONPATH": tests, "OMP_NUM_THREADS": "2"}
        command = [sys.executable, str(script), str(folder / "data"), str(tmp_path / name), workers]
        subprocess.run(command, env=environment, check=True, timeout=120)
    same_results(tmp_path / "one", tmp_path / "two")


def test_whatever_paddle_draws_depends_on_the_step_alone(folder, tmp_path):
    """Paddle's own generator is sown anew at every step, so that a resumed run draws what the other one did."""
    job = tiny_job(folder / "data")
    drawn: dict[str, list[float]] = {"whole": [], "resumed": []}

    def report_to(name: str):
        def report(event: Event) -> None:
            if event.kind == "step":
                drawn[name].append(float(paddle.rand([])))

        return report

    train_model(job, tmp_path / "whole", report_to("whole"))
    with pytest.raises(Interrupted):
        train_model(job, tmp_path / "resumed", stop_after(4))
    train_model(job, tmp_path / "resumed", report_to("resumed"))
    assert drawn["resumed"] == drawn["whole"][3:] and len(np.unique(drawn["whole"])) == 6
