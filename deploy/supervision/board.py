"""Signs of life and gauges that several processes share: a small file, mapped into the memory of each."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import TemperError

_MAGIC = b"TMPRBRD1"
_HEAD = struct.Struct("<8sI")


class Board:
    """Named numbers, each written by one thread and read by any process.

    A write is one aligned store of eight bytes, so a reader sees the old value or the new one. Values outlive whoever
    wrote them. Signs of life are moments of ``time.monotonic()``, which on Linux is one clock for all processes.

    Args:
        path: a file that :meth:`create` has made. Who may not write it can still read.

    Raises:
        TemperError: if the file is not there or is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._map = _mapped(path)
        except (OSError, ValueError) as error:
            raise TemperError(f"The board {path} cannot be opened: {error}. Is the line running?") from error
        try:
            names, start = _names(self._map)
            # not struct's standard sizes: CPython moves those byte by byte, and a reader saw halves of two values
            self._numbers = memoryview(self._map)[start : start + 8 * len(names)].cast("d")
        except ValueError as error:
            self._map.close()
            raise TemperError(f"{path} is no board of a line.") from error
        self._place = {name: place for place, name in enumerate(names)}

    @classmethod
    def create(cls, path: Path, names: Sequence[str]) -> Board:
        """Make a board with every value unset, in the place of one that is there."""
        encoded = json.dumps(list(names)).encode()
        # the numbers begin at a multiple of eight
        encoded += b" " * (-(len(encoded) + _HEAD.size) % 8)
        content = _HEAD.pack(_MAGIC, len(encoded)) + encoded + struct.pack("d", math.nan) * len(names)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(content)
        os.replace(partial, path)
        return cls(path)

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self._place)

    def set(self, name: str, value: float) -> None:
        """Write a gauge; an unknown name is ignored: it was not foreseen when the board was made."""
        place = self._place.get(name)
        if place is not None:
            self._numbers[place] = value

    def get(self, name: str) -> float | None:
        """Read a gauge; None if it was never written."""
        place = self._place.get(name)
        if place is None:
            return None
        value = float(self._numbers[place])
        return None if math.isnan(value) else value

    def beat(self, name: str) -> None:
        """Give a sign of life."""
        self.set(name, time.monotonic())

    def rest(self, name: str) -> None:
        """Say that no further sign of life is due, as what gave it has done its work: its age stays 0."""
        self.set(name, math.inf)

    def age(self, name: str, now: float | None = None) -> float | None:
        """Seconds since the last sign of life, at ``now`` (``time.monotonic()``); None if there was none."""
        last = self.get(name)
        return None if last is None else max(0.0, (time.monotonic() if now is None else now) - last)

    def clear(self, names: Sequence[str]) -> None:
        """Forget values: of a part that is started anew."""
        for name in names:
            self.set(name, math.nan)

    def close(self) -> None:
        """Let go of the file."""
        self._numbers.release()
        self._map.close()


def _mapped(path: Path) -> mmap.mmap:
    with contextlib.suppress(PermissionError), path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _names(content: mmap.mmap) -> tuple[list[str], int]:
    """The names on a board, and where its numbers begin.

    Raises:
        ValueError: if it is none, or not whole.
    """
    if len(content) < _HEAD.size:
        raise ValueError("too short")
    magic, length = _HEAD.unpack_from(content)
    start = _HEAD.size + length
    if magic != _MAGIC or start % 8:
        raise ValueError("not its beginning")
    names = json.loads(content[_HEAD.size : start].rstrip(b" "))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("not its names")
    if start + 8 * len(names) > len(content):
        raise ValueError("cut short")
    return names, start
