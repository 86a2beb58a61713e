"""A camera that blocks holds up nobody, and frees itself when it comes back."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from temper.deploy.cameras.base import CameraEnded, CameraLost, CameraUnavailable
from temper.deploy.cameras.read_ahead import ReadAhead, opened_within
from temper.deploy.frames import Frame


class Blocking:
    """Gives so many frames, and then blocks until it is let go; after that it has ended."""

    wrap = None
    facts = {"source": "/dev/video9"}  # noqa: RUF012

    def __init__(self, count: int) -> None:
        self.count, self.go, self.closed = count, threading.Event(), threading.Event()

    def grab(self, timeout: float) -> Frame | None:
        if self.count == 0:
            self.go.wait(20)
            raise CameraEnded("It has ended.")
        self.count -= 1
        return Frame("top", f"top {self.count}", np.zeros((2, 2), np.uint8))

    def close(self) -> None:
        self.closed.set()


def test_frames_come_in_order_and_a_silent_camera_is_no_frame_in_time() -> None:
    inner = Blocking(5)
    camera = ReadAhead("top", lambda: inner, 5)
    assert camera.facts == inner.facts
    frames = [camera.grab(5) for _ in range(5)]
    assert [frame and frame.source for frame in frames] == [f"top {number}" for number in (4, 3, 2, 1, 0)]
    started = time.monotonic()
    assert camera.grab(0.1) is None
    camera.close()
    assert time.monotonic() - started < 5, "a camera that blocks is not waited for"
    assert not inner.closed.is_set()
    inner.go.set()
    assert inner.closed.wait(5)


def test_what_ends_it_is_raised_where_frames_are_fetched() -> None:
    inner = Blocking(1)
    inner.go.set()
    camera = ReadAhead("top", lambda: inner, 5)
    assert camera.grab(5) is not None
    with pytest.raises(CameraEnded, match="It has ended"):
        camera.grab(5)
    assert inner.closed.wait(5)
    camera.close()


def test_one_that_opens_late_counts_as_open_and_may_still_fail() -> None:
    go = threading.Event()

    def refuse() -> Blocking:
        go.wait(20)
        raise CameraUnavailable("It is in use.")

    camera = ReadAhead("top", refuse, 0.05)
    assert camera.facts == {}
    assert camera.grab(0.05) is None
    go.set()
    with pytest.raises(CameraLost, match="It is in use"):
        camera.grab(5)
    with pytest.raises(CameraUnavailable, match="It is in use"):
        ReadAhead("top", refuse, 5)


def test_what_opens_too_late_is_closed() -> None:
    inner, go = Blocking(1), threading.Event()

    def slow() -> Blocking:
        go.wait(20)
        return inner

    with pytest.raises(CameraUnavailable, match="was not open"):
        opened_within(0.05, slow, "It was not open.")
    go.set()
    assert inner.closed.wait(5)
    assert opened_within(5, lambda: inner, "It was not open.") is inner
    with pytest.raises(CameraLost, match="refused"):
        opened_within(5, Refusing, "It was not open.")


class Refusing(Blocking):
    def __init__(self) -> None:
        raise CameraLost("refused")
