"""Positions along the strip: by time, and by a counter that wraps, steps back and is set anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.encoder import EncoderCount
from temper.deploy.cameras.track import ByEncoder, BySpeed
from temper.deploy.frames import Cause, Frame

BEGIN = 1_700_000_000.0
BITS = (16, 24, 32, 64)


def counted(encoder: int | None, arrived: float = 0.0) -> Frame:
    return Frame("a", "b", None, Cause.LOST, "c", encoder=encoder, arrived=arrived)


def test_the_strip_does_not_jump_when_the_clock_is_set() -> None:
    track = BySpeed(2.0)
    places = [
        track.position(Frame("top", "x", None, Cause.LOST, "y", exposed=exposed, arrived=arrived))
        for exposed, arrived in ((BEGIN, 10.0), (BEGIN + 1, 11.0), (BEGIN - 3600, 12.0), (BEGIN + 86400, 13.0))
    ]
    assert np.diff(places).tolist() == pytest.approx([2.0, 2.0, 2.0])  # type: ignore[arg-type]


@given(st.data(), st.sampled_from(BITS), st.integers(0, 1 << 64))
def test_a_count_of_any_bits_is_followed_forward_and_back(data: st.DataObject, bits: int, first: int) -> None:
    half = (1 << bits) // 2
    steps = data.draw(st.lists(st.integers(1 - half, half), max_size=20))
    counts = np.cumsum([first % (1 << bits), *steps], dtype=object).tolist()
    count = EncoderCount(bits)
    assert [count.next(one % (1 << bits)) for one in counts] == counts
    # what was unwrapped already stays as it is
    count = EncoderCount(bits)
    assert [count.next(one) for one in counts] == counts


@pytest.mark.parametrize("bits", BITS)
def test_an_encoder_that_trembles_at_zero_stays_there(bits: int) -> None:
    track, end = ByEncoder(1e-5, bits), (1 << bits) - 1
    places = [track.position(counted(value)) for value in (0, 1, 0, end, 0, 1, 2)]
    assert places == pytest.approx([0.0, 1e-5, 0.0, -1e-5, 0.0, 1e-5, 2e-5])


def test_an_encoder_of_few_bits_goes_on() -> None:
    track = ByEncoder(1e-4, 16)
    places = [track.position(counted(n * 10_000 % 65_536, arrived=float(n))) for n in range(20)]
    assert places == pytest.approx([n * 1.0 for n in range(20)])


@pytest.mark.parametrize("at", [1_000_000_000, 3_000_000_000])
def test_an_encoder_that_is_set_anew_lets_the_strip_go_on_where_it_was(at: int) -> None:
    track = ByEncoder(1e-5)
    places = [track.position(counted(value, n)) for n, value in enumerate((at, at + 50_000, 0, 50_000))]
    first = at * 1e-5
    assert places == pytest.approx([first, first + 0.5, first + 0.5, first + 1.0])


def test_a_frame_without_a_count_has_no_place() -> None:
    track = ByEncoder(1.0)
    assert [track.position(counted(value)) for value in (5, None, 6)] == [5.0, None, 6.0]
