"""Quantiles of Student's t distribution, for the intervals of few rounds and of paired differences."""

from __future__ import annotations

from math import gamma, inf, pi, sqrt

import numpy as np


def student_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t distribution, for a share from 0.5 on; by bisection, to 1e-9.

    Args:
        share: below it, from 0.5 to below 1.
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while _student_share(high, freedom) < share:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < share else (low, middle)
    return high


def _student_share(value: float, freedom: int) -> float:
    """The share of Student's t distribution below a value that is not negative, by Simpson's rule in the angle.

    With t = sqrt(n) tan(a) the density becomes cos(a)^(n - 1), which is smooth and ends at a right angle.
    """
    if value == inf:
        return 1.0
    angle = np.arctan(value / sqrt(freedom))
    points = np.linspace(0.0, angle, 401)
    heights = np.cos(points) ** (freedom - 1)
    weights = np.ones(len(points))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    area = float(weights @ heights) * angle / (3 * (len(points) - 1))
    # gamma overflows where t is the normal distribution to all that matters here
    scale = gamma((freedom + 1) / 2) / gamma(freedom / 2) / sqrt(pi) if freedom < 300 else sqrt(freedom / 2 / pi)
    return 0.5 + scale * area
