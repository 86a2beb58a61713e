"""A stream of random numbers that is the same on every machine and with every NumPy.

NumPy promises to keep the raw output of a bit generator, not what ``Generator`` makes of it. So the numbers
here are made from raw 64-bit words by integer arithmetic.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


class Stream:
    """Random numbers that depend on a name alone.

    Example:
        >>> Stream("steel", 0).integer(0, 10) == Stream("steel", 0).integer(0, 10)
        True
    """

    def __init__(self, *name: str | int) -> None:
        """Start the stream called ``name``; different names give independent streams."""
        digest = hashlib.sha256("/".join(str(part) for part in name).encode()).digest()
        key = [int.from_bytes(digest[i : i + 8], "little") for i in (0, 8)]
        self._source = np.random.Philox(key=np.array(key, np.uint64))

    def words(self, count: int) -> NDArray[np.uint64]:
        """``count`` words of 64 random bits."""
        return np.asarray(self._source.random_raw(count), np.uint64)

    def fraction(self) -> float:
        """A number from 0 up to, but not including, 1."""
        return (int(self._source.random_raw()) >> 11) / 2.0**53

    def between(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        return low + (high - low) * self.fraction()

    def chance(self, share: float) -> bool:
        """True in ``share`` of all calls."""
        return self.fraction() < share

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` up to, but not including, ``high``."""
        return low + ((int(self._source.random_raw()) >> 32) * (high - low) >> 32)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Whole numbers from ``low`` up to, but not including, ``high``, int32 in ``shape``."""
        count = int(np.prod(shape, dtype=np.int64))
        drawn = (self.words(count) >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32)
        return (drawn.astype(np.int32) + np.int32(low)).reshape(shape)

    def fractions(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Numbers from 0 up to, but not including, 1, float64 in ``shape``."""
        count = int(np.prod(shape, dtype=np.int64))
        return ((self.words(count) >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(shape)

    def bell(self, shape: tuple[int, int]) -> NDArray[np.int32]:
        """Nearly normal whole numbers of mean 0 and standard deviation 148, int32 in ``shape``.

        Each is the sum of four random bytes, so none is further than 3.5 standard deviations out.
        """
        count = shape[0] * shape[1]
        words = self.words((count + 1) // 2)
        pairs = (words & np.uint64(0x00FF00FF00FF00FF)) + (words >> np.uint64(8) & np.uint64(0x00FF00FF00FF00FF))
        fours = (pairs & np.uint64(0x0000FFFF0000FFFF)) + (pairs >> np.uint64(16) & np.uint64(0x0000FFFF0000FFFF))
        halves = np.empty((len(fours), 2), np.int32)
        halves[:, 0] = (fours & np.uint64(0xFFFFFFFF)).astype(np.int32)
        halves[:, 1] = (fours >> np.uint64(32)).astype(np.int32)
        return halves.reshape(-1)[:count].reshape(shape) - np.int32(510)
