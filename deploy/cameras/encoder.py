"""The count of a strip's encoder: made to go on where the counter's bits end, and told for an exposure's moment."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from .clock import LONGEST

#: Bits of a GenICam counter, where nobody says anything else.
ENCODER_BITS = 32
#: In so many seconds the strip's speed may change by too much for a count reckoned between two readings.
FAR_SECONDS = 1.0
#: Whoever waited longer for a frame than this, in seconds, has it as it came; one that lay ready is there at once.
CAME_SECONDS = 0.002


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


class EncoderAtFetch:
    """The count at an exposure, of a counter that can only be asked what it says now.

    It is asked as each frame is fetched, and the count at an exposure is reckoned from the readings before and after
    it: also where frames had to wait, and several are fetched at one count. The strip is taken to keep its speed from
    one reading to the next.

    Args:
        read: asks the counter; may take a while.
        bits: of the counter.
        clock: ``time.monotonic``.
    """

    def __init__(
        self, read: Callable[[], int], bits: int = ENCODER_BITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._clock = read, clock
        self._count = EncoderCount(bits)
        self._readings: deque[tuple[float, int]] = deque()

    def read(self) -> None:
        """Ask the counter; once before the first frame is exposed, and then for each frame as it is fetched."""
        asked = self._clock()
        counted = self._ask()
        moment = (asked + self._clock()) / 2
        self._readings.append((moment, self._count.next(counted)))
        while len(self._readings) > 2 and self._readings[1][0] < moment - LONGEST:
            self._readings.popleft()

    def at(self, moment: float | None) -> int | None:
        """The count at a moment.

        Args:
            moment: by ``clock``; None if it is not known.

        Returns:
            The count, unwrapped; None where no two readings say: before the first one, or where the strip moved and
            the nearest reading is more than :data:`FAR_SECONDS` away.
        """
        if moment is None or not self._readings:
            return None
        after = self._readings[-1]
        if moment >= after[0]:
            # it came while the counter was asked
            return after[1] if moment - after[0] <= FAR_SECONDS else None
        for before in reversed(self._readings):
            if before[0] <= moment:
                break
            after = before
        else:
            return None
        (since, low), (until, high) = before, after
        if low != high and min(moment - since, until - moment) > FAR_SECONDS:
            return None
        return round(low + (high - low) * (moment - since) / (until - since))
