"""Lines become frames, the same whatever blocks they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.base import CameraEnded
from temper.deploy.cameras.line_scan import LineScanCamera
from temper.deploy.frames import Cause, Frame

PERIOD = 0.001


class Blocks:
    """A camera that gives lines, each with its number in it, in blocks of given sizes; a negative size is lost."""

    facts: dict[str, str] = {"model": "scan"}  # noqa: RUF012

    def __init__(self, sizes: list[int]) -> None:
        self._sizes, self._line, self._number = list(sizes), 0, 0

    def grab(self, timeout: float) -> Frame | None:
        if not self._sizes:
            raise CameraEnded("No more.")
        size = self._sizes.pop(0)
        first, self._line = self._line, self._line + abs(size)
        self._number += 1
        exposed, arrived = 1000 + first * PERIOD, 50 + self._line * PERIOD
        times = {"exposed": exposed, "arrived": arrived, "travel_ms": 1000 * abs(size) * PERIOD}
        if size < 0:
            return Frame("scan", "scan", None, Cause.LOST, "A cable.", self._number, **times)
        lines = np.arange(first, first + size, dtype=np.int64).astype(np.uint8)
        return Frame("scan", "scan", np.repeat(lines[:, None], 3, axis=1), frame_id=self._number, **times)

    def close(self) -> None:
        pass


def frames_of(sizes: list[int], height: int, overlap: int) -> list[Frame]:
    camera = LineScanCamera(Blocks(sizes), height, overlap)
    frames = []
    with pytest.raises(CameraEnded, match="No more"):  # noqa: PT012
        while True:
            frame = camera.grab(1.0)
            assert frame is not None
            frames.append(frame)
    return frames


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(16, 50), st.integers(0, 15))
def test_any_blocks_give_the_same_frames(sizes: list[int], height: int, overlap: int) -> None:
    frames = frames_of(sizes, height, overlap)
    lines = sum(sizes)
    step = height - overlap
    assert len(frames) == (max(0, (lines - height) // step + 1) if lines >= height else 0)
    for number, frame in enumerate(frames):
        first = number * step
        assert frame.image is not None
        np.testing.assert_array_equal(frame.image[:, 0], (np.arange(first, first + height) % 256).astype(np.uint8))
        assert frame.frame_id == number + 1


def test_a_frame_is_exposed_when_its_first_line_was() -> None:
    frames = frames_of([10] * 20, 32, 8)
    for number, frame in enumerate(frames):
        moment = number * 24 * PERIOD
        assert frame.exposed == pytest.approx(1000 + moment, abs=1e-6)
        assert frame.arrived - frame.travel_ms / 1000 == pytest.approx(50 + moment, abs=1e-6)


def test_a_lost_block_is_one_frame_and_frames_begin_anew_after_it() -> None:
    frames = frames_of([10, 10, -10, 10, 10, 10], 16, 4)
    causes = [frame.cause for frame in frames]
    assert causes == [None, Cause.LOST, None, None]
    assert frames[2].image is not None
    assert frames[2].image[0, 0] == 30
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4]


def test_frames_inside_a_block_are_not_copied() -> None:
    camera = LineScanCamera(Blocks([64]), 16, 0)
    first, second = (camera.grab(1) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.image is not None
    assert second.image is not None
    assert first.image.base is second.image.base
    assert [first.source, second.source] == ["scan 1", "scan 2"]


def test_a_frames_count_is_that_of_its_first_line() -> None:
    frames = frames_of([10, 10, -10, 10, 10, 10], 16, 4)
    assert [frame.encoder for frame in frames] == [0, 12, 30, 42]
