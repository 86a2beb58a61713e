"""What the report's section about latency says beside its figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ...deploy.stages import STAGE_DEFINITIONS
from ..latency_rows import PERCENTILES, SCENARIOS
from .results import Result, leading

#: What a sample is in each scenario, in a sentence.
SCENARIO_SENTENCES = {
    "single-stream": "Single stream: the next call begins when the last has ended.",
    "multi-stream": "Multi stream: the next query of several pictures is issued when all of the last are answered.",
    "offline": "Offline: all pictures are there at once; durations are those of calls, and what counts is the rate.",
    "line": "Line: pictures arrive at a fixed rate, and latency counts from the arrival.",
}
DRIVERS = {"temper": "Temper’s own driver", "loadgen": "MLPerf’s LoadGen"}
#: From where to where the end-to-end latency of a scenario goes.
SPANS = {
    "single-stream": "encoded picture to boxes",
    "multi-stream": "the query to its last boxes",
    "offline": "encoded picture to boxes",
    "line": "arrival to boxes",
}
#: What one sample of a scenario is, where it does not matter of how many pictures.
SAMPLES = {"single-stream": "call", "multi-stream": "query", "offline": "call", "line": "picture"}


def one_sample(result: Result, query_pictures: int) -> str:
    """What takes the end-to-end latency of a result: "picture", "call of 8 pictures", "query of 8 pictures".

    Args:
        result: of a benchmark.
        query_pictures: pictures in a query of that benchmark's multi stream.
    """
    scenario = result.latency.scenario
    if scenario == "multi-stream":
        return f"query of {query_pictures} pictures"
    return "picture" if scenario == "line" or result.batch == 1 else f"call of {result.batch} pictures"


def span_of(results: Sequence[Result]) -> str:
    """From where to where the latency of the leading scenario goes: "encoded picture to boxes"."""
    return SPANS[leading(results)[0].latency.scenario]


def latency_part(results: Sequence[Result]) -> dict[str, Any]:
    """Values of the templates about latency."""
    there = {result.latency.scenario for result in results}
    first = leading(results)
    return {
        "leading": first,
        "span": span_of(results),
        "stages": STAGE_DEFINITIONS,
        "scenarios": [SCENARIO_SENTENCES[scenario] for scenario in SCENARIOS if scenario in there],
        "drivers": list(dict.fromkeys(DRIVERS[result.latency.driver] for result in results)),
        "on_a_line": [result for result in results if result.latency.punctuality is not None],
        "invalid": invalid_reasons(results),
    }


def invalid_reasons(results: Sequence[Result], names: Iterable[str] = PERCENTILES) -> list[str]:
    """Why percentiles cannot be given, each reason once: "p99 needs 662 samples".

    Args:
        results: of a benchmark.
        names: fields of the percentiles that are shown.
    """
    reasons: dict[str, str] = {}
    for name in names:
        for result in results:
            reason = result.latency.stages["end_to_end"].invalid.get(name)
            if reason is not None:
                # how many there were differs from row to row, and says nothing new
                said = f"p{PERCENTILES[name]:g} {reason.split(', ')[0]}"
                reasons.setdefault(f"{name} {re.sub('[0-9]+', '', reason)}", said)
    return list(reasons.values())
