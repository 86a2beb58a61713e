from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest
from temper.deploy.frames import Cause, Frame
from temper.deploy.read_ahead import ReadAhead


class Counting:
    """A source of frames without pictures that notes how far it was read and whether it was closed."""

    name = "counting"
    total = None

    def __init__(self, frames: int, fails_at: int | None = None) -> None:
        self.warnings: list[str] = []
        self.read = 0
        self.closed = False
        self._frames = frames
        self._fails_at = fails_at

    def frames(self) -> Generator[Frame, None, None]:
        try:
            for index in range(self._frames):
                if index == self._fails_at:
                    raise RuntimeError("camera on fire")
                self.read = index + 1
                yield Frame("files", str(index), None, Cause.ERROR, "no picture")
        finally:
            self.closed = True


def test_frames_come_in_order_and_all_of_them() -> None:
    source = Counting(50)
    with ReadAhead(source, depth=3) as ahead:
        assert [int(frame.source) for frame in ahead.frames(threading.Event())] == list(range(50))
    assert source.closed


def test_the_queue_is_bounded_and_nothing_is_dropped() -> None:
    source = Counting(50)
    with ReadAhead(source, depth=3) as ahead:
        frames = ahead.frames(threading.Event())
        assert next(frames).source == "0"
        deadline = time.monotonic() + 5
        while source.read < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert source.read == 5  # one taken, three in the queue, one in the reader's hand
        assert [int(frame.source) for frame in frames] == list(range(1, 50))


def test_leaving_early_ends_the_thread_and_closes_the_source() -> None:
    source = Counting(1000)
    with ReadAhead(source, depth=2) as ahead:
        next(ahead.frames(threading.Event()))
    assert source.closed
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_an_error_of_the_source_is_raised_after_the_frames_before_it() -> None:
    with ReadAhead(Counting(10, fails_at=2)) as ahead:
        frames = ahead.frames(threading.Event())
        assert [next(frames).source, next(frames).source] == ["0", "1"]
        with pytest.raises(RuntimeError, match="camera on fire"):
            next(frames)


def test_stop_ends_the_frames() -> None:
    stop = threading.Event()
    with ReadAhead(Counting(1000)) as ahead:
        for frame in ahead.frames(stop):
            if frame.source == "3":
                stop.set()
    assert frame.source == "3"
