"""Signs of life and gauges that several processes share: a small file, mapped into the memory of each."""

from __future__ import annotations

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

    A write is one store of eight aligned bytes, so a reader sees the old value or the new one and nothing in between
    (``struct.pack_into`` would not do: it clears the bytes first). Values outlive whoever wrote them. Signs of life
    are moments of ``time.monotonic()``, which on Linux is one clock for all processes.

    Args:
        path: a file that :meth:`create` has made.

    Raises:
        TemperError: if the file is not there or is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError) as error:
            raise TemperError(f"The board {path} cannot be opened: {error}. Is the line running?") from error
        magic, length = _HEAD.unpack_from(self._map)
        if magic != _MAGIC:
            raise TemperError(f"{path} is no board of a line.")
        names = json.loads(self._map[_HEAD.size : _HEAD.size + length].rstrip(b" "))
        self._place = {name: place for place, name in enumerate(names)}
        self._whole = memoryview(self._map)
        self._numbers = self._whole[_HEAD.size + length :].cast("d")

    @classmethod
    def create(cls, path: Path, names: Sequence[str]) -> Board:
        """Make a board with every value unset, in the place of one that is there."""
        encoded = json.dumps(list(names)).encode()
        # the numbers begin at a multiple of eight
        encoded += b" " * (-(len(encoded) + _HEAD.size) % 8)
        content = _HEAD.pack(_MAGIC, len(encoded)) + encoded + struct.pack("=d", math.nan) * len(names)
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
        value = self._numbers[place]
        return None if math.isnan(value) else value

    def beat(self, name: str) -> None:
        """Give a sign of life."""
        self.set(name, time.monotonic())

    def age(self, name: str) -> float | None:
        """Seconds since the last sign of life; None if there was none."""
        last = self.get(name)
        return None if last is None else max(0.0, time.monotonic() - last)

    def clear(self, names: Sequence[str]) -> None:
        """Forget values: of a part that is started anew."""
        for name in names:
            self.set(name, math.nan)

    def close(self) -> None:
        """Let go of the file."""
        self._numbers.release()
        self._whole.release()
        self._map.close()
