from __future__ import annotations

import numpy as np
import pytest
from temper.benchmarks.energy.change import duration_ratio, verdict_of, window_means


def test_windows_are_equal_parts_in_order() -> None:
    assert window_means([float(n) for n in range(24)]) == tuple(2 * n + 0.5 for n in range(12))
    assert window_means([3.0, 5.0]) == (3.0, 5.0)  # a slow device


def test_a_twentieth_slower_is_found_and_the_ratio_is_right() -> None:
    noise = np.random.default_rng(1).normal(1, 0.01, (2, 12))
    ratio = duration_ratio(10 * noise[0], 10.5 * noise[1])
    assert ratio.value == pytest.approx(1.05, rel=0.01)
    assert verdict_of(ratio) == "slowed"
    assert verdict_of(duration_ratio(10.5 * noise[1], 10 * noise[0])) == "faster"


def test_noise_alone_is_called_a_change_as_rarely_as_the_interval_says() -> None:
    generator = np.random.default_rng(2)
    verdicts = [verdict_of(duration_ratio(*generator.lognormal(0, 0.05, (2, 12)))) for _ in range(300)]
    assert 0.92 <= verdicts.count("no change shown") / len(verdicts) <= 1.0


def test_a_real_change_below_a_fixed_percentage_is_found_and_a_large_one_in_noise_is_not() -> None:
    steady, noise = np.random.default_rng(3).normal(1, 0.001, (2, 12)), np.random.default_rng(4).normal(1, 0.3, (2, 12))
    assert verdict_of(duration_ratio(steady[0], 1.01 * steady[1])) == "slowed"
    assert verdict_of(duration_ratio(noise[0], 1.05 * noise[1])) == "no change shown"


def test_too_few_parts_have_no_interval() -> None:
    ratio = duration_ratio([10.0, 11.0], [20.0, 21.0])
    assert (ratio.low, verdict_of(ratio), verdict_of(None)) == (None, None, None)
