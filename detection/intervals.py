"""How sure a figure is: intervals around shares, counts per picture, and whatever pictures were drawn again for."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

#: Share of such intervals that hold the true figure.
LEVEL = 0.95
#: How often the pictures are drawn again, and by which seed.
RESAMPLES = 1000
SEED = 0

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds the true one at :data:`LEVEL`; all None where there is nothing to go by.

    Attributes:
        value: the figure.
        low: lower end of the interval.
        high: upper end.
    """

    value: float | None
    low: float | None
    high: float | None


NOTHING = Estimate(None, None, None)


def draw_pictures(images: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int32]:
    """How often each picture is in each resample: as many pictures are drawn as there are, with replacement.

    The same arguments give the same draws, so two models that are judged on the same pictures can be compared draw by
    draw.

    Args:
        images: how many pictures there are, at least one.
        resamples: how often they are drawn.
        seed: of the draws.

    Returns:
        int32 [images, resamples]; every column sums to ``images``.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.ascontiguousarray(drawn.T, np.int32)


def percentile_interval(value: float | None, resampled: NDArray[np.float64]) -> Estimate:
    """The percentile interval of a bootstrap, for a figure that is right on average, such as a mean.

    Args:
        value: the figure of the pictures as they are.
        resampled: float64 [resamples], the figure of each resample; NaN where it is not defined there.
    """
    defined = resampled[~np.isnan(resampled)]
    if value is None or not len(defined):
        return NOTHING
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value))


def basic_interval(value: float | None, resampled: NDArray[np.float64], limit: float) -> Estimate:
    """The basic interval of a bootstrap (Davison and Hinkley, 1997), for a figure that is flattered by few pictures.

    Average precision is: of every stretch of its curve the best is taken, so chance only helps. Drawn again it is
    flattered again by about as much, and the basic interval takes that off, where the percentile interval doubles it.

    Args:
        value: the figure of the pictures as they are.
        resampled: float64 [resamples], the figure of each resample; NaN where it is not defined there.
        limit: the figure lies between 0 and this.
    """
    mirrored = percentile_interval(value, resampled)
    if value is None or mirrored.low is None or mirrored.high is None:
        return NOTHING
    return Estimate(value, max(0.0, 2 * value - mirrored.high), min(limit, 2 * value - mirrored.low))


def share_interval(hits: NDArray[np.int64], trials: NDArray[np.int64], *, alike: bool = True) -> Estimate:
    """A share with Wilson's score interval, the number of trials divided by the design effect of the clusters.

    Defects of one picture tend to be missed together, so a hundred of them in ten pictures say less than in a hundred
    pictures. The design effect (Kish, 1965) is how many times the variance between pictures exceeds that of
    independent trials; it is taken as 1 where it is less.

    Args:
        hits: int64 [clusters], for example the missed defects of each picture.
        trials: int64 [clusters], for example the defects of each picture.
        alike: what is believed where all trials went the same way, which shows nothing of how alike those of a cluster
            are: that they are as alike as can be, so that a cluster counts once (0 of 300 defects in 60 pictures is 0
            of 60), or that they are independent.
    """
    total = int(trials.sum())
    if not total:
        return NOTHING
    share = float(hits.sum()) / total
    low, high = wilson_interval(share, total / _design_effect(hits, trials, share, alike))
    return Estimate(share, low, high)


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """Wilson's score interval of a share that was seen in so many independent trials."""
    square = _Z * _Z / trials
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * sqrt(share * (1 - share) / trials + square / (4 * trials))
    # the ends touch 0 and 1 but for rounding
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


def rate_interval(counts: NDArray[np.int64], draws: NDArray[np.int32]) -> Estimate:
    """A count per picture with its bootstrap interval over pictures.

    Where nothing was counted the upper end is that of a Poisson count of 0, as drawing zeros again shows nothing.

    Args:
        counts: int64 [images].
        draws: as :func:`draw_pictures` gives them.
    """
    images = len(counts)
    if not images:
        return NOTHING
    if not counts.any():
        return Estimate(0.0, 0.0, -log((1 - LEVEL) / 2) / images)
    return percentile_interval(float(counts.mean()), counts.astype(np.float64) @ draws / images)


def _design_effect(hits: NDArray[np.int64], trials: NDArray[np.int64], share: float, alike: bool) -> float:
    clusters, total = int((trials > 0).sum()), int(trials.sum())
    if share in (0.0, 1.0):
        return total / clusters if alike else 1.0
    if clusters < 2:
        return 1.0
    residuals = hits - share * trials
    variance = clusters / (clusters - 1) * float((residuals**2).sum()) / total**2
    return max(1.0, variance / (share * (1 - share) / total))
