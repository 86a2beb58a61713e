"""Lines become frames, the same whatever blocks they come in."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.base import Camera, CameraEnded, CameraLost
from temper.deploy.cameras.kept import Backoff, Item, KeptCamera
from temper.deploy.cameras.line_scan import LineCount, LineScanCamera
from temper.deploy.cameras.track import ByEncoder, ByLine
from temper.deploy.frames import Cause, Frame, Gap

PERIOD = 0.001


class Blocks:
    """A camera that gives lines, each with its number in it, in blocks of given sizes; a negative size is lost."""

    facts: dict[str, str] = {"model": "scan"}  # noqa: RUF012

    def __init__(self, sizes: list[int], encoder: Callable[[int], int] | None = None, begin: int = 0) -> None:
        self._sizes, self._line, self._number = list(sizes), begin, 0
        self._encoder = encoder

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
        lines = np.arange(first, first + size, dtype=np.int64)
        count = None if self._encoder is None else self._encoder(first)
        picture = np.stack([lines % 256, lines // 256, *[lines % 7] * (self.width() - 2)], axis=1).astype(np.uint8)
        return Frame("scan", "scan", picture, frame_id=self._number, encoder=count, **times)

    def width(self) -> int:
        return 3

    def close(self) -> None:
        pass


def given_out(camera: LineScanCamera) -> list[Frame]:
    frames = []
    with pytest.raises(CameraEnded, match="No more"):  # noqa: PT012
        while True:
            frame = camera.grab(1.0)
            assert frame is not None
            frames.append(frame)
    return frames


def frames_of(sizes: list[int], height: int, overlap: int) -> list[Frame]:
    return given_out(LineScanCamera(Blocks(sizes), height, overlap))


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


losses = st.lists(st.booleans(), min_size=1, max_size=25)
cuts = st.integers(16, 200).flatmap(lambda height: st.tuples(st.just(height), st.integers(0, height - 1)))


@given(losses, st.integers(1, 120), cuts)
def test_lost_blocks_move_the_count_of_lines_by_their_own(lost: list[bool], size: int, cut: tuple[int, int]) -> None:
    frames = frames_of([-size if one else size for one in lost], *cut)
    for frame in frames:
        if frame.image is not None:
            assert frame.encoder is not None
            assert frame.image[0, 0] == frame.encoder % 256
    known = [frame.encoder for frame in frames if frame.encoder is not None]
    assert known == sorted(known)
    # every lost block is one frame that was not inspected
    assert sum(frame.image is None for frame in frames) == sum(lost)
    first_whole = lost.index(False) if False in lost else len(lost)
    assert all((frame.encoder is None) == (place < first_whole) for place, frame in enumerate(frames))


@given(losses, st.integers(2, 120), cuts, st.sampled_from([16, 24, 32]), st.integers(0, 1 << 32), st.integers(-20, 20))
def test_a_lost_block_has_the_encoders_count(
    lost: list[bool], size: int, cut: tuple[int, int], bits: int, begin: int, way: int
) -> None:
    blocks = Blocks([-size if one else size for one in lost], lambda line: (begin + way * line) % (1 << bits))
    frames = given_out(LineScanCamera(blocks, *cut, encoder_bits=bits))
    of_lines = {(begin + way * line) % (1 << bits) for line in range(size * len(lost))}
    assert all(frame.encoder is None or frame.encoder % (1 << bits) in of_lines for frame in frames)
    track = ByEncoder(1e-6, bits)
    placed = [(frame.image, track.position(frame)) for frame in frames]
    known = [
        (int(image[0, 0]) + 256 * int(image[0, 1]), place)
        for image, place in placed
        if image is not None and place is not None
    ]
    for line, place in known:
        assert place - known[0][1] == pytest.approx(1e-6 * way * (line - known[0][0]))


def test_several_lost_blocks_in_a_row() -> None:
    for overlap in (20, 0):
        frames = frames_of([100] * 3 + [-100] * 3 + [100] * 2, 100, overlap)
        assert [frame.encoder for frame in frames if frame.image is None] == [240 if overlap else 300, 400, 500]
        assert next(frame.encoder for frame in frames[4:] if frame.image is not None) == 600


def test_lines_that_no_frame_had_are_told_with_the_lost_block() -> None:
    # fewer lines wait than frames have in common, and still nobody has seen them
    assert [(one.cause, one.encoder) for one in frames_of([10, -10, 10, 10], 20, 15)] == [(Cause.LOST, 0), (None, 20)]


def test_lines_of_another_width_begin_a_frame() -> None:
    class Wider(Blocks):
        def width(self) -> int:
            return 3 if self._number < 4 else 5

    frames = given_out(LineScanCamera(Wider([10] * 8), 20, 4))
    assert [None if one.image is None else one.image.shape for one in frames] == [(20, 3), None, (20, 5), (20, 5)]
    assert (frames[1].cause, frames[1].encoder) == (Cause.ERROR, 16)
    assert frames[1].detail == "The camera's lines were 3 pixels wide, and 5 from the next block on."
    assert [one.encoder for one in frames[2:]] == [30, 46]


@pytest.mark.parametrize("overlap", [16, 17, -1])
def test_an_overlap_that_never_ends_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"an overlap of {overlap} lines does not fit into a height of 16"):
        LineScanCamera(Blocks([64]), 16, overlap)


def test_lines_go_on_after_a_reconnection_and_the_gap_has_no_length() -> None:
    class Lost(Blocks):
        def grab(self, timeout: float) -> Frame | None:
            if not self._sizes:
                raise CameraLost("The cable is out.")
            return super().grab(timeout)

    lines, connections = LineCount(), [Lost([10] * 7), Blocks([10] * 4, begin=5000)]

    def open_camera() -> Camera:
        return LineScanCamera(connections.pop(0), 20, 4, lines)

    items: list[Item] = []
    kept = KeptCamera("scan", open_camera, track=ByLine(0.001), backoff=Backoff(0.01, 0.02))
    kept.run(items.append, threading.Event(), lambda: None)
    places = [item.position_m for item in items if isinstance(item, Frame)]
    assert places == pytest.approx([0.0, 0.016, 0.032, 0.048, 0.07, 0.086])
    begun, gap = (item for item in items if isinstance(item, Gap) and item.cause == "The cable is out.")
    assert (begun.ends, begun.until, gap.ends) == (False, None, True)
    # what passed meanwhile nobody counted
    assert (gap.position_m, gap.length_m, gap.frames) == (pytest.approx(0.048), None, None)
