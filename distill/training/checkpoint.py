"""Checkpoints: all a training run needs to go on as if nothing had happened.

Chance, the order of pictures and the learning rate are functions of the step, so a checkpoint is the step and
the tensors: weights and statistics, the optimizer's moments, the distillation layers, the moving average.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import TemperError
from ...core.files import remove_partial
from ..weights import Weights, load_weights, save_weights

#: The newest and the one before, should the newest be damaged.
KEEP = 2
_META = "progress"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A moment between two steps.

    Attributes:
        step: steps done so far.
        seconds: time spent training so far, over all interruptions.
        groups: named groups of tensors ("model", "optimizer", "distillation", "average").
    """

    step: int
    seconds: float
    groups: dict[str, Weights] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all, and remove all but the last :data:`KEEP`."""
    flat: Weights = {
        f"{group}/{name}": value for group, tensors in checkpoint.groups.items() for name, value in tensors.items()
    }
    meta = json.dumps({"step": checkpoint.step, "seconds": checkpoint.seconds})
    save_weights(folder / f"step-{checkpoint.step:09d}.safetensors", flat, {_META: meta})
    for old in _files(folder)[:-KEEP]:
        old.unlink()


def latest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be read.

    Returns:
        The checkpoint, or None to start from the beginning; and a sentence for each damaged file passed over.
    """
    remove_partial(folder)
    warnings: list[str] = []
    for path in reversed(_files(folder)):
        try:
            return _read(path), warnings
        except TemperError as error:
            warnings.append(f"{error} Going on from the checkpoint before it.")
    return None, warnings


def _read(path: Path) -> Checkpoint:
    import safetensors

    groups: dict[str, Weights] = {}
    for name, value in load_weights(path).items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            meta = json.loads((file.metadata() or {})[_META])
        return Checkpoint(int(meta["step"]), float(meta["seconds"]), groups)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TemperError(f"The checkpoint {path} is damaged: {error}.") from error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))
