"""A machine with too little memory: a process whose address space is limited once Paddle is at work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from temper.core.errors import OutOfMemoryError, TemperError

pytest.importorskip("paddle", reason="training needs PaddlePaddle")

from temper.distill.training.memory import explain_out_of_memory
from tiny_training import tiny_job

_SCRIPT = """
import resource, sys
from dataclasses import replace
from pathlib import Path

from temper.core.errors import TemperError
from temper.core.events import silent
from temper.distill.recipe import InputSection
from temper.distill.training.train import train_model
from tiny_training import tiny_job

folder, batch, room = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) << 20
options = dict(epochs=1, workers=0, evaluate_every=0, checkpoint_seconds=1000)
large = InputSection(width=384, height=384)
# Paddle and its libraries are loaded whole by a first, small training
train_model(replace(tiny_job(folder / "data", batch_size=12, **options)), folder / "small", silent)
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + room, now + room))
job = replace(tiny_job(folder / "data", batch_size=batch, **options), input=large)

def report(event):
    if event.kind == "step":
        sys.exit("went through")

try:
    train_model(job, folder / f"large-{batch}", report)
except TemperError as error:
    sys.exit(str(error))
"""


def train_with(folder: Path, batch: int, room: int) -> str:
    """What a training of so many pictures with ``room`` MiB to spare ends with."""
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder), str(batch), str(room)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_out_of_memory_says_which_batch_size_fits_and_it_does(tmp_path):
    said = train_with(tmp_path, 24, 250)
    found = re.fullmatch(
        r"The training of the student ran out of this machine's memory at step 1, batch_size 24\. A batch of (\d+) "
        r"went through: set training\.batch_size to (\d+), and training\.learning_rate to ([\d.e-]+), in proportion\.",
        said,
    )
    assert found, said
    fitting = int(found[1])
    assert fitting in (12, 6, 3, 1) and float(found[3]) == pytest.approx(0.01 * fitting / 24, rel=1e-2)
    (tmp_path / "small/record.json").unlink()
    assert train_with(tmp_path, fitting, 250) == "went through"


class _Step:
    """A training step that holds so many pictures."""

    def __init__(self, room: int) -> None:
        self.room = room

    def forget(self) -> None: ...

    def rehearse(self, batch: list[int], epoch: int) -> None:
        if len(batch) > self.room:
            raise MemoryError


class _Loader:
    batch_size, share, steps_per_epoch = 8, 8, 3

    def batch(self, step: int, most: int) -> list[int]:
        return list(range(most))


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (0, "Not even one picture fits: give a smaller input, a smaller model"),
        (1, "A batch of 1 went through: set training.batch_size to 1, and training.learning_rate to 0.00125"),
        (5, "A batch of 4 went through"),
        (8, "something else took the memory meanwhile"),
    ],
)
def test_halving_finds_what_fits(tmp_path, room, told):
    error = explain_out_of_memory(tiny_job(tmp_path), _Loader(), _Step(room), 2)
    kind = TemperError if room == _Loader.batch_size else OutOfMemoryError  # which a sweep takes for a bad trial
    assert type(error) is kind and told in str(error) and "at step 3, batch_size 8" in str(error)
