"""The count of a strip's encoder, made to go on where the counter's bits end."""

from __future__ import annotations

#: Bits of a GenICam counter, where nobody says anything else.
ENCODER_BITS = 32


class EncoderCount:
    """Unwraps a count: of all numbers that look the same to the counter, the nearest to the last one.

    So a count that passes the end of its range goes on, forward or back, and a small step back stays one, at 0 too. A
    strip that runs further than half of the range between two counts cannot be followed.

    Args:
        bits: of the counter.
    """

    def __init__(self, bits: int = ENCODER_BITS) -> None:
        self._range = 1 << bits
        self._last: int | None = None

    def next(self, counted: int) -> int:
        """Take a count; it may have been unwrapped before.

        Args:
            counted: as the counter says it.

        Returns:
            The count that goes on; the first one is as it was given.
        """
        if self._last is None:
            self._last = counted
        else:
            step = (counted - self._last) % self._range
            self._last += step if step <= self._range // 2 else step - self._range
        return self._last
