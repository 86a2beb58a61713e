"""Whether a candidate slowed between two stretches of time, by the interval of the ratio of its durations."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np

from ...detection.intervals import LEVEL, Estimate
from ..student import student_quantile
from .rows import Verdict

#: Parts of a minute that are compared: calls that follow each other are alike, parts of five seconds hardly.
WINDOWS = 12
#: Parts below which nothing is said of how much they differ.
FEWEST_WINDOWS = 3


def window_means(durations_ms: Sequence[float]) -> tuple[float, ...]:
    """Mean duration of a call in each of up to ``WINDOWS`` parts of equally many calls, in order.

    Args:
        durations_ms: of calls that followed each other, at least one.
    """
    parts = np.array_split(np.asarray(durations_ms, np.float64), min(WINDOWS, len(durations_ms)))
    return tuple(float(part.mean()) for part in parts)


def duration_ratio(first_ms: Sequence[float], last_ms: Sequence[float]) -> Estimate:
    """The mean duration at the end over that at the beginning, with its 95 % interval; above 1 is slower.

    The interval is Welch's, of the logarithms of the parts' means, with the degrees of freedom of the smaller side,
    which is never too narrow for parts that are independent. Where a side has fewer than 3 parts there is none.

    Args:
        first_ms: mean durations of the parts of the first stretch, above 0.
        last_ms: likewise of the last.
    """
    first, last = np.log(np.asarray(first_ms, np.float64)), np.log(np.asarray(last_ms, np.float64))
    difference = float(last.mean() - first.mean())
    fewest = min(len(first), len(last))
    if fewest < FEWEST_WINDOWS:
        return Estimate(exp(difference), None, None)
    spread = float(np.sqrt(first.var(ddof=1) / len(first) + last.var(ddof=1) / len(last)))
    reach = student_quantile((1 + LEVEL) / 2, fewest - 1) * spread
    return Estimate(exp(difference), exp(difference - reach), exp(difference + reach))


def verdict_of(ratio: Estimate | None) -> Verdict | None:
    """What the interval of a ratio of durations says; None where there is no interval."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return "slowed" if ratio.low > 1 else "faster" if ratio.high < 1 else "no change shown"
