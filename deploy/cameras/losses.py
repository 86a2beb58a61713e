"""Which pictures of a coded stream are what the camera saw: what is missing, damaged, or built on what is."""

from __future__ import annotations

from collections import deque
from statistics import median

from ..frames import Cause
from .clock import LONGEST

#: Intervals between pictures that tell the rate.
_INTERVALS = 50
#: Packets that a hole in the transport can lie in: what is read then ends the picture before, or belongs to the next.
_SUSPECT = 2

Reason = tuple[Cause, str]


class PictureLosses:
    """Follows one connection's packets and pictures.

    Most pictures of a video say only what changed since the one before. So after anything is lost or damaged nothing
    can be believed until a picture comes that stands for itself, a key picture, and that is whole.

    Args:
        paced: whether pictures come at a constant rate, so that a longer step of their times shows that some are
            missing.
    """

    def __init__(self, paced: bool = True) -> None:
        self._paced = paced
        self._steps: deque[float] = deque(maxlen=_INTERVALS)
        self._last: tuple[float, float] | None = None
        self._why: Reason | None = None
        self._suspect = 0
        self._harmed = float("-inf")

    def packet(self, seconds: float | None, incomplete: bool) -> None:
        """Take note of a packet before it is decoded.

        Args:
            seconds: its time, by the camera's clock.
            incomplete: whether something was lost on the way while it was read, or it is marked as damaged.
        """
        if incomplete:
            self._suspect = _SUSPECT
            self._why = (Cause.LOST, "A part of it, or of a picture that it builds on, was lost on the way.")
        if self._suspect:
            self._suspect -= 1
            self._note(seconds)

    def undecodable(self, seconds: float | None, arrived: float) -> None:
        """Take note of a packet that no picture came of; what is told of it stands for that picture."""
        self._why = (Cause.ERROR, "It builds on a picture that cannot be decoded.")
        self._note(seconds)
        if seconds is not None and (self._last is None or seconds > self._last[0]):
            self._last = (seconds, arrived)

    def clock_was_set(self, seconds: float | None, arrived: float) -> bool:
        """Whether the camera's time went on, or back, by far more than the host's since the last picture."""
        if seconds is None or self._last is None:
            return False
        return abs((seconds - self._last[0]) - (arrived - self._last[1])) > LONGEST

    def picture(self, seconds: float | None, arrived: float, key: bool, damaged: bool) -> tuple[int, Reason | None]:
        """Judge the next picture.

        Args:
            seconds: its time, by the camera's clock; None if it tells none.
            arrived: ``time.monotonic()``.
            key: whether it builds on no other.
            damaged: whether the decoder had to make parts of it up.

        Returns:
            How many pictures are missing before it, and why it cannot be believed; None if it can.
        """
        missing = self._missing(seconds)
        if seconds is not None:
            self._last = (seconds, arrived)
        if missing:
            self._why = (Cause.LOST, "It builds on a picture that never came.")
        if damaged:
            self._why = (Cause.LOST, "It did not come whole, or builds on a picture that did not.")
            self._note(seconds)
        elif key and (seconds is None or seconds > self._harmed):
            self._why = None
        return missing, self._why

    def _missing(self, seconds: float | None) -> int:
        if seconds is None or self._last is None or (step := seconds - self._last[0]) <= 0:
            return 0
        interval = median(self._steps) if self._steps else None
        self._steps.append(step)
        if not self._paced or interval is None or step <= 1.5 * interval:
            return 0
        return max(1, round(step / interval) - 1)

    def _note(self, seconds: float | None) -> None:
        """A key picture up to this moment is not one to begin anew with."""
        if seconds is not None:
            self._harmed = max(self._harmed, seconds)
