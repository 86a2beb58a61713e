"""A whole run in seconds: a small recipe on synthetic steel, and `temper` as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Teacher and student differ in the neck, so that the align convolutions of the distillation are trained too.
TINY_RECIPE = """\
name: tiny
seed: 3
data:
  synthetic:
    train: 16
    val: 6
    seed: 5
input:
  width: 64
  height: 64
teacher:
  depth: 18
  width: 0.125
  neck_channels: 24
  head_convs: 1
  head_norm: level_batch
  strides: [8, 16, 32]
student:
  depth: 18
  width: 0.125
  neck_channels: 16
  head_convs: 1
  head_norm: level_batch
  strides: [8, 16, 32]
training:
  epochs: 2
  batch_size: 4
  warmup_steps: 2
  workers: 1
  checkpoint_seconds: 0
distillation:
  mgd:
    alpha: 0.1
    alpha_form: mean
export:
  precisions: [fp32]
  calibration_images: 8
  parity_images: 4
benchmark:
  threads: 1
  starts: 3
  min_seconds: 0.1
  min_samples: 11
"""

MODELS = ("teacher", "student", "distilled")


@dataclass(frozen=True)
class FinishedRun:
    """A run that nothing has disturbed.

    Attributes:
        recipe: its file.
        path: its folder, ``runs/tiny``.
        output: what `temper run --json` wrote.
    """

    recipe: Path
    path: Path
    output: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects of the output."""
        return [json.loads(line) for line in self.output.splitlines()]

    def copy_to(self, folder: Path) -> FinishedRun:
        """The same run below ``folder/runs``, to be changed at will."""
        shutil.copytree(self.path, folder / "runs" / "tiny")
        shutil.copy(self.recipe, folder / "tiny.yml")
        return FinishedRun(folder / "tiny.yml", folder / "runs" / "tiny", self.output)


def write_tiny_recipe(folder: Path) -> Path:
    """The recipe as a file."""
    path = folder / "tiny.yml"
    path.write_text(TINY_RECIPE)
    return path


def temper_command(*words: object) -> list[str]:
    """`temper` with these words, as a process of its own."""
    return [sys.executable, "-m", "temper", *(str(word) for word in words)]


def run_temper(
    *words: object, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `temper` to its end."""
    return subprocess.run(
        temper_command(*words),
        cwd=cwd,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )


def weights_of(run: Path) -> dict[str, bytes]:
    """The bytes of a run's trained weights, by model."""
    return {model: (run / model / "weights.safetensors").read_bytes() for model in MODELS}
