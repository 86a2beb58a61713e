"""How many samples a percentile needs: the early stopping rule of MLPerf Inference's LoadGen.

A query is either within the p-th percentile of the latency or beyond it, so the number beyond it in n independent
queries is binomial. The rule (MLPerf Inference rules, "early stopping") asks for so many queries that, were the share
of queries beyond a bound truly as large as 1 - p, one or none of them in n would be less likely than 1 - c, with the
confidence c = 99 % and no tolerance (d = 0). One may lie beyond, so that the estimate need not be the longest of all.
"""

from __future__ import annotations

from functools import cache
from math import exp, log, log1p

CONFIDENCE = 0.99


@cache
def samples_needed(percent: float) -> int:
    """The fewest samples with which LoadGen's rule lets a percentile be stated: 11 for 50, 64 for 90, 662 for 99.

    Args:
        percent: of the percentile, above 0 and below 100.

    Raises:
        ValueError: if it is not.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentile lies between 0 and 100; {percent:g} does not")
    # the odds fall as the number of samples grows
    few, many = 1, 2
    while _odds(many, percent) > 1 - CONFIDENCE:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if _odds(middle, percent) <= 1 - CONFIDENCE else (middle, many)
    return many


def withheld_reason(percent: float, samples: int) -> str | None:
    """Why so many samples are too few for a percentile, in a few words; None if they are enough."""
    needed = samples_needed(percent)
    return None if samples >= needed else f"needs {needed} samples, {samples} were taken"


def _odds(samples: int, percent: float) -> float:
    """Of at most one sample beyond a bound that a share of ``1 - percent / 100`` lies beyond."""
    inside = percent / 100
    return exp(samples * log(inside)) + samples * exp(log1p(-inside) + (samples - 1) * log(inside))
