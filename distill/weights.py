"""Reading and writing weights without ever running code from a file.

Temper writes safetensors. Paddle's own ``.pdparams`` are pickles: a restricted unpickler reads the few things
a weight file is made of (dictionaries, strings, numbers, NumPy arrays) and refuses everything else.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError, UsageError
from ..core.files import read_bytes, write_bytes

Weights = dict[str, NDArray[Any]]

#: All that a weight file may name; nothing here can do more than make an array.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding="latin1": _latin1(text, encoding),
}
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
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TemperError(f"The weights {path} are damaged or not safetensors: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """What another library says, as the end of a sentence of ours."""
    return str(error).rstrip(". ") or type(error).__name__


def _from_pickle(content: bytes, path: Path) -> Weights:
    try:
        value = _WeightUnpickler(io.BytesIO(content)).load()
    except _ForbiddenError as error:
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
        if isinstance(name, str) and isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            weights[name] = array
    if not weights:
        raise TemperError(f"The weights {path} hold no parameters.")
    return weights


class _ForbiddenError(Exception):
    pass


class _WeightUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed its private package; both spellings are in files
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return _reconstruct
        if (module, name) in (("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")):
            return _scalar
        if (module, name) in (("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")):
            return _frombuffer
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _ForbiddenError("a persistent reference")


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes | str) -> NDArray[Any]:
    if kind is not np.ndarray:
        raise _ForbiddenError(f"a subclass of an array ({kind!r})")
    if shape != (0,):  # always so in a real file; the true shape comes with the data
        raise _ForbiddenError(f"an array of shape {shape} out of nothing")
    return np.ndarray.__new__(np.ndarray, shape, np.dtype(code if isinstance(code, str) else code.decode("ascii")))


def _frombuffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any, *_: Any) -> NDArray[Any]:
    if dtype.hasobject:
        raise _ForbiddenError("an array of objects")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    if dtype.hasobject:
        raise _ForbiddenError("an object scalar")
    return np.frombuffer(content, dtype)[0]


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")
