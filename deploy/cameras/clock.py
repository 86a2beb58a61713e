"""A camera's clock mapped to the host's: when a frame was exposed, in UTC."""

from __future__ import annotations

from collections import deque

#: Frames whose least delay counts as the way's own: among so many one is hardly held up.
WINDOW = 250


class CameraClock:
    """Maps a camera's timestamps to UTC.

    Both clocks run at the same rate but for some parts in a million; what differs is where they start. Of the last
    ``window`` frames the smallest difference between arrival and timestamp is taken for the offset: transfer can hold a
    frame up, never bring it early. A frame is therefore never told as exposed after it arrived, and the offset
    follows drift and steps of the host's clock within a window.

    Args:
        window: frames.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._offsets: deque[float] = deque(maxlen=window)

    def exposed(self, camera_seconds: float, arrived_utc: float) -> float:
        """When a frame was exposed.

        Args:
            camera_seconds: the camera's timestamp.
            arrived_utc: when it arrived, seconds of UTC since 1970.

        Returns:
            Seconds of UTC since 1970, at most ``arrived_utc``.
        """
        self._offsets.append(arrived_utc - camera_seconds)
        return min(camera_seconds + min(self._offsets), arrived_utc)
