"""What a candidate is called in a chart: all that tells it from the others there, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from .results import Result


def distinct_names(results: Sequence[Result]) -> list[str]:
    """A name for each result: its model and graph, and what else differs among these results.

    Args:
        results: of one benchmark, those that stand side by side.

    Returns:
        "MGD student int8", and where they differ "MGD student int8 on openvino, batch 8, offline"; no two are equal.
    """
    runtimes = len({result.subject.runtime for result in results}) > 1
    batches = len({result.batch for result in results}) > 1
    scenarios = len({result.latency.scenario for result in results}) > 1
    names = []
    for result in results:
        name = f"{result.title} {result.subject.variant}"
        name += f" on {result.subject.runtime}" if runtimes else ""
        name += f", batch {result.batch}" if batches else ""
        name += f", {result.latency.scenario}" if scenarios else ""
        names.append(name)
    return names


def shown_runtimes(results: Sequence[Result]) -> str:
    """The runtimes of these results in a sentence, each once: "onnxruntime or openvino"."""
    return " or ".join(dict.fromkeys(result.subject.runtime for result in results))
