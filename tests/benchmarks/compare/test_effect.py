from __future__ import annotations

import math

import numpy as np
import pytest
from temper.benchmarks.compare.effect import (
    Interval,
    judge_difference,
    judge_ratio,
    median_ratio,
    never_seen,
    resampled_difference,
    starts_needed,
)
from temper.core.errors import UsageError
from temper.detection.intervals import draw_pictures


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.05, 0.05, "equivalent"),
        (0.01, 0.09, "equivalent"),  # a difference, and one that does not matter
        (0.01, 0.5, "better"),
        (-0.5, -0.01, "worse"),
        (-0.2, 0.05, "no difference shown"),
    ],
)
def test_the_interval_decides(low: float, high: float, verdict: str) -> None:
    change = Interval((low + high) / 2, low, high)
    assert judge_difference(change, 0.1, "more") == verdict
    turned = {"better": "worse", "worse": "better"}
    assert judge_difference(change, 0.1, "less") == turned.get(verdict, verdict)


def test_a_ratio_is_judged_by_its_logarithm() -> None:
    assert judge_ratio(Interval(1.1, 1.05, 1.15), 0.02) == "worse"
    assert judge_ratio(Interval(1 / 1.1, 1 / 1.15, 1 / 1.05), 0.02) == "better"
    assert judge_ratio(Interval(1.0, 1 / 1.019, 1.019), 0.02) == "equivalent"
    assert judge_ratio(Interval(1.0, 0.9, 1.02), 0.02) == "no difference shown"


def test_order_statistics_enclose_the_median_as_a_coin_says() -> None:
    assert (starts_needed(0.001), starts_needed(0.01), starts_needed(0.05)) == (11, 8, 6)
    logs = [math.log(1 + number / 100) for number in range(15)]
    whole = median_ratio(logs, 0.001)
    # of 15 the second smallest and the second largest: 2 (1 + 15) / 2^15 = 0.00098
    assert (whole.low, whole.value, whole.high) == pytest.approx((1.01, 1.07, 1.13))
    assert median_ratio(logs[:11], 0.001) == Interval(*(pytest.approx(x) for x in (1.05, 1.0, 1.1)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"10 starts are too few for a level of 0\.1 %; take at least 11"):
        median_ratio(logs[:10], 0.001)


@pytest.mark.parametrize("noise", ["normal", "heavy"])
def test_the_median_interval_holds_the_truth_as_often_as_it_says(noise: str) -> None:
    """Also where now and then a start is spoilt: with a level of 10 % it may fail in 10 of 100, not more."""
    generator = np.random.default_rng(1)
    values = (
        generator.normal(0, 0.02, (2000, 15)) if noise == "normal" else 0.02 * generator.standard_cauchy((2000, 15))
    )
    failed = 0
    for row in values:
        found = median_ratio(row.tolist(), 0.1)
        failed += not found.low <= 1 <= found.high
    assert failed / 2000 <= 0.10


def test_one_spoilt_start_in_fifteen_moves_no_end() -> None:
    logs = [0.001 * number for number in range(15)]
    assert median_ratio([*logs[:-1], 3.0], 0.001) == median_ratio(logs, 0.001)


@pytest.mark.parametrize(
    ("images", "table"),
    # Student's t at 0.9995 (Abramowitz and Stegun, table 26.10)
    [(2, 636.619), (3, 31.598), (6, 6.869), (31, 3.646)],
)
def test_the_interval_of_few_pictures_is_as_wide_as_student_says(images: int, table: float) -> None:
    draws = np.array([-1.0, 1.0] * 50) * math.sqrt((images - 1) / images)
    found = resampled_difference(0.0, draws, images, 0.001)
    assert found is not None
    assert found.high == pytest.approx(table, rel=1e-4)


def test_the_paired_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of a mean difference, whose truth is known: at a level of 5 % it fails in 5 of 100."""
    generator, images = np.random.default_rng(2), 60
    draws = draw_pictures(images).astype(float)
    failed = 0
    for _ in range(1000):
        # most pictures are the same on both sides, as they are between two models
        differences = generator.normal(0, 1, images) * (generator.random(images) < 0.3)
        found = resampled_difference(float(differences.mean()), differences @ draws / images, images, 0.05)
        assert found is not None
        failed += not found.low <= 0 <= found.high
    assert 0.03 <= failed / 1000 <= 0.07


def test_what_was_never_seen_may_still_be_there() -> None:
    assert never_seen(100, 0.001) == pytest.approx(0.076, abs=1e-3)
    still = resampled_difference(0.0, np.zeros(100), 100, least=7.6)
    assert still == Interval(0.0, -7.6, 7.6)
    assert resampled_difference(0.0, np.full(100, np.nan), 100) is None
