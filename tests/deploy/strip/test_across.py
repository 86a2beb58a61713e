"""Defects over the edges of frames and cameras."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.deploy.strip.across import MOST_PARTS, AcrossFrames, FramePart
from temper.deploy.strip.defect import Joined

Box = tuple[float, float, float, float]
WIDTH = 1000.0


def frame(number: int, window: Box, true: list[Box], camera: str = "top", labels: list[int] | None = None) -> FramePart:
    """What a frame shows of true boxes, all in mm of the strip."""
    boxes, classes = [], []
    for index, box in enumerate(true):
        part = np.concatenate([np.maximum(box[:2], window[:2]), np.minimum(box[2:], window[2:])])
        if part[2] - part[0] > 1 and part[3] - part[1] > 1:
            boxes.append(part)
            classes.append(labels[index] if labels else 0)
    count = len(boxes)
    scores = [0.5 + 0.01 * number] * count
    shown = np.array(boxes, np.float64).reshape(-1, 4)
    return FramePart(camera, number, np.array(window, np.float64), shown, classes, scores)


def frames(edges: list[float], true: list[Box], overlap: float = 0.0) -> list[FramePart]:
    pairs = zip(edges, edges[1:], strict=False)
    return [frame(i, (0, start - (overlap if i else 0), WIDTH, end), true) for i, (start, end) in enumerate(pairs)]


def run(across: AcrossFrames, parts: list[FramePart]) -> list[Joined]:
    return [defect for part in parts for defect in across.add(part)] + across.flush()


def box_of(defect: Joined) -> list[float]:
    y = 1000 * defect.position_m
    return [defect.across_mm, y, defect.across_mm + defect.width_mm, y + defect.length_mm]


def test_a_defect_over_an_edge_is_one() -> None:
    found = run(AcrossFrames(), frames([0, 300, 600, 900, 1200], [(100, 250, 140, 380)]))
    assert len(found) == 1
    assert box_of(found[0]) == pytest.approx([100, 250, 140, 380])
    assert found[0].frames == (0, 1)
    assert not found[0].cut
    assert found[0].score == pytest.approx(0.51)


def test_a_scratch_of_thirty_metres_is_one_and_given_out_soon_after_its_end() -> None:
    across = AcrossFrames()
    edges = [300.0 * i for i in range(140)]
    when = [(part.number, defect) for part in frames(edges, [(100, 1000, 104, 31_000)]) for defect in across.add(part)]
    assert len(when) == 1
    number, defect = when[0]
    assert defect.length_mm == pytest.approx(30_000)
    assert number <= 31_000 // 300 + 2


def test_what_is_longer_than_the_longest_comes_in_cut_pieces() -> None:
    across = AcrossFrames(longest_mm=2000)
    found = run(across, frames([300.0 * i for i in range(40)], [(100, 500, 104, 9000)]))
    assert [piece.position_m for piece in found] == pytest.approx([0.5, 2.5, 4.5, 6.5, 8.5])
    assert [piece.length_mm for piece in found] == pytest.approx([2000, 2000, 2000, 2000, 500])
    assert all(piece.cut for piece in found)
    assert found[-1].longest_mm == pytest.approx(8500)
    assert [piece.frames[0] for piece in found] == [1, 8, 15, 21, 28]


@settings(max_examples=60, deadline=None)
@given(st.floats(60, 3000), st.floats(0, 0.9), st.floats(150, 4000), st.floats(10, 9000))
def test_pieces_lie_end_to_end(height: float, overlap: float, longest: float, length: float) -> None:
    step = height * (1 - overlap)
    true: list[Box] = [(40, 500, 50, 500 + length)]
    parts = [frame(i, (0, i * step, WIDTH, i * step + height), true) for i in range(int((500 + length) / step) + 3)]
    across = AcrossFrames(longest_mm=longest)
    found = [piece for part in parts for piece in across.add(part)] + across.flush()
    ends = [500.0, *(1000 * piece.position_m + piece.length_mm for piece in found)]
    assert [1000 * piece.position_m for piece in found] == pytest.approx(ends[:-1], abs=1e-6 + (len(found) < 2))
    assert ends[-1] == pytest.approx(500 + length, abs=1.1)
    assert all(piece.length_mm <= longest + 1e-6 for piece in found)
    assert all(piece.cut == (length > longest) for piece in found if abs(length - longest) > 2)


def test_the_pieces_of_a_scratch_across_the_strip_are_as_wide_as_it_is_there() -> None:
    across, found = AcrossFrames(longest_mm=1000), []
    for i in range(40):
        y = 100.0 * i
        box = np.array([[10 + y / 10, y, 22 + y / 10, y + 100]])
        found += across.add(FramePart("top", i, np.array([0, y, WIDTH, y + 100]), box, [0], [0.9]))
    found += across.flush()
    assert len(found) == 4
    assert all(piece.width_mm < 150 for piece in found)


def test_a_frame_that_was_not_inspected_cuts() -> None:
    parts = frames([0, 300, 600, 900, 1200, 1500], [(100, 250, 140, 700), (500, 20, 520, 60), (500, 1000, 520, 1040)])
    found = run(AcrossFrames(), [part for part in parts if part.number != 1])
    at = {round(defect.position_m * 1000): defect for defect in found}
    assert set(at) == {20, 250, 600, 1000}
    assert at[250].cut
    assert at[600].cut
    assert not at[20].cut
    assert not at[1000].cut


def test_a_camera_that_goes_away_holds_nothing_back() -> None:
    across = AcrossFrames()
    across.add(frame(0, (0, 0, WIDTH, 300), [(100, 250, 140, 300), (300, 10, 320, 40)]))
    found = across.lost("top")
    assert {round(defect.across_mm): defect.cut for defect in found} | {300: False} == {100: True, 300: False}


def test_neighbouring_cameras_see_one_defect() -> None:
    true: list[Box] = [(450, 100, 560, 180)]
    across, found = AcrossFrames(), []
    for number in range(6):
        y = 300.0 * number
        found += across.add(frame(2 * number, (0, y, 520, y + 300), true, "left"))
        found += across.add(frame(2 * number + 1, (480, y + 7, 1000, y + 307), true, "right"))
    found += across.flush()
    assert len(found) == 1
    assert box_of(found[0]) == pytest.approx([450, 100, 560, 180])


def test_classes_and_lanes_stay_apart() -> None:
    true: list[Box] = [(100, 250, 140, 300), (100, 300, 140, 380), (200, 250, 240, 300), (260, 300, 300, 380)]
    parts = [frame(i, (0, 300.0 * i, WIDTH, 300.0 * i + 300), true, labels=[0, 1, 0, 0]) for i in range(4)]
    assert len(run(AcrossFrames(), parts)) == 4


def test_memory_is_bounded() -> None:
    across = AcrossFrames()
    rng = np.random.default_rng(0)
    for number in range(8):
        y = 300.0 * number
        corners = np.column_stack([rng.uniform(0, 990, 500), np.full(500, y + 290)])
        boxes = np.concatenate([corners, corners + 5], axis=1)
        window = np.array([0, y, 1000, y + 300])
        across.add(FramePart("top", number, window, boxes, [number] * 500, [0.5] * 500))
        assert len(across._parts) <= MOST_PARTS + 500


def test_many_defects_on_a_frame_take_little_time_and_memory() -> None:
    across, rng, seconds = AcrossFrames(), np.random.default_rng(0), []
    for number in range(4):
        y = 1000.0 * number
        corners = np.column_stack([rng.uniform(0, 4000, 2000), rng.uniform(y, y + 990, 2000)])
        boxes = np.concatenate([corners, corners + 8], axis=1)
        started = time.process_time()
        across.add(FramePart("top", number, np.array([0, y, 4096, y + 1000]), boxes, [0] * 2000, [0.5] * 2000))
        seconds.append(time.process_time() - started)
    assert min(seconds[2:]) < 0.3


@settings(max_examples=100, deadline=None)
@given(st.floats(0.1, 40), st.floats(0, 25), st.floats(0, 25))
def test_parts_of_one_defect_are_at_most_twice_the_tolerance_apart(
    tolerance: float, before: float, after: float
) -> None:
    across, windows = AcrossFrames(tolerance), [(0.0, 0.0, WIDTH, 300.0), (0.0, 300.0, WIDTH, 600.0)]
    boxes = [(40.0, 200.0, 50.0, 300 - before), (40.0, 300 + after, 50.0, 400.0)]
    found = run(across, [frame(i, window, [box]) for i, (window, box) in enumerate(zip(windows, boxes, strict=True))])
    if before + after >= 2 * tolerance:
        assert len(found) == 2
    elif before + after < tolerance:
        assert len(found) == 1


LANES = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 0.9), st.floats(0.02, 1.0)), max_size=8, unique_by=lambda lane: lane[0]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(30, 400), min_size=3, max_size=12), st.sampled_from([0.0, 0.0, 10.0]), LANES)
def test_any_cut_of_the_strip_gives_the_same_defects(
    steps: list[float], overlap: float, lanes: list[tuple[int, float, float]]
) -> None:
    edges = [0.0, *np.cumsum(steps).tolist()]
    length = edges[-1]
    true: list[Box] = []
    for lane, start, share in lanes:
        y1 = 20 + start * (length - 60)
        y2 = min(y1 + max(share * (length - y1), 12), length - 15)
        if y2 - y1 > 10:
            true.append((lane * 100 + 20, y1, lane * 100 + 60, y2))
    got = sorted(box_of(defect) for defect in run(AcrossFrames(), frames(edges, true, overlap)))
    assert len(got) == len(true)
    # a sliver that a frame shows of a defect's end, thinner than what is detected, does not count
    np.testing.assert_allclose(np.array(got).reshape(-1, 4), np.array(sorted(true)).reshape(-1, 4), atol=1.1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 0.95), st.floats(100, 1400), st.floats(12, 500))
def test_frames_that_overlap_however_much_show_one_defect(overlap: float, start: float, length: float) -> None:
    step = 100.0 * (1 - overlap)
    true: list[Box] = [(40, start, 50, start + length)]
    parts = [frame(i, (0, i * step, WIDTH, i * step + 100), true) for i in range(int((start + length + 300) / step))]
    (defect,) = run(AcrossFrames(), parts)
    assert box_of(defect) == pytest.approx(true[0], abs=1.1)
    assert not defect.cut


def aslant(windows: list[Box], begin: tuple[float, float], slope: float, length: float, width: float) -> list[Box]:
    """What each window shows of a scratch that runs ``slope`` mm across for each mm along: the box around its piece."""
    boxes = []
    for x1, y1, x2, y2 in windows:
        low, high = max(y1, begin[1]), min(y2, begin[1] + length)
        left, right = sorted(begin[0] + slope * (y - begin[1]) for y in (low, high))
        box = (max(left, x1), low, min(right + width, x2), high)
        boxes.append(box if box[2] - box[0] > 1 and high - low > 1 else (0.0, 0.0, 0.0, 0.0))
    return boxes


def show(windows: list[Box], *scratches: list[Box], camera: str = "top") -> list[FramePart]:
    return [
        frame(number, window, [boxes[number] for boxes in scratches if boxes[number][3]], camera)
        for number, window in enumerate(windows)
    ]


def test_a_diagonal_scratch_over_four_touching_frames_is_one() -> None:
    windows = [(0.0, 300.0 * i, WIDTH, 300.0 * i + 300) for i in range(5)]
    pieces: list[Box] = [(100.0 + 150 * i, 300.0 * i, 250.0 + 150 * i, 300.0 * i + 300) for i in range(4)]
    (defect,) = run(AcrossFrames(), show(windows, [*pieces, (0.0, 0.0, 0.0, 0.0)]))
    assert box_of(defect) == pytest.approx([100, 0, 700, 1200])
    assert defect.frames == (0, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(60, 500), st.floats(0, 0.9), st.floats(-1.5, 1.5), st.floats(100, 1500), st.floats(2, 60), st.floats(0, 9)
)
def test_a_scratch_that_runs_aslant_is_one_however_frames_cut_it(
    height: float, overlap: float, slope: float, length: float, width: float, apart: float
) -> None:
    step = height * (1 - overlap)
    windows = [(-3000.0, i * step, 3000.0, i * step + height) for i in range(int((200 + length) / step) + 3)]
    pieces = aslant(windows, (0.0, 150.0), slope, length, width)
    # at a border that frames touch at, a piece may end a little before it, as detections do
    if not overlap:
        pieces = [(x1, y1, x2, y2 - apart / 2 if y2 < 150 + length else y2) for x1, y1, x2, y2 in pieces]
        pieces = [box if box[3] - box[1] > 1 else (0.0, 0.0, 0.0, 0.0) for box in pieces]
    found = run(AcrossFrames(), show(windows, pieces))
    assert len(found) == 1
    left, right = sorted((0.0, slope * length))
    assert box_of(found[0]) == pytest.approx([left, 150, right + width, 150 + length], abs=4.0)
    assert not found[0].cut


@pytest.mark.parametrize("slope", [1.0, -0.5])
@pytest.mark.parametrize("overlap", [0.0, 60.0])
def test_scratches_side_by_side_that_run_aslant_stay_apart(slope: float, overlap: float) -> None:
    # how they run is told by where each goes on; their boxes overlap by most of their widths
    windows = [(-3000.0, 300.0 * i - overlap, 3000.0, 300.0 * i + 300) for i in range(5)]
    each = [aslant(windows, (x, 0.0), slope, 1500.0, 8.0) for x in (0.0, 50.0)]
    assert len(run(AcrossFrames(), show(windows, *each))) == 2


def test_upright_neighbours_whose_boxes_overlap_stay_apart() -> None:
    true: list[Box] = [(100, 250, 140, 700), (130, 250, 170, 700)]
    assert len(run(AcrossFrames(), frames([0, 300, 600, 900], true))) == 2
    assert len(run(AcrossFrames(), frames([0, 300, 600, 900], true, 40.0))) == 2


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 25), st.booleans())
def test_pieces_at_a_border_are_one_within_the_merge_distance(apart: float, left: bool) -> None:
    first, second = (100.0, 200.0, 180.0, 300.0), (180 + apart, 300.0, 260 + apart, 400.0)
    if left:
        second = (20 - apart, 300.0, 100 - apart, 400.0)
    windows = [(0.0, 0.0, WIDTH, 300.0), (0.0, 300.0, WIDTH, 600.0)]
    found = run(AcrossFrames(), show(windows, [first, (0.0, 0.0, 0.0, 0.0)], [(0.0, 0.0, 0.0, 0.0), second]))
    assert len(found) == (1 if apart < 10 else 2)


def test_a_scratch_that_runs_aslant_from_one_camera_to_the_next_is_one() -> None:
    across, found = AcrossFrames(), []
    for number in range(6):
        y = 300.0 * number
        for camera, (x1, x2) in (("left", (0.0, 500.0)), ("right", (500.0, WIDTH))):
            windows = [(x1, y, x2, y + 300)]
            found += across.add(show(windows, aslant(windows, (300.0, 320.0), 1.2, 380.0, 5.0), camera=camera)[0])
    (defect,) = found + across.flush()
    assert box_of(defect) == pytest.approx([300, 320, 761, 700])
