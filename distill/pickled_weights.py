"""Reading a pickle of arrays without running what it says, and in no more memory than its length accounts for.

Python's unpickler in C is not used: a file of nine bytes can have it reserve gigabytes for the list of what it
remembers. The one written in Python keeps a dictionary, and lets each instruction be looked at.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

#: Instructions of a pickle that weights are written with, by pickletools' names: none that makes sets, instances or
#: copies of the stack's top, and none that reaches outside the file.
_INSTRUCTIONS = {
    "PROTO",
    "FRAME",
    "STOP",
    "MARK",
    "POP",
    "POP_MARK",
    "NONE",
    "NEWTRUE",
    "NEWFALSE",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "EMPTY_TUPLE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "EMPTY_LIST",
    "LIST",
    "APPEND",
    "APPENDS",
    "EMPTY_DICT",
    "DICT",
    "SETITEM",
    "SETITEMS",
    "PUT",
    "BINPUT",
    "LONG_BINPUT",
    "MEMOIZE",
    "GET",
    "BINGET",
    "LONG_BINGET",
    "GLOBAL",
    "STACK_GLOBAL",
    "REDUCE",
    "BUILD",
}
#: What a file may not do, as it is told.
_FORBIDDEN = {"PERSID": "a persistent reference", "BINPERSID": "a persistent reference"}
#: A parameter takes some thirty instructions; each may leave a few hundred bytes in memory.
_MOST_INSTRUCTIONS = 1_000_000
#: Bytes that may be made of each byte of the file: text, which becomes bytes, which become an array.
_COPIES = 3


class ForbiddenError(Exception):
    """A pickle asks for something that no weight file needs; the text says what."""


class PickledArray:
    """Stands for an array that is put together as it is read.

    Args:
        room: what may still be made of the file.

    Attributes:
        values: the array; None until its content was read.
    """

    def __init__(self, room: _Room) -> None:
        self.values: NDArray[Any] | None = None
        self._room = room

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, by_columns, content = state
        self.fill(content, dtype, shape, "F" if by_columns else "C")

    def fill(self, content: Any, dtype: Any, shape: Any, order: Any) -> None:
        """Take the bytes of the elements."""
        if not isinstance(dtype, _DataType):
            raise ForbiddenError("an array of an unknown type")
        flat = np.frombuffer(content, dtype.dtype)
        self._room.take(flat.nbytes)
        # a copy: what lies in the file's bytes cannot be written to.
        # "K" is as it lay in memory; the bytes are in the order of rows then
        self.values = flat.reshape(shape, order="F" if order == "F" else "C").copy()


def read_pickle(content: bytes) -> Any:
    """What a pickle holds, its arrays as :class:`PickledArray`.

    Args:
        content: of the file.

    Raises:
        ForbiddenError: if it asks for more than dictionaries, lists, strings, numbers and arrays of numbers.
        Exception: of any kind, if it is damaged.
    """
    _look_through(content)
    return _WeightUnpickler(content).load()


def _look_through(content: bytes) -> None:
    """Go through the instructions without following any: each length that the file names is found to lie in it."""
    for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        name = instruction.name
        if name not in _INSTRUCTIONS:
            raise ForbiddenError(_FORBIDDEN.get(name, f"the instruction {name}"))
        if count >= _MOST_INSTRUCTIONS:
            raise ValueError(f"it has more than {_MOST_INSTRUCTIONS:,} instructions")
        if name == "FRAME" and isinstance(argument, int) and argument > len(content):
            raise ValueError("it ends in the middle of a frame")


class _Room:
    """How many bytes may still be made of a file: what it holds once, it may ask to be copied any number of times."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ForbiddenError("more copies of its content than fit into memory")


#: What the unpickler does with each instruction; typeshed knows it as another class's.
_FOLLOW = cast("dict[int, Callable[[Any], None]]", pickle._Unpickler.dispatch)


