"""Defects are not held back for long by a camera that gives nothing, or counts the strip in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.deploy.strip.across import AcrossFrames, FramePart
from temper.deploy.strip.views import PATIENCE_MM, PATIENCE_SECONDS

HEIGHT = 100.0


def part(
    camera: str, number: int, y: float, defect: bool, moment: float, x: tuple[float, float] = (0, 100)
) -> FramePart:
    """A frame from ``y`` on, with a defect of 10 mm in its middle or with none."""
    boxes = np.array([[x[0] + 40, y + 40, x[0] + 50, y + 50]] if defect else [], np.float64).reshape(-1, 4)
    count = len(boxes)
    window = np.array([x[0], y, x[1], y + HEIGHT])
    return FramePart(camera, number, window, boxes, [0] * count, [0.9] * count, moment)


def test_a_camera_that_fell_silent_holds_nothing_back() -> None:
    across = AcrossFrames()
    across.add(part("b", 0, 0, False, 0.0))
    given_out = [defect for n in range(500) for defect in across.add(part("a", n, n * HEIGHT, True, n * 0.04))]
    assert len(given_out) == 499
    assert [defect.position_m for defect in given_out] == sorted(defect.position_m for defect in given_out)


def test_what_a_silent_camera_showed_last_is_cut() -> None:
    across = AcrossFrames()
    edge = FramePart("b", 0, np.array([0.0, 0, 100, 100]), np.array([[40.0, 90, 50, 100]]), [0], [0.9], 0.0)
    across.add(edge)
    found = [one for n in range(100) for one in across.add(part("a", n, 400 + n * HEIGHT, False, n * 1.0))]
    assert [(one.position_m, one.cut) for one in found] == [(0.09, True)]


@pytest.mark.parametrize(("pace", "most"), [(0.01, PATIENCE_MM), (1.0, PATIENCE_SECONDS * HEIGHT)])
def test_a_silent_camera_is_waited_for_by_way_and_by_time(pace: float, most: float) -> None:
    across = AcrossFrames()
    across.add(part("b", 0, 0, False, 0.0))
    for n in range(1000):
        if across.add(part("a", n, n * HEIGHT, n == 1, n * pace)):
            break
    assert n * HEIGHT <= most + 3 * HEIGHT


def test_frames_without_an_answer_move_their_camera_on() -> None:
    across, found = AcrossFrames(), []
    for n in range(100):
        found += across.add(part("a", n, n * HEIGHT, True, n * 0.04))
        dark = n > 0
        found += across.passed("b", n * HEIGHT, HEIGHT, n * 0.04) if dark else across.add(part("b", 0, 0, False, 0.0))
    assert len(found) >= 98
    assert not any(defect.cut for defect in found)


def test_frames_without_an_answer_and_without_a_place_hold_nothing_back() -> None:
    across, found = AcrossFrames(), []
    edge = FramePart("b", 0, np.array([0.0, 0, 100, 100]), np.array([[40.0, 90, 50, 100]]), [0], [0.9], 0.0)
    across.add(edge)
    for n in range(1, 200):
        found += across.passed("b", None, 0.0, n * 0.04)
    assert [defect.cut for defect in found] == [True]


def test_a_defect_before_a_frame_without_an_answer_is_cut() -> None:
    across = AcrossFrames()
    window = np.array([0.0, 0, 100, 100])
    boxes = np.array([[40.0, 90, 50, 100], [60.0, 40, 70, 50]])
    found = across.add(FramePart("a", 0, window, boxes, [0, 0], [0.9, 0.9], 0.0))
    for n in range(1, 4):
        found += across.passed("a", n * HEIGHT, HEIGHT, n * 0.04)
    assert {defect.across_mm: defect.cut for defect in found} == {40.0: True, 60.0: False}


def test_positions_that_fall_back_close_what_is_open() -> None:
    across = AcrossFrames()
    window = np.array([0.0, 5e6, 100, 5e6 + 100])
    across.add(FramePart("a", 0, window, np.array([[40.0, 5e6 + 90, 50, 5e6 + 100]]), [0], [0.9], 0.0))
    (defect,) = across.add(part("a", 1, 0.0, False, 0.04))
    assert defect.cut
    assert defect.position_m == pytest.approx(5000.09)


def test_a_camera_that_counts_anew_holds_nothing_back() -> None:
    across, found = AcrossFrames(), []
    for n in range(5):
        across.add(part("a", n, 5e5 + n * HEIGHT, False, n * 0.04))
        across.add(part("b", n, 5e5 + n * HEIGHT, False, n * 0.04))
    across.lost("b")
    for n in range(5, 305):
        found += across.add(part("a", n, 5e5 + n * HEIGHT, True, n * 0.04))
        found += across.add(part("b", n, (n - 5) * HEIGHT, True, n * 0.04))
    assert len(found) >= 2 * 298
    assert not any(defect.cut for defect in found if defect.position_m > 0.1)


def test_a_strip_that_stands_or_swings_back_a_little_shows_one_defect() -> None:
    across, found = AcrossFrames(), []
    places = [0.0, 50, 60, 60, 60, 60, 55, 50, 60, 90, 200, 300, 400]
    for n, y in enumerate(places):
        boxes = np.array([[40.0, max(y, 95), 50, min(y + 100, 130)]])
        shown = boxes[(boxes[:, 3] > boxes[:, 1] + 1)]
        count = len(shown)
        window = np.array([0, y, 100, y + 100])
        found += across.add(FramePart("a", n, window, shown, [0] * count, [0.9] * count, n * 10.0))
    assert [(one.position_m, one.length_mm, one.cut) for one in found] == [(0.095, 35.0, False)]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 20_000),
    st.sampled_from([0.002, 0.04, 1.0]),
    st.lists(st.sampled_from(["inspected", "dark", "without a place", "nothing"]), min_size=3, max_size=12),
    st.integers(10, 40),
)
def test_whatever_the_other_camera_does_defects_come_out_soon(
    behind: float, pace: float, kinds: list[str], stretch: int
) -> None:
    """Defects on one camera wait for no longer than its way, its time and where the other one looks allow."""
    across = AcrossFrames(behind_mm=behind)
    waiting: dict[int, float] = {}
    for n in range(stretch * len(kinds)):
        y, moment = n * HEIGHT, n * pace
        waiting[n] = y
        found = across.add(part("a", n, y, True, moment))
        kind, other = kinds[n // stretch], y - behind
        if kind == "inspected" and other >= 0:
            found += across.add(part("b", n, other, False, moment))
        elif kind == "dark" and other >= 0:
            found += across.passed("b", other, HEIGHT, moment)
        elif kind == "without a place":
            found += across.passed("b", None, 0.0, moment)
        for defect in found:
            waiting.pop(round((defect.position_m * 1000 - 40) / HEIGHT))
        assert all(y - place <= behind + PATIENCE_MM + 4 * HEIGHT for place in waiting.values())


@pytest.mark.parametrize("before", [True, False])
def test_a_defect_at_the_beginning_of_the_first_frame_after_a_gap_is_cut(before: bool) -> None:
    across = AcrossFrames()
    if before:
        across.add(part("a", 0, 0, False, 0.0))
    across.lost("a")
    window = np.array([0.0, 1000, 100, 1100])
    boxes = np.array([[40.0, 1000, 50, 1030], [60.0, 1040, 70, 1050]])
    across.add(FramePart("a", 1, window, boxes, [0, 0], [0.9, 0.9], 1.0))
    found = across.add(part("a", 2, 1100, False, 1.04)) + across.add(part("a", 3, 1200, False, 1.08))
    assert {defect.across_mm: defect.cut for defect in found} == {40.0: True, 60.0: False}


def test_two_sides_are_never_joined_and_do_not_wait_for_each_other() -> None:
    across = AcrossFrames()
    found = across.add(replace(part("over", 0, 0, True, 0.0), side="top"))
    found += across.add(replace(part("under", 0, 0, True, 0.0), side="bottom"))
    found += [one for n in (1, 2) for one in across.add(replace(part("over", n, n * HEIGHT, False, 0.04), side="top"))]
    assert [one.side for one in found] == ["top"]
    assert [one.side for one in across.flush()] == ["bottom"]


@pytest.mark.parametrize("behind", [0.0, 700.0, 25_000.0])
def test_a_camera_further_down_the_line_joins_what_it_sees_later(behind: float) -> None:
    across, found = AcrossFrames(behind_mm=behind), []
    for n in range(int(behind / HEIGHT) + 30):
        for camera, y, x in (("left", n * HEIGHT, (0.0, 60.0)), ("right", n * HEIGHT - behind, (50.0, 110.0))):
            shown = np.array([[max(45, x[0]), max(1195, y), min(90, x[1]), min(1230, y + HEIGHT)]])
            shown = shown[shown[:, 3] > shown[:, 1]]
            window, count = np.array([x[0], y, x[1], y + HEIGHT]), len(shown)
            found += across.add(FramePart(camera, n, window, shown, [0] * count, [0.9] * count, 0.04 * n))
    assert [(one.position_m, one.length_mm, one.width_mm, one.cut) for one in found] == [(1.195, 35.0, 45.0, False)]
