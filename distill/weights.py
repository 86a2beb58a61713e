"""Reading and writing weights without ever running code from a file.

Temper writes safetensors. Paddle's own ``.pdparams`` are pickles: a restricted unpickler reads the few things
a weight file is made of (dictionaries, strings, numbers, NumPy arrays) and refuses everything else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError, UsageError
from ..core.files import read_bytes, write_bytes
from .pickled_weights import ForbiddenError, PickledArray, read_pickle

Weights = dict[str, NDArray[Any]]

#: Under this name a trained model's class names stand in its file, as a JSON list.
LABELS_KEY = "labels"
#: A file larger than this is no detector of ours.
MAX_BYTES = 4 << 30


def load_weights(path: Path) -> Weights:
    """Read a weight file.

    Args:
        path: ``.safetensors``, or Paddle's ``.pdparams``.

    Returns:
        Parameter names to arrays.

    Raises:
        TemperError: if the file is missing, damaged, not a weight file, or would run code.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"The weights {path} are no file. Give a .safetensors or .pdparams file.")
        content = read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise TemperError(f"The weights {path} cannot be read: {error.strerror}.") from error
    if path.suffix == ".safetensors":
        return _from_safetensors(content, path)
    if path.suffix == ".pdparams":
        return _from_pickle(content, path)
    raise UsageError(f"The weights {path} are neither .safetensors nor .pdparams.")


def read_labels(path: Path) -> tuple[str, ...] | None:
    """The classes that weights were trained on; None where the file does not say (a .pdparams never does)."""
    if path.suffix != ".safetensors":
        return None
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            labels = json.loads((file.metadata() or {})[LABELS_KEY])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, RecursionError):
        return None
    return tuple(labels) if isinstance(labels, list) and all(isinstance(one, str) for one in labels) else None


def save_weights(path: Path, weights: Weights, metadata: dict[str, str] | None = None) -> None:
    """Write weights as safetensors, whole or not at all; equal weights give equal bytes."""
    import safetensors.numpy

    ordered = {name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}
    write_bytes(path, safetensors.numpy.save(ordered, metadata))


def _from_safetensors(content: bytes, path: Path) -> Weights:
    import safetensors
    import safetensors.numpy

    try:
        return dict(safetensors.numpy.load(content))
    except KeyError as error:  # the file is sound, and NumPy has no such numbers
        raise TemperError(
            f"The weights {path} hold numbers of the type {error.args[0]}, which is not read. Save them as F32 or F16."
        ) from error
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise TemperError(f"The weights {path} are damaged or not safetensors: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """What another library says, as the end of a sentence of ours."""
    return str(error).rstrip(". ") or type(error).__name__


def _from_pickle(content: bytes, path: Path) -> Weights:
    try:
        value = read_pickle(content)
    except ForbiddenError as error:
        raise TemperError(
            f"The weights {path} were not loaded: the file asks to run '{error}', which a weight file never needs. Get "
            "it again from a source you trust, or convert it to .safetensors."
        ) from error
    except Exception as error:  # a pickle can fail in any way it likes
        raise TemperError(f"The weights {path} are damaged or not a Paddle weight file: {_reason(error)}.") from error
    if not isinstance(value, dict):
        raise TemperError(f"The weights {path} hold {type(value).__name__}, not a dictionary of parameters.")
    weights: Weights = {}
    for name, entry in value.items():
        # Paddle writes a parameter as an array, or as (its tensor's name, array)
        array = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        if isinstance(name, str) and isinstance(array, PickledArray) and array.values is not None:
            weights[name] = array.values
    if not weights:
        raise TemperError(f"The weights {path} hold no parameters.")
    return weights
