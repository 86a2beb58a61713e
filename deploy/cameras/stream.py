"""RTSP cameras."""

from __future__ import annotations

from typing import Literal

from ...core.passwords import address_shown
from ...detection.images import Channels
from .base import CameraMisconfigured, CameraUnavailable
from .pyav import PacketCamera, pyav, said
from .read_ahead import opened_within


class StreamCamera(PacketCamera):
    """One connection to an RTSP camera; see ``base.Camera``.

    Args:
        name: of the camera in frames and messages.
        url: ``rtsp://user:password@host/path``; the credentials are never shown.
        channels: what the bundle takes.
        transport: ``tcp`` loses nothing on the way; ``udp`` may.
        open_seconds: that opening may take.
        read_seconds: that a picture may take.

    Raises:
        CameraUnavailable: if it does not answer.
        CameraMisconfigured: if it refuses the credentials or knows no such path.
        MissingDependencyError: if PyAV is not installed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        channels: Channels,
        transport: Literal["tcp", "udp"] = "tcp",
        open_seconds: float = 5.0,
        read_seconds: float = 5.0,
    ) -> None:
        av = pyav()
        shown = address_shown(url)
        options = {"rtsp_transport": transport, "fflags": "nobuffer", "allowed_media_types": "video"}
        if transport == "tcp":
            # packets that the camera or its server dropped show in the queue alone, and over TCP there is none else
            options["reorder_queue_size"] = "2"
        try:
            # FFmpeg may take this time twice, once to connect and once to find the pictures
            container = opened_within(
                open_seconds,
                lambda: av.open(url, options=options, timeout=(open_seconds, read_seconds)),
                f"{shown} of the camera {name} was not open within {open_seconds:g} s.",
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _refused(error, f"{shown} of the camera {name}") from None
        super().__init__(name, shown, container, channels)


def _refused(error: Exception, what: str) -> CameraMisconfigured | CameraUnavailable:
    kinds = pyav().error
    hopeless = {
        "HTTPUnauthorizedError": "refuses the user name or password",
        "HTTPForbiddenError": "refuses the user name or password",
        "HTTPNotFoundError": "is not known there (404); look the path up in the camera's manual",
        "ProtocolNotFoundError": "is no address that can be read; it begins with rtsp://",
    }
    for kind, told in hopeless.items():
        if isinstance(error, getattr(kinds, kind, ())):
            return CameraMisconfigured(f"{what} {told}.")
    return CameraUnavailable(f"{what} cannot be opened ({said(error)}).")
