"""What a comparison says of one figure: the difference, its interval, and a verdict by a rule fixed beforehand.

The interval decides, never the figure alone. A difference is claimed where the interval leaves out "no difference";
that there is none that matters, where it lies within the smallest effect of interest (two one-sided tests: Schuirmann,
*A comparison of the two one-sided tests procedure and the power approach*, 1987; Lakens, *Equivalence tests*, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, exp, inf, log, sqrt
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError
from ..student import student_quantile

#: How often "there is a difference" is said of a figure where there is none.
LEVEL = 0.001
Verdict = Literal["better", "worse", "no difference shown", "equivalent"]
#: Whether more of a figure is better.
Direction = Literal["more", "less"]


@dataclass(frozen=True)
class Interval:
    """A difference or ratio of B against A with the interval that holds the true one at 1 - level."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """One figure of both sides, and what its difference means.

    Attributes:
        a: the figure of A; None where there is nothing to go by.
        b: that of B.
        change: B less A, or B by A for a latency; None where one of them is None, or nothing can be said.
        smallest: the smallest effect of interest; for a ratio the share by which it may exceed 1.
        better: whether more or less of it is better.
        verdict: on B; None without a change.
        note: why the verdict is not another one, where that needs saying.
    """

    a: float | None
    b: float | None
    change: Interval | None
    smallest: float
    better: Direction
    verdict: Verdict | None
    note: str = ""


def judge_difference(change: Interval, smallest: float, better: Direction) -> Verdict:
    """The verdict on B by the interval of B less A."""
    if -smallest <= change.low and change.high <= smallest:
        return "equivalent"
    if change.low > 0:
        return "better" if better == "more" else "worse"
    if change.high < 0:
        return "worse" if better == "more" else "better"
    return "no difference shown"


def judge_ratio(change: Interval, smallest: float) -> Verdict:
    """The verdict on B by the interval of a latency's ratio, B by A; less is better."""
    logs = Interval(log(change.value), log(change.low), log(change.high))
    return judge_difference(logs, log(1 + smallest), "less")


def median_ratio(logs: Sequence[float], level: float = LEVEL) -> Interval:
    """The median ratio of independent repetitions with its distribution-free interval (order statistics).

    Whatever the ratios' distribution, the true median is below the k-th smallest of n with the chance of fewer than k
    heads in n throws of a coin (Conover, *Practical nonparametric statistics*, 3.2). So nothing has to be believed of
    the noise, and one spoilt repetition in many does not move the ends.

    Args:
        logs: natural logarithms of the ratios.
        level: chance that the interval does not hold the true median.

    Raises:
        UsageError: if there are too few for the level.
    """
    ordered = sorted(logs)
    rank = _rank(len(ordered), level)
    if rank < 1:
        raise UsageError(
            f"{len(ordered)} starts are too few for a level of {100 * level:g} %; take at least {starts_needed(level)}."
        )
    return Interval(exp(median(ordered)), exp(ordered[rank - 1]), exp(ordered[-rank]))


def starts_needed(level: float) -> int:
    """The fewest repetitions of which :func:`median_ratio` gives an interval."""
    count = 1
    while _rank(count, level) < 1:
        count += 1
    return count


def _rank(count: int, level: float) -> int:
    """The largest k for which the k-th smallest and the k-th largest of ``count`` values enclose the median; or 0."""
    rank, tail = 0, 0.0
    while rank < count // 2:
        tail += comb(count, rank) / 2**count
        if 2 * tail > level:
            break
        rank += 1
    return rank


def resampled_difference(
    value: float,
    draws: NDArray[np.float64],
    images: int,
    level: float = LEVEL,
    least: float = 0.0,
    furthest: float = inf,
) -> Interval | None:
    """A paired difference with the interval of its bootstrap over pictures.

    The ends are Student's t times the bootstrap's standard error, corrected for the number of pictures (Hesterberg,
    *What teachers should know about the bootstrap*, 2015): at a level of 0.1 % the percentiles of a thousand draws
    would hang on a single one.

    Args:
        value: the difference on the pictures as they are.
        draws: float64 [resamples], the difference in each draw, both sides on the same pictures; NaN where undefined.
        images: how many pictures there are.
        level: chance that the interval does not hold the true difference.
        least: half of the interval is at least this.
        furthest: no difference is larger, either way: 100 for two figures from 0 to 100.

    Returns:
        None with fewer than two pictures, or where hardly any draw has a difference.
    """
    defined = draws[~np.isnan(draws)]
    if images < 2 or len(defined) < len(draws) / 2:
        return None
    error = float(defined.std()) * sqrt(images / (images - 1))
    half = max(student_quantile(1 - level / 2, images - 1) * error, least)
    return Interval(value, max(value - half, -furthest), min(value + half, furthest))


def never_seen(images: int, level: float = LEVEL) -> float:
    """The share of pictures with something that none of ``images`` pictures showed: the upper end of a count of 0."""
    return -log(level / 2) / images
