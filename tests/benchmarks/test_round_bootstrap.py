from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.round_bootstrap import RoundBootstrap, expanded_tail, percentile
from temper.benchmarks.student import student_quantile

ROUNDS = st.lists(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=40), min_size=1, max_size=12)


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=300), st.floats(0.1, 100))
@settings(max_examples=60, deadline=None)
def test_a_percentile_is_the_smallest_sample_with_enough_below(samples: list[float], percent: float) -> None:
    ordered = np.sort(np.array(samples))
    value = percentile(ordered, percent)
    assert value in samples
    wanted = len(samples) * percent / 100 - 1e-6
    assert (ordered <= value).sum() >= wanted
    assert (ordered < value).sum() < wanted + 2e-6
    assert (
        value == pytest.approx(float(np.percentile(ordered, percent, method="inverted_cdf")))
        or abs(round(len(samples) * percent / 100) - len(samples) * percent / 100) < 1e-6
    )


@given(ROUNDS, st.sampled_from([50.0, 90.0, 99.0]))
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_figure_and_lies_among_the_samples(rounds: list[list[float]], percent: float) -> None:
    bootstrap = RoundBootstrap(len(rounds))
    parts = [np.sort(np.array(part)) for part in rounds]
    every = np.sort(np.concatenate(parts))
    value = percentile(every, percent)
    interval = bootstrap.of_percentile(value, percent, parts)
    mean = float(every.mean())
    around = bootstrap.of_ratio(mean, [part.sum() for part in parts], [len(part) for part in parts])
    if len(rounds) < 3:
        assert interval is None
        assert around is None
    else:
        assert interval is not None
        assert around is not None
        assert every[0] <= interval[0] <= value <= interval[1] <= every[-1]
        assert around[0] <= mean <= around[1]


def test_resampled_percentiles_are_those_of_the_samples_drawn() -> None:
    """The search over ranks against the plain way: put the drawn rounds together and sort."""
    generator = np.random.default_rng(3)
    parts = [np.sort(generator.gamma(2, 3, size)) for size in (7, 20, 13, 1, 9)]
    bootstrap = RoundBootstrap(len(parts))
    found = bootstrap.of_percentile(5.0, 90, parts)
    plain = sorted(
        percentile(np.sort(np.concatenate([part for part, n in zip(parts, draw, strict=True) for _ in range(n)])), 90)
        for draw in bootstrap.draws
    )
    beyond = int(expanded_tail(5) * len(plain))
    assert found == (min(plain[beyond], 5.0), max(plain[-1 - beyond], 5.0))


def test_rounds_that_differ_widen_the_interval() -> None:
    """The same durations, first in rounds that are alike, then with a neighbour in every third of them."""
    generator = np.random.default_rng(0)
    quiet = [generator.normal(10, 0.1, 50) for _ in range(9)]
    loud = [part + (3 if number % 3 == 0 else 0) for number, part in enumerate(quiet)]

    def width(rounds: list[np.ndarray]) -> float:
        every = np.sort(np.concatenate(rounds))
        interval = RoundBootstrap(9).of_percentile(percentile(every, 50), 50, [np.sort(part) for part in rounds])
        assert interval is not None
        return interval[1] - interval[0]

    assert width(loud) > 10 * width(quiet)


def test_nineteen_of_twenty_intervals_hold_the_true_mean() -> None:
    """Rounds that differ by as much as their samples do, as on a machine that is not alone."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        parts = [generator.normal(10 + generator.normal(0, 1), 1, 20) for _ in range(10)]
        mean = float(np.mean(parts))
        interval = RoundBootstrap(10).of_ratio(mean, [part.sum() for part in parts], [len(part) for part in parts])
        assert interval is not None
        held += interval[0] <= 10 <= interval[1]
    assert 0.92 <= held / 300 <= 0.98


def test_what_never_ended_has_no_upper_end() -> None:
    parts = [np.array([1.0, 2.0, np.inf])] * 3
    assert RoundBootstrap(3).of_percentile(2.0, 99, parts) is None
    assert RoundBootstrap(3).of_percentile(1.0, 30, parts) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("share", "freedom", "value"),
    # tables of Student's t distribution
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 4, 2.77645), (0.975, 9, 2.26216), (0.95, 30, 1.69726)],
)
def test_quantiles_of_student(share: float, freedom: int, value: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(value, abs=2e-5)


def test_many_rounds_need_no_widening() -> None:
    assert expanded_tail(10_000) == pytest.approx(0.025, abs=1e-4)
    assert expanded_tail(5) < expanded_tail(10) < expanded_tail(100) < 0.025
