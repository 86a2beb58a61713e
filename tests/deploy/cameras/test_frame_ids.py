"""A camera's count goes on where the camera's wraps, and what is missing is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.deploy.cameras.frame_ids import GIGE_VISION_WRAP, MOST_MISSING, FrameIds


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
