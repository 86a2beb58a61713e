"""How far benchmarks of one unchanged thing lie apart, and whether a latency is beyond that.

One benchmark's interval rests on its own starts. The hour it was run in moves it as a whole: what else is in memory,
how warm the room is. So benchmarks of the same graph are held against each other, and their spread decides with the
intervals. As long as there are few of them their spread is mostly assumed; each further one outweighs the assumption
(a moderated t test: Smyth, *Linear models and empirical Bayes methods*, 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean

from ..student import student_quantile
from .store import Point

#: What is assumed of the standard deviation of such benchmarks, as a share of the figure, and how many weigh as much.
ASSUMED_SPREAD = 0.015
ASSUMED_FREEDOM = 4
#: How often a latest value that nothing is wrong with may be taken for worse than an earlier one.
ODDS = 0.005


@dataclass(frozen=True)
class Spread:
    """The standard deviation of benchmarks of one unchanged thing, as a share of the figure.

    Attributes:
        deviation: of logarithms.
        freedom: its degrees of freedom, the assumed ones included.
    """

    deviation: float
    freedom: int

    def margin(self, chosen_from: int = 1) -> float:
        """By what factor the latest of two benchmarks exceeds the earlier one just by chance, at most.

        Args:
            chosen_from: as the best of how many the earlier one was chosen.
        """
        wide = student_quantile(1 - ODDS / chosen_from, self.freedom)
        return exp(wide * sqrt(2) * self.deviation)


def spread_between(points: Sequence[Point]) -> Spread:
    """The spread of a series' benchmarks that are of the same graph, runtime and Temper.

    Args:
        points: of one series, with values above 0.
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for point in points:
        groups.setdefault((point.graph_sha256, point.runtime_version, point.temper), []).append(log(point.value))
    seen = sum((value - fmean(group)) ** 2 for group in groups.values() for value in group)
    freedom = ASSUMED_FREEDOM + sum(len(group) - 1 for group in groups.values())
    return Spread(sqrt((ASSUMED_FREEDOM * ASSUMED_SPREAD**2 + seen) / freedom), freedom)
