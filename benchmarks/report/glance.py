"""The report's first table: each model in one line, for those who have to choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..candidate import REFERENCE
from .results import PRECISION_ORDER, Result, leading


@dataclass(frozen=True)
class GlanceRow:
    """One model.

    Attributes:
        title: of the model.
        series: decides its colour.
        parameters: numbers in it; None where its training did not say.
        best: its fastest result at each precision of the table; None where it has none.
    """

    title: str
    series: int
    parameters: int | None
    best: tuple[Result | None, ...]


@dataclass(frozen=True)
class Glance:
    """The table.

    Attributes:
        precisions: the columns of each group.
        batch: pictures per call.
        many_runtimes: whether each figure is that of the fastest of several runtimes.
        rows: one per model.
    """

    precisions: tuple[str, ...]
    batch: int
    many_runtimes: bool
    rows: tuple[GlanceRow, ...]


def glance(results: Sequence[Result], parameters: Mapping[str, int | None]) -> Glance | None:
    """Choose what stands in the table; None where there is but one model, which needs no choice.

    Args:
        results: of one benchmark.
        parameters: of the trained models, by role.
    """
    same = leading(results)
    batch = min(result.batch for result in same)
    # of graphs: a reference in Paddle is nothing to choose
    shown = [result for result in same if result.batch == batch and result.subject.variant != REFERENCE]
    models = list(dict.fromkeys(result.subject.model for result in shown))
    if len(models) < 2:
        return None
    known = {result.subject.precision for result in shown}
    precisions = tuple(sorted(known, key=lambda p: (PRECISION_ORDER.index(p) if p in PRECISION_ORDER else 9, p)))
    rows = []
    for model in models:
        own = [result for result in shown if result.subject.model == model]
        best = tuple(_fastest([result for result in own if result.subject.precision == p]) for p in precisions)
        rows.append(GlanceRow(own[0].title, own[0].series, parameters.get(own[0].subject.role), best))
    return Glance(precisions, batch, len({result.subject.runtime for result in shown}) > 1, tuple(rows))


def _fastest(results: Sequence[Result]) -> Result | None:
    """The fastest by its median; those without one are slower than all others."""
    return min(results, key=lambda result: result.median_ms or float("inf"), default=None)
