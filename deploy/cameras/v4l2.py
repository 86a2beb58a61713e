"""Cameras of Video4Linux: USB cameras, and what a Jetson has on its CSI ports."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from ...detection.images import Channels
from .base import CameraMisconfigured, CameraUnavailable
from .pyav import PacketCamera, pyav, said
from .read_ahead import ReadAhead

#: A device that is there answers at once; one that waits for a trigger opens with its first picture.
OPEN_SECONDS = 0.5


class V4l2Camera(ReadAhead):
    """One opened device; see ``base.Camera``. The driver's calls block until a picture comes, so a thread makes them.

    Args:
        name: of the camera in frames and messages.
        device: ``/dev/video0``.
        channels: what the bundle takes.
        size: width and height in pixels; None leaves it as it is set.
        frame_rate: frames a second; None likewise.
        pixel_format: FFmpeg's name of the format that the camera sends: ``mjpeg``, ``yuyv422``, ``gray``.

    Raises:
        CameraUnavailable: if it is not there, or in use.
        CameraMisconfigured: if it may not be opened, is no camera, or cannot be set as asked.
        MissingDependencyError: if PyAV is not installed.
    """

    def __init__(
        self,
        name: str,
        device: str,
        channels: Channels,
        size: tuple[int, int] | None = None,
        frame_rate: float | None = None,
        pixel_format: str | None = None,
    ) -> None:
        pyav()
        _require_device(name, device)
        options = {
            **({"video_size": f"{size[0]}x{size[1]}"} if size else {}),
            **({"framerate": f"{frame_rate:g}"} if frame_rate else {}),
            **({"input_format": pixel_format} if pixel_format else {}),
        }

        def open_device() -> PacketCamera:
            # the rate of many follows the light, so their times do not tell what is missing
            return PacketCamera(name, device, _container(name, device, options), channels, steady=False)

        super().__init__(name, open_device, OPEN_SECONDS)


def _container(name: str, device: str, options: dict[str, str]) -> Any:
    av = pyav()
    try:
        return av.open(device, format="v4l2", options=options)
    except (av.error.FFmpegError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EBUSY, errno.ENODEV, errno.ENXIO):
            raise CameraUnavailable(
                f"{device} of the camera {name} is in use by another program, or gone ({said(error)})."
            ) from None
        asked = ", ".join(f"{option} {value}" for option, value in options.items()) or "as it is set"
        raise CameraMisconfigured(
            f"{device} of the camera {name} cannot be opened with {asked} ({said(error)}). 'v4l2-ctl "
            f"--list-formats-ext -d {device}' lists what it takes."
        ) from None


def _require_device(name: str, device: str) -> None:
    try:
        mode = os.stat(device).st_mode
    except FileNotFoundError:
        raise CameraUnavailable(f"There is no {device} for the camera {name}. Is it plugged in?") from None
    except OSError as error:
        raise CameraMisconfigured(f"{device} of the camera {name} cannot be opened: {error.strerror}.") from None
    if not stat.S_ISCHR(mode):
        raise CameraMisconfigured(f"{device} of the camera {name} is no device. It is one like /dev/video0.")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraMisconfigured(
            f"{device} of the camera {name} may not be opened by this user. Add it to the group video: "
            "sudo usermod -aG video $USER, then log in anew."
        )
