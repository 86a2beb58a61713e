"""How long a frame was on its way: jitter drops out, drift is followed, a clock that is set does no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.clock import LONGEST, WINDOW, CameraClock, Times, paced


@given(
    offset=st.floats(-1e6, 1e6),
    held_up=st.lists(st.floats(0, 2), min_size=2, max_size=60),
)
def test_what_a_frame_was_held_up_by_is_told(offset: float, held_up: list[float]) -> None:
    clock = CameraClock()
    clock.travel(offset, 0.0)  # one that nothing held up
    for number, late in enumerate(held_up, 1):
        assert clock.travel(offset + number, number + late) == pytest.approx(late, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=30))
def test_no_travel_is_negative_or_absurd(pairs: list[tuple[float, float]]) -> None:
    clock = CameraClock()
    for camera, arrived in pairs:
        assert 0 <= clock.travel(camera, arrived) <= LONGEST


def test_drift_is_followed_within_a_window() -> None:
    clock = CameraClock()
    rate = 1 - 100e-6  # the camera's clock is 100 parts in a million slow
    worst = max(clock.travel(1e-3 * number * 40 * rate, 1e-3 * number * 40) for number in range(20 * WINDOW))
    assert worst < 1.1 * WINDOW * 0.040 * 100e-6


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_camera_whose_clock_is_set(step: float) -> None:
    clock = CameraClock()
    for number in range(10):
        clock.travel(float(number), float(number))
    assert clock.travel(10 + step, 10.001) == 0
    assert clock.travel(11 + step, 11.002) == pytest.approx(0.001)


def test_frames_that_never_came_keep_the_pace() -> None:
    assert paced(1.0, 2.0, 3) == [1.25, 1.5, 1.75]
    assert paced(None, 2.0, 2) == [2.0, 2.0]
    assert paced(1.0, 2.0, 0) == []


def test_times_agree_with_each_other() -> None:
    assert Times.of(50.0, 1000.0, 0.25) == Times(exposed=999.75, arrived=50.0, travel_ms=250.0)
