"""An ONNX file in memory, and whether it is all there is: ONNX lets weights lie in other files, which no hash covers.

The file is a protocol buffer. It is walked here with nothing but the field numbers of onnx.proto, so that a device
needs no further library for it; weights are stepped over, so that large graphs take no longer than small ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import TemperError

#: For each message the fields that hold messages of interest.
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_MOST_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Bytes of a varint: of a value, and of a tag or a length, which have 32 bits. Readers differ in what they make of
#: more, so that one would see a field where another does not.
_LONGEST, _LONGEST_32 = 10, 5


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read once: what was checked is what runs, whatever becomes of the file meanwhile.

    Attributes:
        content: all of its bytes.
        title: how messages call it.
    """

    content: bytes = field(repr=False)
    title: str

    @classmethod
    def read(cls, path: Path) -> OnnxFile:
        """A file that is in no bundle (yet), and that nobody has checked.

        Raises:
            TemperError: if it cannot be read.
        """
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise TemperError(f"{path} cannot be read: {error.strerror}.") from error


def require_self_contained(graph: OnnxFile) -> None:
    """Check that an ONNX file is a well-formed protocol buffer and keeps all its weights inside.

    Raises:
        TemperError: if it is not.
    """
    try:
        if not graph.content:
            raise _NotProtobufError
        _walk(graph.content, 0, len(graph.content), graph.title)
    except _NotProtobufError as error:
        raise TemperError(f"{graph.title} is no ONNX file that can be read. Export the bundle again.") from error


class _NotProtobufError(Exception):
    """The bytes are no protocol buffer, or one nested deeper than any graph."""


def _walk(content: bytes, start: int, end: int, title: str) -> None:
    waiting = [("model", start, end, 0)]
    while waiting:
        kind, start, end, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise _NotProtobufError
        for number, wire, first, last in _fields(content, start, end):
            if kind == "tensor" and (
                number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and wire == _VARINT and first)
            ):
                raise TemperError(
                    f"{title} keeps weights in another file, which a bundle may not do. Export the bundle again."
                )
            inner = _INNER[kind].get(number)
            if inner is not None:
                if wire != _BYTES:
                    raise _NotProtobufError
                waiting.append((inner, first, last, depth + 1))


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and place of every field; of a varint its value instead of its beginning."""
    while at < end:
        key, at = _varint(content, at, end, _LONGEST_32)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _NotProtobufError
        if wire == _VARINT:
            value, at = _varint(content, at, end)
            yield number, wire, value, at
            continue
        if wire == _BYTES:
            length, at = _varint(content, at, end, _LONGEST_32)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise _NotProtobufError
        if length > end - at:
            raise _NotProtobufError
        yield number, wire, at, at + length
        at += length


def _varint(content: bytes, at: int, end: int, longest: int = _LONGEST) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * longest, 7):
        if at >= end:
            raise _NotProtobufError
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if longest == _LONGEST_32 and value >> 32:
                raise _NotProtobufError
            return value, at
    raise _NotProtobufError
