"""How much of a strip was inspected, and why the rest was not: stretches seen by cameras, laid over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Why a stretch was not inspected of which there is neither a frame nor a gap.
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Span:
    """What one record says of the strip.

    Attributes:
        start_m: along the strip.
        end_m: along the strip, not before ``start_m``.
        cause: why it was not inspected; None if it was.
    """

    start_m: float
    end_m: float
    cause: str | None


@dataclass(frozen=True)
class Coverage:
    """What became of a stretch of the strip, over its whole width.

    Attributes:
        length_m: of all of it.
        inspected_m: that every camera inspected.
        not_inspected_m: the rest, by its cause.
        missed: the stretches of the rest, in order; neighbours have different causes.
        cameras_m: metres that each camera inspected.
    """

    length_m: float
    inspected_m: float
    not_inspected_m: dict[str, float]
    missed: tuple[Span, ...]
    cameras_m: dict[str, float]


def cover(cameras: Mapping[str, Sequence[Span]], start_m: float, end_m: float) -> Coverage:
    """Lay the spans of cameras that stand beside one another over each other.

    A place counts as inspected if every camera inspected it, in whichever of its frames. Otherwise the cause is that
    of the first camera that did not.

    Args:
        cameras: spans by the camera's name, in any order.
        start_m: where the stretch begins.
        end_m: where it ends.
    """
    everything = [span for spans in cameras.values() for span in spans]
    edges = np.array([start_m, end_m, *(edge for span in everything for edge in (span.start_m, span.end_m))])
    edges = np.unique(np.clip(edges, start_m, max(start_m, end_m)))
    lengths = np.diff(edges)
    causes = [NOT_RECORDED, *sorted({span.cause for span in everything if span.cause is not None})]
    # -1 is inspected by all, others are places in `causes`
    state = np.full(len(lengths), -1 if cameras else 0)
    seen: dict[str, float] = {}
    for camera, spans in cameras.items():
        own = _states(spans, edges, causes)
        seen[camera] = float(lengths[own < 0].sum())
        state = np.where(state < 0, own, state)
    by_cause = {
        cause: float(lengths[state == place].sum()) for place, cause in enumerate(causes) if (state == place).any()
    }
    missed = tuple(
        Span(float(edges[first]), float(edges[last]), causes[state[first]]) for first, last in _stretches(state)
    )
    return Coverage(float(lengths.sum()), float(lengths[state < 0].sum()), by_cause, missed, seen)


def _states(spans: Sequence[Span], edges: NDArray[np.float64], causes: Sequence[str]) -> NDArray[np.int64]:
    """What one camera says of each piece between two edges: that it was inspected counts more than a cause."""
    state = np.zeros(max(len(edges) - 1, 0), np.int64)
    for place, cause in [*enumerate(causes), (-1, None)]:
        chosen = [span for span in spans if span.cause == cause]
        if not chosen:
            continue
        change = np.zeros(len(edges) + 1, np.int64)
        np.add.at(change, np.searchsorted(edges, [span.start_m for span in chosen]), 1)
        np.add.at(change, np.searchsorted(edges, [span.end_m for span in chosen]), -1)
        state[np.cumsum(change)[: len(state)] > 0] = place
    return state


def _stretches(state: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last edge of neighbouring pieces that have the same cause."""
    if not len(state):
        return []
    turns = [0, *(np.flatnonzero(np.diff(state)) + 1).tolist(), len(state)]
    return [(first, last) for first, last in zip(turns[:-1], turns[1:], strict=True) if state[first] >= 0]
