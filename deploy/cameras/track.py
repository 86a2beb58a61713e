"""Where along the strip a frame lies, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..frames import Frame
from .encoder import ENCODER_BITS, EncoderCount

#: No strip is faster, in metres a second; rod mills come near.
_FASTEST = 150.0
#: By how much moments of exposure that are not quite right may let a strip seem faster, in metres.
_SLACK_M = 1.0


class Track(Protocol):
    """What tells positions.

    Attributes:
        tells_gaps: whether it counts on while the camera is not connected, and so tells how much of the strip passed.
    """

    tells_gaps: bool

    def position(self, frame: Frame) -> float | None:
        """Where the frame's first row lies, in metres from wherever counting began; None if it cannot be told."""


class BySpeed:
    """A strip of constant speed: the moment of exposure tells the place.

    Positions count from 1970, so that they are the same for all cameras and go on over restarts; a coil's report counts
    from its own start. Only the first frame is placed by the clock, all others by the time since then, so that the
    strip does not jump when somebody sets the clock. One object serves all cameras of a line.

    Args:
        metres_per_second: of the strip.
    """

    tells_gaps = True

    def __init__(self, metres_per_second: float) -> None:
        self._speed = metres_per_second
        self._anchor: tuple[float, float] | None = None

    def position(self, frame: Frame) -> float | None:
        """The way of the strip until the exposure."""
        moment = frame.arrived - frame.travel_ms / 1000
        if self._anchor is None:
            self._anchor = (moment, frame.exposed * self._speed)
        return self._anchor[1] + (moment - self._anchor[0]) * self._speed


@dataclass(frozen=True)
class ByFrame:
    """A camera that an encoder triggers: every frame is the same way further, also one that got lost.

    Attributes:
        metres_per_frame: the strip's way between two exposures.
    """

    metres_per_frame: float
    tells_gaps = True

    def position(self, frame: Frame) -> float | None:
        """The way of the strip by the camera's count; None where the camera counts nothing."""
        return None if frame.frame_id is None else frame.frame_id * self.metres_per_frame


class ByEncoder:
    """A strip whose encoder the camera counts: the count tells the place, whatever the speed.

    A count that moves faster than any strip does was set anew: the strip goes on from where it was.

    Args:
        metres_per_count: the strip's way in a count.
        bits: of the counter, after which it begins anew.
    """

    tells_gaps = True

    def __init__(self, metres_per_count: float, bits: int = ENCODER_BITS) -> None:
        self._metres = metres_per_count
        self._count = EncoderCount(bits)
        self._last: tuple[float, int] | None = None
        self._shift = 0

    def position(self, frame: Frame) -> float | None:
        """The way of the strip by the encoder's count; None for a frame that came without one."""
        if frame.encoder is None:
            return None
        moment, count = frame.arrived - frame.travel_ms / 1000, self._count.next(frame.encoder)
        if self._last is not None:
            step = count - self._last[1]
            possible = _FASTEST * max(0.0, moment - self._last[0]) + _SLACK_M
            if abs(step) * self._metres > possible:
                self._shift -= step
        self._last = (moment, count)
        return (count + self._shift) * self._metres


@dataclass(frozen=True)
class ByLine:
    """A line scan camera whose lines are counted here: the number of a frame's first line tells the place.

    Attributes:
        metres_per_line: the strip's way between two lines.
    """

    metres_per_line: float
    tells_gaps = False

    def position(self, frame: Frame) -> float | None:
        """The way of the strip by the number of lines; None for a frame of which that is not known."""
        return None if frame.encoder is None else frame.encoder * self.metres_per_line
