"""A camera's clock held against the host's: how long a frame took from its exposure to its arrival."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

#: Frames whose least delay counts as the way's own: among so many one is hardly held up.
WINDOW = 250
#: No frame is longer on its way, in seconds; where it seems so, the camera's clock was set.
LONGEST = 10.0


class CameraClock:
    """Tells how long frames were on their way.

    Both clocks run at the same rate but for some parts in a million; what differs is where they start. Of the last
    ``window`` frames the smallest difference between arrival and timestamp is taken for the offset: transfer can hold a
    frame up, never bring it early. So jitter drops out, drift is followed within a window, and what all frames take
    at least is not seen. The host's clock is the monotonic one: setting the time of day disturbs nothing.

    Args:
        window: frames.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._offsets: deque[float] = deque(maxlen=window)
        self._last = float("-inf")

    def travel(self, camera_seconds: float, arrived: float) -> float:
        """How long a frame was on its way.

        Args:
            camera_seconds: the camera's timestamp.
            arrived: ``time.monotonic()`` when it arrived.

        Returns:
            Seconds, from 0 to :data:`LONGEST`.
        """
        offset = arrived - camera_seconds
        went_back = camera_seconds < self._last
        if went_back or (self._offsets and offset - min(self._offsets) > LONGEST):
            self._offsets.clear()
        self._last = camera_seconds
        self._offsets.append(offset)
        return offset - min(self._offsets)


class Times(NamedTuple):
    """When a frame was exposed and came, in the order of the fields of ``Frame``.

    Attributes:
        exposed: seconds of UTC since 1970.
        arrived: ``time.monotonic()``.
        travel_ms: milliseconds between them.
    """

    exposed: float
    arrived: float
    travel_ms: float

    @classmethod
    def of(cls, arrived: float, arrived_utc: float, travel: float) -> Times:
        """Those of a frame that was ``travel`` seconds on its way."""
        return cls(arrived_utc - travel, arrived, 1000 * travel)


def paced(before: float | None, after: float, missing: int) -> list[float]:
    """When frames that never came were exposed: the camera kept its pace, only the frames got lost.

    Args:
        before: ``time.monotonic()`` of the exposure of the last frame that came; None if there was none.
        after: that of the next one.
        missing: how many there were between them.

    Returns:
        A moment for each, in order.
    """
    since = after if before is None else min(before, after)
    return [since + (after - since) * place / (missing + 1) for place in range(1, missing + 1)]
