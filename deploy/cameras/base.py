"""What every camera offers: one connection, frames one after the other, and three ways to fail."""

from __future__ import annotations

from typing import Protocol

from ...core.errors import TemperError, UsageError
from ..frames import Frame


class CameraLost(TemperError):
    """The connection is gone while frames were expected; whoever holds it closes it and opens anew."""


class CameraUnavailable(TemperError):
    """There is no such camera now, another program holds it, or it refuses: waiting can help."""


class CameraMisconfigured(UsageError):
    """What is asked of the camera does not exist or is not allowed: waiting cannot help."""


class CameraEnded(TemperError):
    """A finite source (a video file, a folder read once) has given its last frame."""


class Camera(Protocol):
    """One connection to one camera. Made by a function that opens it; never used again after an error.

    Frames come in the order of their exposure. A frame is handed out only when it is whole: one that arrived in parts
    is a frame without an image, with the cause LOST. A frame that the camera counted and that never came is one too, in
    its place, so that nothing is missing while the connection stands.
    """

    @property
    def facts(self) -> dict[str, str]:
        """What the camera says of itself: model, serial number, pixel format, size and the like."""

    def grab(self, timeout: float) -> Frame | None:
        """The next frame.

        Args:
            timeout: seconds to wait for it.

        Returns:
            The frame; None if none came in time.

        Raises:
            CameraLost: if the connection is gone.
            CameraEnded: if there will be no other frame.
        """

    def close(self) -> None:
        """Free the camera for others; may be called twice."""
