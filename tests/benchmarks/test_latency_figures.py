from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.latency_figures import median_interval, summarise, throughput
from temper.benchmarks.latency_rows import Round


@pytest.mark.parametrize(
    ("samples", "given_ones"),
    [
        (10, []),
        (11, ["p50_ms"]),
        (63, ["p50_ms"]),
        (64, ["p50_ms", "p90_ms"]),
        (661, ["p50_ms", "p90_ms"]),
        (662, ["p50_ms", "p90_ms", "p99_ms"]),
        (6635, ["p50_ms", "p90_ms", "p99_ms"]),
        (6636, ["p50_ms", "p90_ms", "p99_ms", "p999_ms"]),
    ],
)
def test_percentiles_wait_for_enough_samples(samples: int, given_ones: list[str]) -> None:
    summary = summarise([np.linspace(1, 2, samples).tolist()])
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    assert [name for name in names if getattr(summary, name) is not None] == given_ones
    assert [name for name in names if name not in summary.invalid] == given_ones


def test_a_percentile_that_is_not_given_says_why() -> None:
    assert summarise([[1.0] * 100]).invalid == {
        "p99_ms": "needs 662 samples, 100 were taken",
        "p999_ms": "needs 6636 samples, 100 were taken",
    }


@given(st.lists(st.lists(st.floats(1e-3, 1e5), max_size=300), min_size=1, max_size=5).filter(any))
@settings(max_examples=40, deadline=None)
def test_summaries_are_ordered(rounds: list[list[float]]) -> None:
    summary = summarise(rounds)
    values = [summary.min_ms, summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.p999_ms, summary.max_ms]
    ordered = [value for value in values if value is not None]
    assert ordered == sorted(ordered)
    assert summary.min_ms <= summary.mean_ms * (1 + 1e-12)
    assert summary.n == sum(map(len, rounds))
    for name, (low, high) in summary.intervals.items():
        assert low <= getattr(summary, name) <= high


def test_jitter_is_the_mean_step_within_rounds() -> None:
    """From 2 to 10 is no step: another round lies between them."""
    assert summarise([[1.0, 3.0, 2.0], [10.0, 10.5]]).jitter_ms == pytest.approx((2 + 1 + 0.5) / 3)
    assert summarise([[1.0], [2.0]]).jitter_ms is None


def test_nothing_cannot_be_summarised() -> None:
    for nothing in ([], [[], []]):
        with pytest.raises(ValueError, match="no samples"):
            summarise(nothing)


def test_what_was_dropped_is_longer_than_everything() -> None:
    rounds = [np.linspace(1, 2, 90).tolist()] * 4
    whole, lossy = summarise(rounds), summarise(rounds, [10, 10, 10, 10])
    assert lossy.p50_ms is not None
    assert whole.p50_ms is not None
    assert lossy.p50_ms > whole.p50_ms
    # of 400 the 360 that ended are just 90 %
    assert lossy.p90_ms == 2.0
    assert summarise(rounds, [11, 10, 10, 10]).p90_ms is None
    assert summarise(rounds, [11, 10, 10, 10]).invalid["p90_ms"] == "41 of 401 were dropped and never ended"
    assert "p90_ms" not in summarise(rounds, [0, 20, 10, 10]).intervals, "in some resamples it never ended"


def test_throughput_is_pictures_over_time() -> None:
    rounds = [Round(10, 20, 1.0), Round(10, 20, 2.0), Round(10, 20, 1.0)]
    rate = throughput(rounds)
    assert rate.value == 15
    assert rate.low is not None
    assert rate.high is not None
    assert 10 <= rate.low < 15 < rate.high <= 20
    assert throughput(rounds[:2]).low is None


def test_rounds_that_a_neighbour_shared_say_less() -> None:
    """He was there in all of them, and need not be in the next benchmark."""
    rounds = [(10 + np.random.default_rng(n).normal(0, 0.5, 30)).tolist() for n in range(10)]
    quiet, shared, his = (summarise(rounds, alike=alike) for alike in (0.0, 0.5, 1.0))
    for name, (low, high) in quiet.intervals.items():
        value = getattr(quiet, name)
        assert getattr(shared, name) == value
        wide, widest = shared.intervals[name], his.intervals[name]
        assert 0 < widest[0] < wide[0] < low <= value <= high < wide[1] < widest[1], name
    # rounds that are all the same are one round
    low, high = quiet.intervals["mean_ms"]
    assert np.log(his.intervals["mean_ms"][1] / his.mean_ms) == pytest.approx(10**0.5 * np.log(high / quiet.mean_ms))
    turns = [Round(10, 10, 1.0 + 0.01 * n) for n in range(10)]
    assert throughput(turns, alike=0.5).low < throughput(turns).low  # type: ignore[operator]


def test_the_median_of_starts_has_the_interval_of_their_order() -> None:
    loads = [30.0, 31.0, 29.0, 33.0, 30.5, 30.2, 29.5, 80.0, 30.1, 31.5]
    # of ten the second smallest and the second largest: one spoilt start moves neither
    assert median_interval(loads) == pytest.approx((29.5, 33.0))
    low, high = median_interval(loads, alike=0.4) or (0.0, 0.0)
    assert 0 < low < 29.5
    assert high > 33.0
    assert median_interval(loads[:5]) is None
