from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.distill.synthetic.stream import Stream
from temper.distill.synthetic.texture import NOISE_PEAK, lattice_noise


def test_a_stream_is_pinned() -> None:
    stream = Stream("pinned", 1)
    assert [stream.integer(0, 1000) for _ in range(4)] == [299, 304, 625, 801]
    assert stream.integers(-5, 6, (2, 3)).tolist() == [[0, 4, -5], [4, -2, 3]]
    assert stream.bell((2, 3)).tolist() == [[311, 203, 8], [22, 84, -13]]


def test_names_give_streams_of_their_own() -> None:
    assert Stream("a", 1).words(4).tolist() == Stream("a", 1).words(4).tolist()
    assert Stream("a", 1).words(4).tolist() != Stream("a", 2).words(4).tolist()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**9), st.integers(-(10**6), 10**6), st.integers(1, 10**6))
def test_whole_numbers_stay_within_their_bounds(seed: int, low: int, span: int) -> None:
    stream = Stream(seed)
    drawn = [stream.integer(low, low + span) for _ in range(20)]
    drawn += stream.integers(low, low + span, (20,)).tolist()
    assert min(drawn) >= low
    assert max(drawn) < low + span


def test_fractions_and_bell_have_their_moments() -> None:
    stream = Stream("moments")
    fractions = stream.fractions((100, 100))
    assert fractions.min() >= 0
    assert fractions.max() < 1
    assert abs(fractions.mean() - 0.5) < 0.02
    bell = stream.bell((101, 99))
    assert bell.shape == (101, 99)
    assert abs(bell.mean()) < 6
    assert abs(bell.std() - 148) < 4


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 200),
    st.integers(1, 200),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_lattice_noise_is_bounded_and_smooth(seed: int, width: int, height: int, cell: tuple[int, int]) -> None:
    noise = lattice_noise(Stream(seed), width, height, cell)
    assert noise.shape == (height, width)
    assert noise.dtype == np.int32
    assert np.abs(noise).max() <= NOISE_PEAK
    if width > 1:
        assert np.abs(np.diff(noise, axis=1)).max() <= 2 * NOISE_PEAK * min(1.0, 1.6 / cell[0]) + 12
