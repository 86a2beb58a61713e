"""How long a call takes: the samples that were measured, or an estimate's median with a stated tail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..early_stopping import withheld_reason
from ..round_bootstrap import percentile

#: p99 by p50 that an estimate is given where nothing else is said: ``docs/reference/planning.md`` says why.
TAIL = 1.5
#: Milliseconds per picture that an estimate of the graph alone is given for what the device's processor does.
HOST_MS = 0.4
#: Neighbouring samples that are drawn together: a slow moment of the machine stays one.
BLOCK = 32
_Z99 = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, eq=False)
class LatencyDistribution:
    """Durations of one call in milliseconds.

    Attributes:
        kind: measured, or estimated.
        median_ms: of the samples, or of the estimate.
        interval_ms: of the median, for an estimate its own error; None where a measurement has too few rounds.
        p99_ms: of the samples; of an estimate, at the far end of its interval. None where there are too few samples.
        shape: what the tail rests on, in a few words.
        rounds_ms: the samples of each round; empty for an estimate.
        withheld: why there is no p99; None if there is.
    """

    kind: Literal["measured", "estimated"]
    median_ms: float
    interval_ms: tuple[float, float] | None
    p99_ms: float | None
    shape: str
    rounds_ms: tuple[NDArray[np.float64], ...] = ()
    withheld: str | None = None

    @property
    def tail(self) -> float:
        """p99 by what it rests on: of an estimate by the far end of its interval, else by the median."""
        whole = self.median_ms if self.rounds_ms or self.interval_ms is None else self.interval_ms[1]
        return 1.0 if self.p99_ms is None or whole <= 0 else self.p99_ms / whole

    def with_tail(self, tail: float) -> LatencyDistribution:
        """An estimate with another tail."""
        assert self.interval_ms is not None
        return of_estimate(self.median_ms, self.interval_ms, tail)

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Durations of so many calls in a row, float64 [count].

        Samples are drawn in blocks of neighbours, of an estimate from a lognormal distribution through its median and
        its p99, both at the far end of its interval.
        """
        if not self.rounds_ms:
            assert self.p99_ms is not None and self.interval_ms is not None
            centre = log(self.interval_ms[1])
            return np.exp(generator.normal(centre, (log(self.p99_ms) - centre) / _Z99, count))
        blocks = self._blocks
        chosen = generator.integers(len(blocks), size=-(-count // blocks.shape[1]))
        return blocks[chosen].reshape(-1)[:count]

    @cached_property
    def _blocks(self) -> NDArray[np.float64]:
        """Every run of neighbours, [N, length]; none goes from one round into the next, each sample is in as many."""
        length = min(BLOCK, min(len(part) for part in self.rounds_ms))
        # a round is closed to a ring, so that its first samples are drawn as often as the others
        rings = (np.concatenate([part, part[: length - 1]]) for part in self.rounds_ms)
        return np.concatenate([np.lib.stride_tricks.sliding_window_view(ring, length) for ring in rings])


def of_samples(rounds_ms: list[list[float]], interval_ms: tuple[float, float] | None) -> LatencyDistribution:
    """Of the samples of a measurement, round by round; at least one sample in all."""
    rounds = tuple(np.asarray(part, np.float64) for part in rounds_ms if len(part))
    every = np.sort(np.concatenate(rounds))
    withheld = withheld_reason(99.0, len(every))
    return LatencyDistribution(
        kind="measured",
        median_ms=percentile(every, 50),
        interval_ms=interval_ms,
        p99_ms=None if withheld else percentile(every, 99),
        shape=f"{len(every)} samples",
        rounds_ms=rounds,
        withheld=withheld,
    )


def of_estimate(median_ms: float, interval_ms: tuple[float, float], tail: float = TAIL) -> LatencyDistribution:
    """Of an estimate; ``tail`` is p99 by p50, at least 1."""
    return LatencyDistribution(
        kind="estimated",
        median_ms=median_ms,
        interval_ms=interval_ms,
        p99_ms=exp(log(interval_ms[1]) + log(tail)),
        shape=f"lognormal, p99 {tail:g} times the median",
    )
