"""RTSP cameras through PyAV."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from ...core.errors import MissingDependencyError
from ...detection.images import Channels
from ..frames import Cause, Frame
from .base import CameraLost, CameraMisconfigured, CameraUnavailable
from .clock import CameraClock

_CREDENTIALS = re.compile(r"//[^/@]*@")


class StreamCamera:
    """One connection to an RTSP camera; see ``base.Camera``.

    Pictures are decoded as they come. A packet that cannot be decoded is a frame without an image, an error.

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

    wrap = None

    def __init__(
        self,
        name: str,
        url: str,
        channels: Channels,
        transport: Literal["tcp", "udp"] = "tcp",
        open_seconds: float = 5.0,
        read_seconds: float = 5.0,
    ) -> None:
        self._av = av = _pyav()
        self._name, self._shown = name, without_credentials(url)
        self._format = "gray" if channels == "grey" else "rgb24"
        options = {"rtsp_transport": transport, "fflags": "nobuffer", "allowed_media_types": "video"}
        try:
            self._container: Any = av.open(url, options=options, timeout=(open_seconds, read_seconds))
            if not self._container.streams.video:
                raise CameraMisconfigured(f"{self._shown} of the camera {name} has no video.")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "SLICE"  # by frames would hold every picture back
            self._packets: Iterator[Any] = iter(self._container.demux(self._stream))
        except (av.error.FFmpegError, OSError) as error:
            raise self._refused(error) from None
        self._clock = CameraClock()
        self._count = 0
        self._ready: list[Frame] = []

    @property
    def facts(self) -> dict[str, str]:
        """Address, codec, size."""
        context = self._stream.codec_context
        return {"stream": self._shown, "codec": str(context.name), "size": f"{context.width} x {context.height}"}

    def grab(self, timeout: float) -> Frame | None:
        """The next picture; see ``base.Camera.grab``. Waits up to ``read_seconds``, whatever ``timeout`` says."""
        while not self._ready:
            try:
                packet = next(self._packets)
            except StopIteration:
                raise CameraLost(f"{self._shown} of the camera {self._name} has ended.") from None
            except (self._av.error.FFmpegError, OSError) as error:
                raise CameraLost(f"{self._shown} of the camera {self._name} fell silent ({_said(error)}).") from None
            if not packet.size:
                continue  # the decoder's sign that the stream is at its end
            self._decode(packet)
        return self._ready.pop(0)

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def _decode(self, packet: Any) -> None:
        arrived, utc = time.monotonic(), time.time()
        started = time.perf_counter()
        try:
            pictures = packet.decode()
        except self._av.error.FFmpegError as error:
            exposed = self._exposed(packet, utc)
            detail = f"It cannot be decoded ({_said(error)})."
            self._ready.append(
                Frame(self._name, self._next_source(), None, Cause.ERROR, detail, None, exposed, arrived)
            )
            return
        for picture in pictures:
            image = np.asarray(picture.to_ndarray(format=self._format), np.uint8)
            decode_ms = 1000 * (time.perf_counter() - started)
            started = time.perf_counter()
            exposed = self._exposed(picture, utc)
            self._ready.append(
                Frame(
                    self._name,
                    self._next_source(),
                    image,
                    None,
                    None,
                    None,
                    exposed,
                    arrived,
                    1000 * (utc - exposed),
                    decode_ms,
                )
            )

    def _exposed(self, timed: Any, utc: float) -> float:
        if timed.pts is None or timed.time_base is None:
            return utc
        return self._clock.exposed(float(timed.pts * timed.time_base), utc)

    def _next_source(self) -> str:
        self._count += 1
        return f"{self._name} {self._count}"

    def _refused(self, error: Exception) -> Exception:
        kinds = self._av.error
        hopeless = tuple(
            kind
            for kind in (getattr(kinds, name, None) for name in ("HTTPUnauthorizedError", "HTTPForbiddenError"))
            if kind is not None
        )
        told = f"{self._shown} of the camera {self._name}"
        if isinstance(error, hopeless):
            return CameraMisconfigured(f"{told} refuses the user name or password.")
        missing = getattr(kinds, "HTTPNotFoundError", None)
        if missing is not None and isinstance(error, missing):
            return CameraMisconfigured(f"{told} is not known there (404). Look the path up in the camera's manual.")
        return CameraUnavailable(f"{told} cannot be opened ({_said(error)}).")


def without_credentials(url: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _said(error: Exception) -> str:
    """What FFmpeg says of it, without the address and so without what is secret in it."""
    said = getattr(error, "strerror", None) or type(error).__name__
    return _CREDENTIALS.sub("//", str(said)).strip().lower()


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("Streams need PyAV: pip install 'temper[cameras]'.") from error
    av.logging.set_level(None)
    return av
