"""How often a history calls an unchanged graph worse, in simulated benchmarks."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from temper.benchmarks.history.regression import find_regressions
from temper.benchmarks.history.spread import ASSUMED_FREEDOM, ASSUMED_SPREAD, spread_between
from temper.benchmarks.history.store import Point
from temper.benchmarks.round_bootstrap import RoundBootstrap, percentile

ROUNDS, BENCHMARKS = 10, 120
POINT = Point(
    "p50", 10.0, 9.9, 10.1, "m", "fp32", "fp32", "onnxruntime", 1, None, "single-stream", "", "a" * 64, "1.0",
    "machine", "a machine", "data", "d" * 64, "2026-01-01T10:00:00+00:00", "0.1.0", 0,
)  # fmt: skip


def benchmarks(between_starts: float, between_benchmarks: float, seed: int) -> list[Point]:
    """The median latency of so many benchmarks of one and the same graph."""
    generator, bootstrap, points = np.random.default_rng(seed), RoundBootstrap(ROUNDS), []
    for _ in range(BENCHMARKS):
        benchmark = 10 * np.exp(generator.normal(0, between_benchmarks))
        starts = benchmark * np.exp(generator.normal(0, between_starts, ROUNDS) + generator.normal(0, 0.003, ROUNDS))
        rounds = [np.sort(start * np.exp(generator.normal(0, 0.03, 12))) for start in starts]
        value = percentile(np.sort(np.concatenate(rounds)), 50)
        low, high = bootstrap.of_percentile(value, 50, rounds) or (0.0, 0.0)
        points.append(replace(POINT, value=value, low=low, high=high))
    return points


@pytest.mark.parametrize("between_starts", [0.0, 0.005, 0.01, 0.02, 0.05])
def test_two_benchmarks_of_one_graph_overlap(between_starts: float) -> None:
    found = benchmarks(between_starts, 0.0, seed=1)
    pairs = list(combinations(found, 2))
    overlap = sum(a.low <= b.high and b.low <= a.high for a, b in pairs)  # type: ignore[operator]
    assert overlap / len(pairs) >= 0.95


@pytest.mark.parametrize("between_benchmarks", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("between_starts", [0.005, 0.02])
def test_an_unchanged_graph_is_hardly_ever_worse(between_starts: float, between_benchmarks: float) -> None:
    found = benchmarks(between_starts, between_benchmarks, seed=2)
    order, judged, worse = np.random.default_rng(3), 0, 0
    for _ in range(300):
        history = [found[place] for place in order.permutation(BENCHMARKS)[:7]]
        for length in range(2, 8):
            judged += 1
            worse += bool(find_regressions(history[:length]))
    assert worse / judged <= 0.01


def test_a_tenth_more_is_found_once_the_spread_is_known() -> None:
    found = benchmarks(0.01, 0.005, seed=4)
    order, missed = np.random.default_rng(5), 0
    for _ in range(200):
        *history, latest = (found[place] for place in order.permutation(BENCHMARKS)[:7])
        assert latest.low is not None
        assert latest.high is not None
        slower = replace(latest, value=1.1 * latest.value, low=1.1 * latest.low, high=1.1 * latest.high)
        missed += not find_regressions([*history, replace(slower, graph_sha256="b" * 64)])
    assert missed / 200 < 0.05


def test_what_was_seen_outweighs_what_is_assumed() -> None:
    one = spread_between([POINT])
    assert (one.deviation, one.freedom) == (pytest.approx(ASSUMED_SPREAD), ASSUMED_FREEDOM)
    # of two graphs, the difference between which is no spread
    other = replace(POINT, value=20.0, graph_sha256="b" * 64)
    assert spread_between([POINT, other]) == one
    quiet = spread_between([replace(POINT, value=10 + 0.01 * (n % 2)) for n in range(40)])
    assert quiet.deviation < ASSUMED_SPREAD / 2
    assert quiet.margin() < 1.03 < one.margin() < one.margin(chosen_from=5)
    restless = spread_between([replace(POINT, value=10.0 + n % 2) for n in range(40)])
    assert restless.margin() > 1.15
