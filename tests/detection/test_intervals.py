from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.detection.intervals import (
    NOTHING,
    basic_interval,
    draw_pictures,
    percentile_interval,
    rate_interval,
    share_interval,
    wilson_interval,
)


@given(images=st.integers(1, 200), seed=st.integers(0, 2**31))
def test_as_many_pictures_are_drawn_as_there_are(images: int, seed: int) -> None:
    draws = draw_pictures(images, 20, seed)
    assert draws.shape == (images, 20)
    assert (draws.sum(axis=0) == images).all()
    np.testing.assert_array_equal(draws, draw_pictures(images, 20, seed))


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits / trials, trials) == pytest.approx((low, high), abs=5e-5)


def test_independent_trials_give_wilsons_interval() -> None:
    ones = np.ones(148, np.int64)
    hits = np.zeros(148, np.int64)
    hits[:15] = 1
    estimate = share_interval(hits, ones)
    # as each picture is one trial, the design effect is all but 1
    assert (estimate.low, estimate.high) == pytest.approx((0.0624, 0.1605), abs=5e-4)


def test_defects_that_are_missed_together_widen_the_interval() -> None:
    trials = np.full(20, 5, np.int64)
    scattered, together = np.ones(20, np.int64), np.zeros(20, np.int64)
    together[:4] = 5
    wide, narrow = share_interval(together, trials), share_interval(scattered, trials)
    assert wide.value == narrow.value == 0.2
    assert wide.low < narrow.low and narrow.high < wide.high  # type: ignore[operator]
    # all five or none: as good as twenty trials
    assert (wide.low, wide.high) == pytest.approx(wilson_interval(0.2, 20), abs=0.01)


def test_nothing_missed_says_no_more_than_the_pictures_do() -> None:
    """Whether the five defects of a picture would have been missed together nobody has seen."""
    estimate = share_interval(np.zeros(60, np.int64), np.full(60, 5, np.int64))
    assert (estimate.low, estimate.high) == pytest.approx(wilson_interval(0.0, 60))
    everything = share_interval(np.full(60, 5, np.int64), np.full(60, 5, np.int64))
    assert (everything.low, everything.high) == pytest.approx(wilson_interval(1.0, 60))
    frames = share_interval(np.zeros(10, np.int64), np.full(10, 30, np.int64), alike=False)
    assert (frames.low, frames.high) == pytest.approx(wilson_interval(0.0, 300))


@pytest.mark.parametrize(("pictures", "defects"), [(60, 3), (60, 5), (100, 5)])
def test_the_interval_holds_the_share_where_defects_of_a_picture_fall_together(pictures: int, defects: int) -> None:
    generator, share, held, samples = np.random.default_rng(0), 0.02, 0, 1000
    for _ in range(samples):
        trials = 1 + generator.poisson(defects - 1, pictures)
        hits = np.where(generator.random(pictures) < share, trials, 0)
        estimate = share_interval(hits, trials)
        held += estimate.low <= share <= estimate.high  # type: ignore[operator]
    assert held / samples > 0.93


@given(data=st.data(), clusters=st.integers(1, 30))
def test_a_share_lies_in_its_interval(data: st.DataObject, clusters: int) -> None:
    trials = np.array(data.draw(st.lists(st.integers(0, 6), min_size=clusters, max_size=clusters)), np.int64)
    hits = np.array([data.draw(st.integers(0, n)) for n in trials.tolist()], np.int64)
    estimate = share_interval(hits, trials)
    if not trials.sum():
        assert estimate == NOTHING
        return
    assert estimate.value == hits.sum() / trials.sum()
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1  # type: ignore[operator]
    assert estimate.low < estimate.high  # type: ignore[operator]


def test_no_false_alarm_is_not_proof_of_none() -> None:
    estimate = rate_interval(np.zeros(100, np.int64), draw_pictures(100, 50))
    assert (estimate.value, estimate.low) == (0, 0)
    assert estimate.high == pytest.approx(3.689 / 100, abs=1e-5)  # exact for a Poisson count of 0


def test_a_rate_is_the_mean_with_the_spread_of_the_pictures() -> None:
    counts = np.random.default_rng(0).poisson(2.0, 400)
    estimate = rate_interval(counts, draw_pictures(400))
    assert estimate.value == counts.mean()
    half = 1.96 * counts.std() / 20
    assert (estimate.low, estimate.high) == pytest.approx((counts.mean() - half, counts.mean() + half), abs=0.02)
    assert rate_interval(np.zeros(0, np.int64), np.zeros((0, 5), np.int32)) == NOTHING


def test_the_basic_interval_mirrors_the_percentiles() -> None:
    resampled = np.concatenate([np.linspace(28, 36, 1000), [np.nan]])
    percentiles = percentile_interval(30.0, resampled)
    assert (percentiles.low, percentiles.high) == pytest.approx((28.2, 35.8))
    basic = basic_interval(30.0, resampled, 100)
    assert (basic.low, basic.high) == pytest.approx((24.2, 31.8))
    clipped = basic_interval(99.0, np.linspace(90, 100, 100), 100)
    assert clipped.high == 100
    assert basic_interval(None, resampled, 100) == basic_interval(1.0, np.full(3, np.nan), 100) == NOTHING
