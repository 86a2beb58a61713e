"""Did a figure get worse? Its interval decides: in a regression the latest one does not touch an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .figures import FIGURES
from .store import Point

#: Figures that depend on the data they were judged on, not on the machine they ran on.
_OF_DATA = frozenset(name for name in FIGURES if name.startswith(("ap", "map", "escape", "false")))


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
        where = "" if now.figure in _OF_DATA else f", batch {now.batch}, {now.scenario}"
        where += f" ({now.conditions})" if now.conditions else ""
        return (
            f"{now.model} {now.variant} on {now.runtime}{where}: {kind.title} is "
            f"{_range(now)}{unit}, worse than {self.against} of {then.started[:10]}, {_range(then)}{unit}; {cause}."
        )


@dataclass(frozen=True)
class Series:
    """A figure over time.

    Attributes:
        key: what all its points have in common.
        points: the oldest first.
        regressions: of the latest.
    """

    key: SeriesKey
    points: tuple[Point, ...]
    regressions: tuple[Regression, ...] = field(default=())


def series_of(points: Sequence[Point]) -> list[Series]:
    """Sort points into series and judge the latest of each; the order of the series is that of their first points."""
    groups: dict[SeriesKey, list[Point]] = {}
    names: dict[str, str] = {}
    for point in points:
        name = names.setdefault(point.data_sha256, point.data)
        groups.setdefault(_key(point, name), []).append(point)
    return [Series(key, tuple(group), tuple(find_regressions(group))) for key, group in groups.items()]


def find_regressions(points: Sequence[Point]) -> list[Regression]:
    """Against which earlier points the last one is a regression: the one before, and the best where that is another.

    The best is the one whose worse end is best, so that a lucky value of a wide interval is not held against anybody.
    Points without an interval say nothing.
    """
    told = [point for point in points if point.low is not None and point.high is not None]
    if len(told) < 2 or told[-1] is not points[-1]:
        return []
    latest, before = told[-1], told[-2]
    best = min(told[:-1], key=_worse_end)
    found = [Regression("the one before", before, latest)] if _is_worse(latest, before) else []
    if best is not before and _is_worse(latest, best):
        found.append(Regression("the best", best, latest))
    return found


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


def _is_worse(latest: Point, earlier: Point) -> bool:
    low, high = _ends(latest)
    earlier_low, earlier_high = _ends(earlier)
    return low > earlier_high if FIGURES[latest.figure].better == "less" else high < earlier_low


def _ends(point: Point) -> tuple[float, float]:
    assert point.low is not None and point.high is not None
    return point.low, point.high


def _range(point: Point) -> str:
    form, (low, high) = FIGURES[point.figure].form, _ends(point)
    return f"{point.value:{form}} ({low:{form}} to {high:{form}})"
