"""MLPerf's LoadGen as a driver, on candidates that sleep."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

import pytest
from temper.benchmarks.scenarios import loadgen as module
from temper.benchmarks.scenarios.load import Load
from temper.benchmarks.scenarios.loadgen import drive_loadgen, loadgen_version
from temper.core.errors import MissingDependencyError, TemperError

needs_loadgen = pytest.mark.skipif(loadgen_version() is None, reason="LoadGen is not installed")


class Candidate:
    def __init__(self, seconds: float) -> None:
        self.calls: list[list[int]] = []
        self._seconds = seconds

    def __call__(self, numbers: Sequence[int]) -> dict[str, float]:
        self.calls.append(list(numbers))
        time.sleep(self._seconds)
        return {"compute": float(len(self.calls)), "end_to_end": 1.0}


def load(scenario: str, **changes: object) -> Load:
    fields = {"batch": 1, "pictures": 5, "seconds": 0.02, "samples": 12, "limit_seconds": 30.0, "expected_ms": 2.0}
    return Load(scenario, **{**fields, **changes})  # type: ignore[arg-type]


@needs_loadgen
def test_single_stream() -> None:
    candidate = Candidate(0.002)
    turn = drive_loadgen(candidate, load("single-stream", batch=2))
    assert len(turn.samples) == len(candidate.calls) >= 12
    assert all(len(call) == 2 for call in candidate.calls)
    assert {number for call in candidate.calls for number in call} <= set(range(5))
    # the stages belong to the query they were measured in
    assert [sample["compute"] for sample in turn.samples] == [float(i + 1) for i in range(len(turn.samples))]
    assert min(sample["end_to_end"] for sample in turn.samples) >= 2.0, "by LoadGen's clock, which saw each call whole"
    assert turn.images == 2 * len(turn.samples)
    assert turn.seconds >= 0.002 * len(turn.samples)


@needs_loadgen
def test_multi_stream() -> None:
    candidate = Candidate(0.001)
    turn = drive_loadgen(candidate, load("multi-stream", batch=3, query_pictures=8))
    assert len(turn.samples) >= 12
    assert [len(call) for call in candidate.calls[:3]] == [3, 3, 2]
    assert turn.images == 8 * len(turn.samples)
    assert min(sample["end_to_end"] for sample in turn.samples) >= 3.0, "until its last call has ended"
    assert turn.samples[0]["compute"] == 1.0 + 2.0 + 3.0


@needs_loadgen
def test_offline() -> None:
    candidate = Candidate(0.001)
    turn = drive_loadgen(candidate, load("offline", batch=4))
    assert turn.images == sum(map(len, candidate.calls)) == pytest.approx(48, abs=4)
    assert len(turn.samples) == len(candidate.calls)
    assert turn.seconds >= 0.001 * len(candidate.calls)


@needs_loadgen
def test_the_limit_ends_a_turn() -> None:
    turn = drive_loadgen(Candidate(0.02), load("single-stream", samples=10_000, seconds=60.0, limit_seconds=0.1))
    assert 1 <= len(turn.samples) <= 20


@needs_loadgen
def test_what_the_candidate_raises_comes_through() -> None:
    def broken(numbers: Sequence[int]) -> dict[str, float]:
        raise TemperError("The accelerator does not answer.")

    with pytest.raises(TemperError, match="accelerator does not answer"):
        drive_loadgen(broken, load("single-stream", limit_seconds=0.2))


@needs_loadgen
def test_a_trace_that_lacks_queries_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE", re.compile(r"(no)(such)(line)"))
    with pytest.raises(TemperError, match=r"trace has 0 of the \d+ queries.*--driver temper"):
        drive_loadgen(Candidate(0.0), load("single-stream"))


def test_without_loadgen_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(MissingDependencyError, match="pip install 'mlcommons-loadgen'"):
        drive_loadgen(Candidate(0.0), load("single-stream"))
