"""A camera's own count of its frames, made to go on where the camera's wraps, and what is missing from it."""

from __future__ import annotations

from ...core.errors import TemperError

#: GigE Vision counts in 16 bits and leaves 0 out: after 65535 comes 1 (GigE Vision 2.0, block_id of the stream's
#: header).
GIGE_VISION_WRAP = 65_535
#: So many frames missing at once are no loss on the wire: the camera was restarted, or the count is broken.
MOST_MISSING = 10_000


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