class _WeightUnpickler(pickle._Unpickler):
    """Makes nothing of NumPy's while it reads: what a pickle may set the state of are objects of our own.

    NumPy's own data types can be told by a pickle that they hold no objects while they do, and then any eight bytes of
    the file are taken for an address.
    """

    stack: list[Any]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        room = _Room(_COPIES * len(content))
        #: All that a weight file may name, and what stands for it here.
        self._allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _Maker(partial(_ordered, room)),
            ("numpy", "ndarray"): _ARRAY_TYPE,
            ("numpy", "dtype"): _Maker(_DataType),
            ("numpy._core.multiarray", "_reconstruct"): _Maker(partial(_reconstruct, room)),
            ("numpy._core.multiarray", "scalar"): _Maker(_scalar),
            ("numpy._core.numeric", "_frombuffer"): _Maker(partial(_frombuffer, room)),
            ("_codecs", "encode"): _Maker(partial(_latin1, room)),
        }

    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed its private package; both spellings are in files
        found = self._allowed.get((module.replace("numpy.core", "numpy._core", 1), name))
        if found is None:
            raise ForbiddenError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise ForbiddenError(_FORBIDDEN["PERSID"])

    def _set_item(self) -> None:
        _require_plain_keys(self.stack[-2:-1])
        _FOLLOW[pickle.SETITEM[0]](self)

    def _set_items(self) -> None:
        _require_plain_keys(self.stack[::2])
        _FOLLOW[pickle.SETITEMS[0]](self)

    def _dictionary(self) -> None:
        _require_plain_keys(self.stack[::2])
        _FOLLOW[pickle.DICT[0]](self)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_FOLLOW,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dictionary,
    }


def _require_plain_keys(keys: Any) -> None:
    """Refuse tuples: one that holds another twice, which holds a third twice, and so on, takes for ever to hash."""
    for key in keys:
        if not isinstance(key, (str, int, float, bytes, type(None))):
            raise ForbiddenError("a dictionary by something else than names and numbers")


class _DataType:
    """Stands for ``numpy.dtype``: numbers of one kind and size, in one byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        dtype = np.dtype(code) if isinstance(code, str) else None
        if dtype is None or dtype.kind not in "fiub" or dtype.shape:
            raise ForbiddenError("an array of something else than numbers")
        self.dtype: np.dtype[Any] = dtype

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order in ("<", ">", "="):
            self.dtype = self.dtype.newbyteorder(order)
        elif order != "|":
            raise ForbiddenError("an unknown byte order")


def _ordered(room: _Room, pairs: Any = ()) -> dict[Any, Any]:
    # a dictionary keeps its order; one that is made of another is a copy of it
    if not isinstance(pairs, (list, tuple)):
        raise ForbiddenError("a copy of a dictionary")
    room.take(len(pairs))
    _require_plain_keys(key for key, _ in pairs)
    return dict(pairs)


def _reconstruct(room: _Room, kind: Any, shape: Any, _: Any) -> PickledArray:
    if kind is not _ARRAY_TYPE:
        raise ForbiddenError("a subclass of an array")
    if shape != (0,):  # always so in a real file; the true shape comes with the data
        raise ForbiddenError("an array out of nothing")
    return PickledArray(room)


def _frombuffer(room: _Room, buffer: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> PickledArray:
    array = PickledArray(room)
    array.fill(buffer, dtype, shape, order)
    return array


def _scalar(dtype: Any, content: bytes) -> Any:
    if not isinstance(dtype, _DataType):
        raise ForbiddenError("a number of an unknown type")
    return np.frombuffer(content, dtype.dtype)[0].item()


def _latin1(room: _Room, text: str, _: str = "latin1") -> bytes:
    room.take(len(text))
    return text.encode("latin1")


class _Maker:
    """A callable that a file may call and not change: a pickle can set attributes of whatever it is handed."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *values: Any) -> Any:
        return self._make(*values)

    def __setstate__(self, _: Any) -> None:
        raise ForbiddenError("a change of its reader")


#: Stands for ``numpy.ndarray``, which is only ever named.
_ARRAY_TYPE = "numpy.ndarray"
