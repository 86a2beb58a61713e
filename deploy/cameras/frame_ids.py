"""A camera's own count of its frames, made to go on where the camera's wraps, and what is missing from it."""

from __future__ import annotations

from ...core.errors import TemperError

#: GigE Vision counts in 16 bits and leaves 0 out: after 65535 comes 1 (GigE Vision 2.0, block_id of the stream's
#: header).
GIGE_VISION_WRAP = 65_535
#: So many frames missing at once are no loss on the wire: the camera was restarted, or the count is broken.
MOST_MISSING = 10_000

#: So far behind the last frame one may come that the driver was still waiting for parts of.
MOST_LATE = 64

#: By how much a camera's rate may seem to have changed while nobody looked, where its count alone cannot tell.
_DRIFT = 0.01
#: So many frames more or less are no sign of anything.
_SLACK = 5


class FrameIds:
    """Unwraps a camera's count.

    Args:
        wrap: the highest count, after which 1 follows, or 0 as soon as a 0 was seen (some cameras do not leave it out);
            None if the camera's count is wide enough to go on for ever.
    """

    def __init__(self, wrap: int | None = None) -> None:
        self._wrap = wrap
        self._counted: int | None = None
        self._last = 0
        self._with_zero = False

    def next(self, counted: int) -> tuple[int, list[int]]:
        """Take the count of the frame that came.

        Args:
            counted: as the camera says it.

        Returns:
            The frame's id, greater than every one before, and the ids of the frames missing before it. The first id
            is the camera's own count.

        Raises:
            TemperError: if the count goes back, or jumps by more than ``MOST_MISSING``.
        """
        before, self._counted = self._counted, counted
        if before is None:
            self._last = counted
            return counted, []
        step = counted - before
        if self._wrap is not None:
            self._with_zero |= counted == 0
            # of equal places on the circle of counts the nearest one ahead
            step %= self._wrap + self._with_zero
        if step <= 0 or step > MOST_MISSING + 1:
            raise TemperError(f"The camera's count of frames went from {before} to {counted}.")
        missing = list(range(self._last + 1, self._last + step))
        self._last += step
        return self._last, missing

    def is_late(self, counted: int) -> bool:
        """Whether a frame of this count lies a little behind the last one, so that it was told as missing already."""
        if self._counted is None:
            return False
        behind = self._counted - counted
        if self._wrap is not None:
            behind %= self._wrap + self._with_zero
        return 0 <= behind <= MOST_LATE


def steps_counted(before: int, counted: int, expected: float | None, wrap: int | None) -> int | None:
    """How far a camera's count went on while nobody looked.

    A camera that was restarted, and many that are only connected anew, count from their beginning. That shows where
    they would have had to send more frames than their rate allows. A count that wraps looks the same after each turn:
    where there was time for half a turn, only the turn that the time foretells is believed.

    Args:
        before: the last id that was seen, unwrapped.
        counted: the count of the frame that came, as the camera says it.
        expected: frames at the camera's rate in the time that passed; None if the rate is not known.
        wrap: the highest count, after which 1 follows; None if the count goes on for ever.

    Returns:
        From ``before`` to the frame that came, at least 1; None if neither count nor time tells.
    """
    if wrap is None:
        step = counted - before
        return step if step > 0 and (expected is None or step <= 1.5 * expected + _SLACK) else None
    if expected is None:
        return None
    step = (counted - 1 - (before - 1) % wrap) % wrap
    most = 1.5 * expected + _SLACK
    if most >= wrap / 2 or counted <= 1:
        step += wrap * round((expected - step) / wrap)
        within = _DRIFT * expected + _SLACK
        # in a wider window almost any count would lie
        return step if step > 0 and abs(step - expected) <= within <= wrap / 8 else None
    return step if 0 < step <= most else None
