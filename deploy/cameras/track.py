"""Where along the strip a frame lies, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..frames import Frame


class Track(Protocol):
    """What tells positions."""

    def position(self, frame: Frame) -> float | None:
        """Where the frame's first row lies, in metres from wherever counting began; None if it cannot be told."""


@dataclass(frozen=True)
class BySpeed:
    """A strip of constant speed: the moment of exposure tells the place.

    Positions count from 1970, so that they are the same for all cameras and go on over restarts; a coil's report counts from its
    own start.

    Attributes:
        metres_per_second: of the strip.
        ahead_m: how far upstream of the line's origin the camera looks.
    """

    metres_per_second: float
    ahead_m: float = 0.0

    def position(self, frame: Frame) -> float | None:
        """The way of the strip until the exposure."""
        return frame.exposed * self.metres_per_second + self.ahead_m


@dataclass(frozen=True)
class ByFrame:
    """A camera that an encoder triggers: every frame is the same way further, also one that got lost.

    Attributes:
        metres_per_frame: the strip's way between two exposures.
        ahead_m: as for :class:`BySpeed`.
    """

    metres_per_frame: float
    ahead_m: float = 0.0

    def position(self, frame: Frame) -> float | None:
        """The way of the strip by the camera's count; None where the camera counts nothing."""
        return None if frame.frame_id is None else frame.frame_id * self.metres_per_frame + self.ahead_m
