"""Checkpoints: all a training run needs to go on as if nothing had happened.

Chance, the order of pictures, their sizes and the learning rate are functions of the step, so a checkpoint is the step
and the tensors: weights and statistics, the optimizer's moments, the distillation layers, the moving average, the
scale of float16's gradients; with early stopping, what it has seen and the best weights so far.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...core.files import remove_partial, write_bytes
from ..weights import Weights

#: The newest and the one before, should the newest be damaged.
KEEP = 2
#: The tensor that holds step, seconds and early stopping, as JSON in bytes.
_PROGRESS = "progress"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A moment between two steps.

    Attributes:
        step: steps done so far.
        seconds: time spent training so far, over all interruptions.
        groups: named groups of tensors ("model", "optimizer", "distillation", "average", "scaler", "best").
        stopping: the state of early stopping, as plain JSON values.
    """

    step: int
    seconds: float
    groups: dict[str, Weights] = field(default_factory=dict)
    stopping: dict[str, Any] | None = None


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as one safetensors file; :func:`parse_checkpoint` reads it back, to the bit."""
    import safetensors.numpy

    flat = {f"{group}/{name}": value for group, tensors in checkpoint.groups.items() for name, value in tensors.items()}
    told = {"step": checkpoint.step, "seconds": checkpoint.seconds, "stopping": checkpoint.stopping}
    told["crc32"] = _crc32(flat)
    flat[_PROGRESS] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    return bytes(safetensors.numpy.save({name: np.ascontiguousarray(flat[name]) for name in sorted(flat)}))


def parse_checkpoint(content: bytes, source: str) -> Checkpoint:
    """Read what :func:`checkpoint_bytes` wrote.

    Args:
        content: of the file.
        source: what to call it in messages.

    Raises:
        TemperError: if it is damaged.
    """
    import safetensors
    import safetensors.numpy

    try:
        flat = safetensors.numpy.load(content)
        told = json.loads(flat.pop(_PROGRESS).tobytes())
        if told["crc32"] != _crc32(flat):
            raise ValueError("its checksum does not agree")
        groups: dict[str, Weights] = {}
        for name, value in flat.items():
            group, _, rest = name.partition("/")
            groups.setdefault(group, {})[rest] = value
        return Checkpoint(int(told["step"]), float(told["seconds"]), groups, told["stopping"])
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TemperError(f"The checkpoint {source} is damaged: {error}.") from error


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all, and remove all but the last :data:`KEEP`."""
    write_bytes(folder / f"step-{checkpoint.step:09d}.safetensors", checkpoint_bytes(checkpoint))
    for old in checkpoint_files(folder)[:-KEEP]:
        old.unlink()


def latest_checkpoint(
    folder: Path, check: Callable[[dict[str, Weights]], None] | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be read and fits.

    Args:
        folder: of the checkpoints.
        check: raises a TemperError, in words that go on a sentence, for tensors that are another training's.

    Returns:
        The checkpoint, or None to start from the beginning; and a sentence for each file passed over.
    """
    remove_partial(folder)
    warnings: list[str] = []
    files = checkpoint_files(folder)
    for path in reversed(files):
        then = " Starting from the beginning." if path == files[0] else " Going on from the checkpoint before it."
        try:
            found = parse_checkpoint(path.read_bytes(), str(path))
        except OSError as error:
            warnings.append(f"The checkpoint {path} cannot be read: {error.strerror}.{then}")
            continue
        except TemperError as error:
            warnings.append(f"{error}{then}")
            continue
        try:
            if check is not None:
                check(found.groups)
        except TemperError as error:
            warnings.append(f"The checkpoint {path} does not fit: {error}.{then}")
            continue
        return found, warnings
    return None, warnings


def _crc32(flat: Weights) -> int:
    """A checksum over the tensors: the format has none of its own, and a flipped bit is still a number."""
    value = 0
    for name in sorted(flat):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(flat[name].tobytes(), value)
    return value


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(folder.glob("step-*.safetensors"))
