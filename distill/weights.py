"""Reading and writing weights without ever running code from a file.

Temper writes safetensors. Paddle's own ``.pdparams`` are pickles: a restricted unpickler reads the few things
a weight file is made of (dictionaries, strings, numbers, NumPy arrays) and refuses everything else.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError, UsageError
from ..core.files import read_bytes, write_bytes

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
        if isinstance(name, str) and isinstance(array, _Array) and array.values is not None:
            weights[name] = array.values
    if not weights:
        raise TemperError(f"The weights {path} hold no parameters.")
    return weights


class _ForbiddenError(Exception):
    pass


class _WeightUnpickler(pickle.Unpickler):
    """Makes nothing of NumPy's while it reads: what a pickle may set the state of are objects of our own.

    NumPy's own data types can be told by a pickle that they hold no objects while they do, and then any eight bytes of
    the file are taken for an address.
    """

    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed its private package; both spellings are in files
        module = module.replace("numpy.core", "numpy._core", 1)
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _ForbiddenError("a persistent reference")


class _DataType:
    """Stands for ``numpy.dtype``: numbers of one kind and size, in one byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        dtype = np.dtype(code) if isinstance(code, str) else None
        if dtype is None or dtype.kind not in "fiub" or dtype.shape:
            raise _ForbiddenError("an array of something else than numbers")
        self.dtype: np.dtype[Any] = dtype

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order in ("<", ">", "="):
            self.dtype = self.dtype.newbyteorder(order)
        elif order != "|":
            raise _ForbiddenError("an unknown byte order")


class _Array:
    """Stands for an array that is put together as it is read."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, by_columns, content = state
        self.fill(content, dtype, shape, "F" if by_columns else "C")

    def fill(self, content: Any, dtype: Any, shape: Any, order: Any) -> None:
        """Take the bytes of the elements."""
        if not isinstance(dtype, _DataType):
            raise _ForbiddenError("an array of an unknown type")
        # a copy: what lies in the file's bytes cannot be written to
        flat = np.frombuffer(content, dtype.dtype)
        # "K" is as it lay in memory; the bytes are in the order of rows then
        self.values = flat.reshape(shape, order="F" if order == "F" else "C").copy()


def _reconstruct(kind: Any, shape: tuple[int, ...], _: bytes | str) -> _Array:
    if kind is not _ARRAY_TYPE:
        raise _ForbiddenError(f"a subclass of an array ({kind!r})")
    if shape != (0,):  # always so in a real file; the true shape comes with the data
        raise _ForbiddenError(f"an array of shape {shape} out of nothing")
    return _Array()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    array = _Array()
    array.fill(buffer, dtype, shape, order)
    return array


def _scalar(dtype: Any, content: bytes) -> Any:
    if not isinstance(dtype, _DataType):
        raise _ForbiddenError("a number of an unknown type")
    return np.frombuffer(content, dtype.dtype)[0].item()


def _latin1(text: str, _: str = "latin1") -> bytes:
    return text.encode("latin1")


class _Maker:
    """A callable that a file may call and not change: a pickle can set attributes of whatever it is handed."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *values: Any) -> Any:
        return self._make(*values)

    def __setstate__(self, _: Any) -> None:
        raise _ForbiddenError("a change of its reader")


#: Stands for ``numpy.ndarray``, which is only ever named.
_ARRAY_TYPE = "numpy.ndarray"
#: All that a weight file may name, and what stands for it here.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): _ARRAY_TYPE,
    ("numpy", "dtype"): _Maker(_DataType),
    ("numpy._core.multiarray", "_reconstruct"): _Maker(_reconstruct),
    ("numpy._core.multiarray", "scalar"): _Maker(_scalar),
    ("numpy._core.numeric", "_frombuffer"): _Maker(_frombuffer),
    ("_codecs", "encode"): _Maker(_latin1),
}
