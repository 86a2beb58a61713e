"""What streams and Video4Linux have in common: packets through FFmpeg, by PyAV."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import MissingDependencyError, install_hint
from ...core.passwords import without_passwords
from ...detection.images import Channels
from ..frames import Cause, Frame
from .base import CameraLost, CameraMisconfigured
from .clock import CameraClock, Times, paced
from .losses import PictureLosses

#: What FFmpeg says in its log, and nowhere else, when a stream's packets are lost on the way.
_LOST = re.compile(r"missed -?[0-9]+ packets|dropping")


class PacketCamera:
    """Decodes a container's video as it comes; see ``base.Camera``.

    A packet that cannot be decoded is a frame without an image, an error. What was lost or damaged on the way, what
    builds on that, and what by its time is missing between two pictures are frames without an image too: lost.

    Args:
        name: of the camera in frames and messages.
        shown: the source as people may see it.
        container: opened by PyAV.
        channels: what the bundle takes.
        steady: whether pictures come at a constant rate; then those that are missing show in the times.

    Raises:
        CameraMisconfigured: if there is no video in it.
    """

    wrap = None

    def __init__(self, name: str, shown: str, container: Any, channels: Channels, steady: bool = True) -> None:
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
        self._losses = PictureLosses(steady)
        self._exposed: float | None = None  # time.monotonic() at the last picture
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
                # of this thread alone: other cameras read in theirs
                with self._av.logging.Capture(local=True) as told:
                    packet = next(self._packets)
            except StopIteration:
                raise CameraLost(f"{self._shown} of the camera {self._name} has ended.") from None
            except (self._av.error.FFmpegError, OSError) as error:
                raise CameraLost(f"{self._shown} of the camera {self._name} fell silent ({said(error)}).") from None
            if not packet.size:
                continue  # the decoder's sign that the stream is at its end
            self._losses.packet(_seconds(packet), packet.is_corrupt or any(_LOST.search(line[2]) for line in told))
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
            self._losses.undecodable(_seconds(packet), arrived)
            detail = f"It cannot be decoded ({said(error)})."
            self._hand_out(None, (Cause.ERROR, detail), Times.of(arrived, utc, self._travel(packet, arrived)))
            return
        for picture in pictures:
            seconds = _seconds(picture)
            if self._losses.clock_was_set(seconds, arrived):
                raise CameraLost(f"The clock of the camera {self._name} was set: its pictures' times jumped.")
            missing, why = self._losses.picture(seconds, arrived, bool(picture.key_frame), bool(picture.is_corrupt))
            travel = self._travel(picture, arrived)
            for moment in paced(self._exposed, arrived - travel, missing):
                never = (Cause.LOST, "By the times of the pictures before and after it one is missing here.")
                self._hand_out(None, never, Times.of(arrived, utc, arrived - moment))
            image = None if why else np.asarray(picture.to_ndarray(format=self._format), np.uint8)
            decode_ms = 1000 * (time.perf_counter() - started)
            self._hand_out(image, why, Times.of(arrived, utc, travel), decode_ms)
            started = time.perf_counter()

    def _hand_out(
        self, image: NDArray[np.uint8] | None, why: tuple[Cause, str] | None, times: Times, decode_ms: float = 0.0
    ) -> None:
        self._exposed = times.arrived - times.travel_ms / 1000
        self._count += 1
        source = f"{self._name} {self._count}"
        cause, detail = why or (None, None)
        self._ready.append(Frame(self._name, source, image, cause, detail, None, *times, decode_ms=decode_ms))

    def _travel(self, timed: Any, arrived: float) -> float:
        seconds = _seconds(timed)
        return 0.0 if seconds is None else self._clock.travel(seconds, arrived)


def _seconds(timed: Any) -> float | None:
    """The time of a packet or a picture by the camera's clock."""
    return None if timed.pts is None or timed.time_base is None else float(timed.pts * timed.time_base)


def said(error: Exception) -> str:
    """What FFmpeg says of it, without the address and so without what is secret in it."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return without_passwords(str(text)).strip().lower()


def pyav() -> Any:
    """PyAV, which tells what happens to those alone that ask for it.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "Streams and Video4Linux cameras need PyAV, which is not installed. " + install_hint("cameras")
        ) from error
    # FFmpeg says by its log alone that packets were lost; and it names addresses there, passwords included
    logger = logging.getLogger("libav")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    av.logging.set_skip_repeated(False)  # the second of two losses counts too
    av.logging.set_level(av.logging.WARNING)
    return av
