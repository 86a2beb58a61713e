"""What streams and Video4Linux have in common: packets through FFmpeg, by PyAV."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...core.errors import MissingDependencyError
from ...core.passwords import without_passwords
from ...detection.images import Channels
from ..frames import Cause, Frame
from .base import CameraLost, CameraMisconfigured
from .clock import CameraClock, Times


class PacketCamera:
    """Decodes a container's video as it comes; see ``base.Camera``.

    A packet that cannot be decoded is a frame without an image, an error.

    Args:
        name: of the camera in frames and messages.
        shown: the source as people may see it.
        container: opened by PyAV.
        channels: what the bundle takes.

    Raises:
        CameraMisconfigured: if there is no video in it.
    """

    wrap = None

    def __init__(self, name: str, shown: str, container: Any, channels: Channels) -> None:
        self._av = pyav()
        self._name, self._shown, self._container = name, shown, container
        self._format = "gray" if channels == "grey" else "rgb24"
        if not container.streams.video:
            container.close()
            raise CameraMisconfigured(f"{shown} of the camera {name} has no video.")
        self._stream = container.streams.video[0]
        self._stream.thread_type = "SLICE"  # threads by frame would hold every picture back
        self._packets: Iterator[Any] = iter(container.demux(self._stream))
        self._clock = CameraClock()
        self._count = 0
        self._ready: deque[Frame] = deque()

    @property
    def facts(self) -> dict[str, str]:
        """Address, codec, size."""
        context = self._stream.codec_context
        return {"source": self._shown, "codec": str(context.name), "size": f"{context.width} x {context.height}"}

    def grab(self, timeout: float) -> Frame | None:
        """The next picture; see ``base.Camera.grab``. Waits as long as reading may take, whatever ``timeout`` says."""
        while not self._ready:
            try:
                packet = next(self._packets)
            except StopIteration:
                raise CameraLost(f"{self._shown} of the camera {self._name} has ended.") from None
            except (self._av.error.FFmpegError, OSError) as error:
                raise CameraLost(f"{self._shown} of the camera {self._name} fell silent ({said(error)}).") from None
            if not packet.size:
                continue  # the decoder's sign that the stream is at its end
            self._decode(packet)
        return self._ready.popleft()

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def _decode(self, packet: Any) -> None:
        arrived, utc = time.monotonic(), time.time()
        started = time.perf_counter()
        try:
            pictures = packet.decode()
        except self._av.error.FFmpegError as error:
            detail = f"It cannot be decoded ({said(error)})."
            times = Times.of(arrived, utc, self._travel(packet, arrived))
            self._ready.append(Frame(self._name, self._next_source(), None, Cause.ERROR, detail, None, *times))
            return
        for picture in pictures:
            image = np.asarray(picture.to_ndarray(format=self._format), np.uint8)
            decode_ms = 1000 * (time.perf_counter() - started)
            started = time.perf_counter()
            times = Times.of(arrived, utc, self._travel(picture, arrived))
            self._ready.append(
                Frame(self._name, self._next_source(), image, None, None, None, *times, decode_ms=decode_ms)
            )

    def _travel(self, timed: Any, arrived: float) -> float:
        if timed.pts is None or timed.time_base is None:
            return 0.0
        return self._clock.travel(float(timed.pts * timed.time_base), arrived)

    def _next_source(self) -> str:
        self._count += 1
        return f"{self._name} {self._count}"


def said(error: Exception) -> str:
    """What FFmpeg says of it, without the address and so without what is secret in it."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return without_passwords(str(text)).strip().lower()


def pyav() -> Any:
    """PyAV, quiet.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "Streams and Video4Linux cameras need PyAV: pip install 'temper[cameras]'."
        ) from error
    av.logging.set_level(None)
    return av
