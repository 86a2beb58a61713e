"""From durations, round by round, to the figures that are given of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from ..detection.intervals import LEVEL, Estimate
from .compare.effect import median_ratio, starts_needed
from .early_stopping import withheld_reason
from .latency_rows import PERCENTILES, Round, Summary
from .round_bootstrap import RoundBootstrap, percentile, widened, widening


def summarise(rounds_ms: Sequence[Sequence[float]], dropped: Sequence[int] = (), *, alike: float = 0.0) -> Summary:
    """Summary of the durations of one stage, in milliseconds.

    Args:
        rounds_ms: the durations of each round, in the order they were taken; at least one in all.
        dropped: for each round, how many samples never ended; none given means none. Percentiles count them as longer
            than every other, mean and jitter cannot count them.
        alike: the share of the processors that others used, see :mod:`.round_bootstrap`.

    Raises:
        ValueError: if there are no samples.
    """
    rounds = [np.asarray(part, np.float64) for part in rounds_ms]
    ended = np.concatenate(rounds) if rounds else np.empty(0)
    if not len(ended):
        raise ValueError("no samples to summarise")
    lost = list(dropped) or [0] * len(rounds)
    bootstrap = RoundBootstrap(len(rounds), alike)
    steps = [np.abs(np.diff(part)) for part in rounds]
    step_count = sum(len(part) for part in steps)
    mean = float(ended.mean())
    jitter = float(np.concatenate(steps).mean()) if step_count else None
    intervals = {"mean_ms": bootstrap.of_ratio(mean, [part.sum() for part in rounds], [len(part) for part in rounds])}
    if jitter is not None:
        intervals["jitter_ms"] = bootstrap.of_ratio(
            jitter, [part.sum() for part in steps], [len(part) for part in steps]
        )
    ordered = [np.sort(np.append(part, np.full(n, np.inf))) for part, n in zip(rounds, lost, strict=True)]
    every = np.sort(np.concatenate(ordered))
    percentiles: dict[str, float | None] = {}
    invalid = {}
    for name, percent in PERCENTILES.items():
        reason = withheld_reason(percent, len(every))
        value = None if reason else percentile(every, percent)
        if value is not None and np.isinf(value):
            reason, value = f"{sum(lost)} of {len(every)} were dropped and never ended", None
        percentiles[name] = value
        if reason is not None:
            invalid[name] = reason
        if value is not None:
            intervals[name] = bootstrap.of_percentile(value, percent, ordered)
    return Summary(
        n=len(ended),
        mean_ms=mean,
        p50_ms=percentiles["p50_ms"],
        p90_ms=percentiles["p90_ms"],
        p99_ms=percentiles["p99_ms"],
        p999_ms=percentiles["p999_ms"],
        jitter_ms=jitter,
        min_ms=float(ended.min()),
        max_ms=float(ended.max()),
        intervals={name: interval for name, interval in intervals.items() if interval is not None},
        invalid=invalid,
    )


def throughput(rounds: Sequence[Round], *, alike: float = 0.0) -> Estimate:
    """Pictures answered per second, with the interval over rounds.

    Args:
        rounds: at least one, together longer than no time.
        alike: as of :func:`summarise`.
    """
    images, seconds = [one.images for one in rounds], [one.seconds for one in rounds]
    value = sum(images) / sum(seconds)
    low, high = RoundBootstrap(len(rounds), alike).of_ratio(value, images, seconds) or (None, None)
    return Estimate(value, low, high)


def median_interval(values: Sequence[float], *, alike: float = 0.0) -> tuple[float, float] | None:
    """The 95 % interval of the median of one value above 0 a start; None where there are too few for one (below 6).

    Args:
        values: of the starts.
        alike: as of :func:`summarise`.
    """
    if len(values) < starts_needed(1 - LEVEL) or min(values) <= 0:
        return None
    interval = median_ratio([log(value) for value in values], 1 - LEVEL)
    return widened(interval.value, interval.low, interval.high, widening(len(values), alike))
