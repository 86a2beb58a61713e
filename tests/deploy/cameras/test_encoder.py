"""The count at an exposure, of a counter that is asked later; with stalls, jitter and few bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.encoder import FAR_SECONDS, EncoderAtFetch


class Strip:
    """A strip that runs at a speed, with its counter and the clock on the wall."""

    def __init__(self, counts_per_second: float, bits: int, begin: int) -> None:
        self.now, self._speed, self._bits, self._begin = 100.0, counts_per_second, bits, begin

    def true(self, moment: float) -> float:
        return self._begin + self._speed * (moment - 100.0)

    def read(self) -> int:
        self.now += 0.001
        return round(self.true(self.now - 0.0005)) % (1 << self._bits)

    def clock(self) -> float:
        return self.now


delays = st.lists(st.floats(0, 0.9), min_size=1, max_size=30)


@given(delays, st.floats(-20_000, 20_000), st.sampled_from([16, 24, 32]), st.integers(0, 65_535))
def test_frames_that_waited_have_the_count_of_their_exposure(
    stalls: list[float], speed: float, bits: int, begin: int
) -> None:
    """A camera exposes every 40 ms, whether anybody fetches its frames or not."""
    strip = Strip(speed, bits, begin)
    encoder = EncoderAtFetch(strip.read, bits, strip.clock)
    encoder.read()
    exposed = 100.02
    for stall in stalls:
        strip.now += stall
        # all that came meanwhile is fetched at one go
        while exposed < strip.now:
            encoder.read()
            count = encoder.at(exposed)
            assert count is not None
            assert count == pytest.approx(strip.true(exposed), abs=3 + abs(speed) * 0.001)
            exposed += 0.040


def test_what_no_two_readings_tell_has_no_count() -> None:
    strip = Strip(1000.0, 32, 5)
    encoder = EncoderAtFetch(strip.read, 32, strip.clock)
    assert encoder.at(100.0) is None
    encoder.read()
    assert encoder.at(99.0) is None
    assert encoder.at(None) is None
    strip.now += 3 * FAR_SECONDS
    encoder.read()
    # in the middle of a long stall the strip may have stood and run
    assert encoder.at(100.0 + 1.5 * FAR_SECONDS) is None
    assert encoder.at(100.0 + 0.5 * FAR_SECONDS) == pytest.approx(5 + 500, abs=3)
    assert encoder.at(strip.now + 2 * FAR_SECONDS) is None


def test_a_strip_that_stood_stood_all_the_while() -> None:
    strip = Strip(0.0, 32, 7)
    encoder = EncoderAtFetch(strip.read, 32, strip.clock)
    encoder.read()
    strip.now += 9 * FAR_SECONDS
    encoder.read()
    assert encoder.at(100.0 + 4 * FAR_SECONDS) == 7
