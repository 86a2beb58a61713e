"""Connections to the counting camera, and what comes through them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gige import Camera
from temper.deploy.cameras.aravis import AravisCamera
from temper.deploy.cameras.genicam import GenicamSettings
from temper.deploy.frames import Frame

SMALL = GenicamSettings(pixel_format="Mono8", region=(0, 0, 640, 480), frame_rate=100.0, packet_bytes=8996)


@contextlib.contextmanager
def opened(camera: Camera, settings: GenicamSettings = SMALL, **changes: Any) -> Iterator[AravisCamera]:
    made = AravisCamera("top", camera.id, replace(settings, **changes), "grey")
    try:
        yield made
    finally:
        made.close()


def grabbed(connection: AravisCamera, count: int, seconds: float = 20.0) -> list[Frame]:
    frames: list[Frame] = []
    until = time.monotonic() + seconds
    while len(frames) < count:
        assert time.monotonic() < until, f"only {len(frames)} of {count} frames came"
        frame = connection.grab(0.5)
        if frame is not None:
            frames.append(frame)
    return frames


def written_in(frame: Frame) -> int:
    """The frame id that the camera writes into its pictures."""
    assert frame.image is not None
    return int.from_bytes(frame.image.ravel()[:8].tobytes(), "little")
