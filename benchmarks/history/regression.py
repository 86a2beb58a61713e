"""Did a figure get worse? In a regression the latest interval does not touch an earlier one; and a duration lies beyond
what benchmarks of the same thing differ by, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .figures import FIGURES
from .spread import spread_between
from .store import Point

#: Figures that depend on the data they were judged on, not on the machine they ran on.
_OF_DATA = frozenset(name for name in FIGURES if name.startswith(("ap", "map", "escape", "false")))
#: Figures that depend on what else the machine did.
_TIMED = frozenset(("p50", "mean", "p90", "p99", "p999", "jitter", "throughput", "load", "first_call"))


@dataclass(frozen=True)
class SeriesKey:
    """What does not change along a series: only then do two values stand for the same question.

    ``machine``, ``batch``, ``threads`` and ``scenario`` are blank for accuracy, which does not depend on them. ``data``
    is the hash of the data for accuracy, and its name for the rest: larger pictures take longer, but a few more of them
    do not. Pictures that have had two names go by the first. ``conditions`` are the settings of the scenario (of escape
    rate and false alarms the IoU) that change the figure.
    """

    figure: str
    model: str
    variant: str
    runtime: str
    batch: int | None
    threads: int | None
    scenario: str
    conditions: str
    machine: str
    data: str


@dataclass(frozen=True)
class Regression:
    """The latest value of a series against an earlier one that it is worse than, beyond both intervals.

    Attributes:
        against: ``the one before`` or ``the best``.
        earlier: that one.
        latest: the latest.
    """

    against: str
    earlier: Point
    latest: Point

    @property
    def same_graph(self) -> bool:
        """Whether both are of the same graph, so that the machine or its software changed and not the model."""
        return self.earlier.graph_sha256 == self.latest.graph_sha256

    def sentence(self) -> str:
        """What got worse, by how much, and what changed with it."""
        kind, now, then = FIGURES[self.latest.figure], self.latest, self.earlier
        unit = f" {kind.unit}" if kind.unit else ""
        cause = "the same graph"
        if not self.same_graph:
            cause = f"another graph ({then.graph_sha256[:8]} then)"
        elif now.runtime_version != then.runtime_version:
            cause = f"the same graph, {now.runtime} {now.runtime_version} instead of {then.runtime_version}"
        where = _where(now)
        return (
            f"{where}: {kind.title} is "
            f"{_range(now)}{unit}, worse than {self.against} of {then.started[:10]}, {_range(then)}{unit}; {cause}."
        )


@dataclass(frozen=True)
class Series:
    """A figure over time.

    Attributes:
        key: what all its points have in common.
        points: the oldest first.
        regressions: of the latest.
        not_judged: why the latest was not judged, in a sentence; empty where it was, or is the only one.
    """

    key: SeriesKey
    points: tuple[Point, ...]
    regressions: tuple[Regression, ...] = field(default=())
    not_judged: str = ""


def series_of(points: Sequence[Point]) -> list[Series]:
    """Sort points into series and judge the latest of each; the order of the series is that of their first points."""
    groups: dict[SeriesKey, list[Point]] = {}
    names: dict[str, str] = {}
    for point in points:
        name = names.setdefault(point.data_sha256, point.data)
        groups.setdefault(_key(point, name), []).append(point)
    return [
        Series(key, tuple(group), tuple(find_regressions(group)), why_not_judged(group))
        for key, group in groups.items()
    ]


def find_regressions(points: Sequence[Point]) -> list[Regression]:
    """Against which earlier points the last one is a regression: the one before, and the best where that is another.

    The best is the one whose worse end is best, so that a lucky value of a wide interval is not held against anybody.
    Points without an interval say nothing; nor, of durations, do those that were measured with warnings.
    """
    told = [point for point in points if _tells(point)]
    if len(told) < 2 or told[-1] is not points[-1]:
        return []
    *earlier, latest = told
    before, best = earlier[-1], min(earlier, key=_worse_end)
    found = [Regression("the one before", before, latest)] if _is_worse(latest, before, earlier, 1) else []
    if best is not before and _is_worse(latest, best, earlier, len(earlier)):
        found.append(Regression("the best", best, latest))
    return found


def why_not_judged(points: Sequence[Point]) -> str:
    """Why warnings kept the last of these points from being judged, in a sentence; empty where they did not."""
    latest = points[-1]
    if len(points) < 2 or latest.low is None or latest.figure not in _TIMED:
        return ""
    what = f"{_where(latest)}: {FIGURES[latest.figure].title}"
    again = "Mend what they name, and measure again."
    if latest.warnings:
        return f"{what} of {latest.started[:10]} was measured with warnings. {again}"
    if not any(_tells(point) for point in points[:-1]) and any(point.warnings for point in points[:-1]):
        return f"{what} has only earlier values that were measured with warnings. {again}"
    return ""


def _tells(point: Point) -> bool:
    return point.low is not None and point.high is not None and not (point.figure in _TIMED and point.warnings)


def _where(point: Point) -> str:
    where = "" if point.figure in _OF_DATA else f", batch {point.batch}, {point.scenario}"
    where += f" ({point.conditions})" if point.conditions else ""
    return f"{point.model} {point.variant} on {point.runtime}{where}"


def _key(point: Point, data: str) -> SeriesKey:
    of_data = point.figure in _OF_DATA
    return SeriesKey(
        figure=point.figure,
        model=point.model,
        variant=point.variant,
        runtime=point.runtime,
        batch=None if of_data else point.batch,
        threads=None if of_data else point.threads,
        scenario="" if of_data else point.scenario,
        conditions=point.conditions,
        machine="" if of_data else point.machine,
        data=point.data_sha256 if of_data else data,
    )


def _worse_end(point: Point) -> float:
    """An interval's worse end, turned so that less is better."""
    low, high = _ends(point)
    return high if FIGURES[point.figure].better == "less" else -low


def _is_worse(latest: Point, against: Point, earlier: Sequence[Point], chosen_from: int) -> bool:
    """Whether the latest is beyond both intervals and, if it is a duration, the spread of the earlier benchmarks."""
    (low, high), (earlier_low, earlier_high) = _ends(latest), _ends(against)
    less = FIGURES[latest.figure].better == "less"
    if not (low > earlier_high if less else high < earlier_low):
        return False
    if latest.figure not in _TIMED:
        return True
    told = [point for point in earlier if point.value > 0]
    if not told or min(latest.value, against.value) <= 0:
        return True
    ratio = latest.value / against.value if less else against.value / latest.value
    return ratio > spread_between(told).margin(chosen_from)


def _ends(point: Point) -> tuple[float, float]:
    assert point.low is not None and point.high is not None
    return point.low, point.high


def _range(point: Point) -> str:
    form, (low, high) = FIGURES[point.figure].form, _ends(point)
    return f"{point.value:{form}} ({low:{form}} to {high:{form}})"
