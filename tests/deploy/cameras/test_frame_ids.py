"""A camera's count goes on where the camera's wraps, and what is missing is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.deploy.cameras.frame_ids import GIGE_VISION_WRAP, MOST_MISSING, FrameIds, steps_counted


@given(first=st.integers(1, GIGE_VISION_WRAP), steps=st.lists(st.integers(1, MOST_MISSING + 1), max_size=60))
def test_sixteen_bits_go_on_over_the_wrap(first: int, steps: list[int]) -> None:
    ids = FrameIds(GIGE_VISION_WRAP)
    assert ids.next(first) == (first, [])
    whole = first
    for step in steps:
        expected = list(range(whole + 1, whole + step))
        whole += step
        # a camera counts 1, 2, ... 65535, 1, 2, ...
        assert ids.next((whole - 1) % GIGE_VISION_WRAP + 1) == (whole, expected)


@given(first=st.integers(0, 2**63), steps=st.lists(st.integers(1, MOST_MISSING + 1), max_size=20))
def test_a_wide_count_is_taken_as_it_is(first: int, steps: list[int]) -> None:
    ids = FrameIds()
    assert ids.next(first) == (first, [])
    for step in steps:
        expected = list(range(first + 1, first + step))
        first += step
        assert ids.next(first) == (first, expected)


def test_a_camera_that_counts_zero_too() -> None:
    ids = FrameIds(GIGE_VISION_WRAP)
    assert [ids.next(counted) for counted in (65534, 65535, 0, 1, 3)] == [
        (65534, []),
        (65535, []),
        (65536, []),
        (65537, []),
        (65539, [65538]),
    ]


@pytest.mark.parametrize(
    ("wrap", "before", "after"),
    [(None, 5, 5), (None, 5, 4), (None, 5, 5 + MOST_MISSING + 2), (GIGE_VISION_WRAP, 7, 7), (GIGE_VISION_WRAP, 7, 6)],
)
def test_a_count_that_goes_back_or_jumps_is_refused(wrap: int | None, before: int, after: int) -> None:
    ids = FrameIds(wrap)
    ids.next(before)
    with pytest.raises(TemperError, match=f"count of frames went from {before} to {after}"):
        ids.next(after)


@given(st.integers(1, 1 << 40), st.integers(1, 2_000_000), st.floats(-0.009, 0.009))
def test_a_gap_of_any_length_is_counted_by_count_and_time(before: int, step: int, drift: float) -> None:
    counted = (before + step - 1) % GIGE_VISION_WRAP + 1
    expected = step * (1 + drift)
    # of more frames the rate is not known well enough
    known = steps_counted(before, counted, expected, GIGE_VISION_WRAP)
    assert known == step if step < 800_000 else known in (step, None)
    assert steps_counted(before, before + step, expected, None) == step


@given(st.integers(1, 1 << 40), st.floats(0, 1e7))
def test_no_count_is_far_from_what_the_time_allows(before: int, expected: float) -> None:
    for wrap in (GIGE_VISION_WRAP, None):
        for counted in (1, 2, 30_000):
            step = steps_counted(before, counted, expected, wrap)
            assert step is None or 1 <= step <= 1.5 * expected + 5


def test_a_camera_that_counts_from_1_again_was_not_counting() -> None:
    # an hour at 100 a second, and 2 s
    assert steps_counted(100, 1, 360_000, GIGE_VISION_WRAP) is None
    assert steps_counted(40_000, 1, 200, GIGE_VISION_WRAP) is None
    assert steps_counted(100, 1, None, GIGE_VISION_WRAP) is None
    # and here it went on
    assert steps_counted(65_530, 1, 5.9, GIGE_VISION_WRAP) == 6
    assert steps_counted(100, (100 + 360_000 - 1) % 65_535 + 1, 359_950, GIGE_VISION_WRAP) == 360_000


def test_what_is_left_of_a_frame_that_was_given_up_is_known() -> None:
    ids = FrameIds(GIGE_VISION_WRAP)
    assert not ids.is_late(7)
    ids.next(65_530)
    ids.next(3)  # over the wrap
    assert all(ids.is_late(late) for late in (3, 1, 65_535, 65_520))
    assert not any(ids.is_late(other) for other in (4, 100, 65_000))
