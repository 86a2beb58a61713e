"""Which results stand for a model or a graph where not every one of them has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..candidate import REFERENCE
from .results import Result


@dataclass(frozen=True)
class JudgedGraph:
    """One graph's accuracy, and the runtimes that it is the same on.

    Attributes:
        result: of the first of them.
        runtimes: that gave the very same figures.
    """

    result: Result
    runtimes: tuple[str, ...]


def judged_graphs(results: Sequence[Result]) -> list[JudgedGraph]:
    """Every model and graph that was judged, apart by runtime where the runtimes' figures differ.

    Args:
        results: of one benchmark; batch, threads and scenario do not change what is detected.
    """
    found: list[JudgedGraph] = []
    for result in results:
        if result.figures is None or any(_covers(one, result) for one in found):
            continue
        twin = next((i for i, one in enumerate(found) if _same_figures(one.result, result)), None)
        if twin is None:
            found.append(JudgedGraph(result, (result.subject.runtime,)))
        else:
            found[twin] = JudgedGraph(found[twin].result, (*found[twin].runtimes, result.subject.runtime))
    return found


def class_rows(judged: Sequence[JudgedGraph], labels: Sequence[str]) -> list[dict[str, Any]]:
    """For each class its AP in every judged graph; None where a graph does not know it."""
    return [
        {"label": label, "values": [one.result.figures.per_class.get(label) for one in judged if one.result.figures]}
        for label in labels
    ]


def example_results(results: Sequence[Result]) -> dict[str, Result]:
    """For each model, by title, its first graph on its first runtime: fp32 where it has one."""
    chosen: dict[str, Result] = {}
    for result in graphs_first(results):
        if result.detections is not None:
            chosen.setdefault(result.title, result)
    return chosen


def graphs_first(results: Sequence[Result]) -> list[Result]:
    """The same results, those of the models in Paddle behind those of their graphs."""
    return sorted(results, key=lambda result: result.subject.variant == REFERENCE)


def example_words(chosen: Sequence[Result]) -> str:
    """Which graphs these are, for people: "the fp32 graph on onnxruntime"."""
    return " or ".join(dict.fromkeys(f"the {r.subject.variant} graph on {r.subject.runtime}" for r in chosen))


def _same_graph(one: Result, other: Result) -> bool:
    return (one.subject.model, one.subject.variant) == (other.subject.model, other.subject.variant)


def _covers(one: JudgedGraph, result: Result) -> bool:
    return _same_graph(one.result, result) and result.subject.runtime in one.runtimes


def _same_figures(one: Result, other: Result) -> bool:
    return _same_graph(one, other) and one.figures == other.figures
