"""Intervals of figures of durations, by a bootstrap over rounds.

Durations that follow each other are alike: what slows one down, a neighbour or a hot processor, slows the next. So not
single durations are drawn again but whole rounds (Field and Welsh, 2007), and a machine that changes between rounds
widens the interval. Of few rounds the bootstrap's spread is too small, by a factor that is known: the interval is taken
at wider quantiles that make up for it (the expanded percentile interval of Hesterberg, 2015).

A neighbour who keeps a processor busy all the while slows every round, and is not there in the next benchmark, or there
are two. So rounds that he shared are not independent of each other: they are taken to be as alike as the share of the
processors that others used, and the interval is widened by the design effect of that (Kish, 1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isinf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..detection.intervals import LEVEL, SEED
from .student import student_quantile

#: How often rounds are drawn again; and how many it takes for the wide quantiles of few rounds.
RESAMPLES = 4000
#: Rounds below which nothing is said of how much they differ.
FEWEST_ROUNDS = 3


class RoundBootstrap:
    """Draws rounds again, and gives the intervals of figures of them.

    Args:
        rounds: how many there are.
        alike: the correlation of rounds that others cause, from 0 to 1.
    """

    def __init__(self, rounds: int, alike: float = 0.0) -> None:
        self.possible = rounds >= FEWEST_ROUNDS
        self._widening = widening(rounds, alike)
        if not self.possible:
            return
        generator = np.random.default_rng(SEED)
        #: int64 [resamples, rounds]: how often each round is in each resample
        self.draws: NDArray[np.int64] = generator.multinomial(rounds, np.full(rounds, 1 / rounds), size=RESAMPLES)
        self._tail = expanded_tail(rounds)

    def of_ratio(self, value: float, above: Sequence[float], below: Sequence[float]) -> tuple[float, float] | None:
        """The interval of a ratio of sums over rounds, such as a mean.

        Args:
            value: of all rounds.
            above: what each round adds to the numerator.
            below: what each round adds to the denominator.
        """
        if not self.possible:
            return None
        denominators = self.draws @ np.asarray(below, np.float64)
        defined = denominators > 0
        return self._between(value, (self.draws @ np.asarray(above, np.float64))[defined] / denominators[defined])

    def of_percentile(
        self, value: float, percent: float, rounds: Sequence[NDArray[np.float64]]
    ) -> tuple[float, float] | None:
        """The interval of a percentile over all rounds; None where its upper end is no number.

        Args:
            value: of all rounds.
            percent: which one.
            rounds: the samples of each, sorted; infinity is a sample that never ended.
        """
        if not self.possible:
            return None
        merged = np.sort(np.concatenate(rounds))
        # [rounds, samples]: how many samples of each round are no longer than each sample
        ranks = np.stack([np.searchsorted(own, merged, side="right") for own in rounds])
        wanted = np.ceil(self.draws @ np.array([len(own) for own in rounds]) * (percent / 100) - 1e-9)
        low, high = np.zeros(len(self.draws), np.int64), np.full(len(self.draws), len(merged) - 1)
        while (low < high).any():
            middle = (low + high) // 2
            enough = (self.draws * ranks[:, middle].T).sum(axis=1) >= wanted
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle + 1)
        return self._between(value, merged[low])

    def _between(self, value: float, resampled: NDArray[np.float64]) -> tuple[float, float] | None:
        if not len(resampled):
            return None
        ordered = np.sort(resampled)
        beyond = int(self._tail * len(ordered))
        low, high = float(ordered[beyond]), float(ordered[-1 - beyond])
        return None if isinf(high) else widened(value, min(low, value), max(high, value), self._widening)


def widening(rounds: int, alike: float) -> float:
    """By what factor an interval over so many rounds is too narrow, if they are so much alike (0 to 1)."""
    return sqrt(1 + max(0, rounds - 1) * alike)


def widened(value: float, low: float, high: float, factor: float) -> tuple[float, float]:
    """An interval with its ends so much farther from the value, as ratios, so that none falls below 0."""
    if value <= 0:
        return low, high
    return value * (low / value) ** factor, value * (high / value) ** factor


def percentile(ordered: NDArray[np.float64], percent: float) -> float:
    """The smallest sample that at least so many percent of the samples do not exceed: always one that was taken.

    Args:
        ordered: float64 [n], at least one, ascending.
        percent: above 0, at most 100.
    """
    return float(ordered[max(1, ceil(len(ordered) * (percent / 100) - 1e-9)) - 1])


def expanded_tail(rounds: int) -> float:
    """The share of resamples beyond either end of an interval at ``LEVEL``, for so many rounds (Hesterberg, 2015)."""
    wide = sqrt(rounds / (rounds - 1)) * student_quantile((1 + LEVEL) / 2, rounds - 1)
    return NormalDist().cdf(-wide)
