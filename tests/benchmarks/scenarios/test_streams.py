"""Temper's own driver, with a candidate that notes what it is asked for and takes no time, or a known one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from temper.benchmarks.scenarios.load import Load
from temper.benchmarks.scenarios.streams import drive_streams


class Candidate:
    """Notes the pictures of every call, and sleeps through them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[list[int]] = []
        self._seconds = seconds

    def __call__(self, numbers: Sequence[int]) -> dict[str, float]:
        self.calls.append(list(numbers))
        time.sleep(self._seconds)
        return {"decode": 1.0, "compute": 2.0, "end_to_end": 3.0}


def load(scenario: str, **changes: object) -> Load:
    fields = {"batch": 1, "pictures": 5, "seconds": 0.0, "samples": 4, "limit_seconds": 60.0, "expected_ms": 10.0}
    return Load(scenario, **{**fields, **changes})  # type: ignore[arg-type]


def test_single_stream_is_one_call_after_the_other() -> None:
    candidate = Candidate(0.002)
    turn = drive_streams(candidate, load("single-stream", batch=2, samples=4), first=3)
    assert candidate.calls == [[3, 4], [0, 1], [2, 3], [4, 0]]
    assert turn.images == 8
    assert [sample["compute"] for sample in turn.samples] == [2.0] * 4
    # its own clock, around the whole call
    assert min(sample["end_to_end"] for sample in turn.samples) >= 2.0
    assert turn.seconds >= sum(sample["end_to_end"] for sample in turn.samples) / 1000


def test_a_query_of_multi_stream_ends_with_its_last_call() -> None:
    candidate = Candidate(0.002)
    turn = drive_streams(candidate, load("multi-stream", batch=3, samples=2, query_pictures=8))
    assert [len(call) for call in candidate.calls] == [3, 3, 2, 3, 3, 2]
    assert turn.images == 16
    assert [sample["compute"] for sample in turn.samples] == [6.0, 6.0], "the stages of three calls"
    assert min(sample["end_to_end"] for sample in turn.samples) >= 6.0


def test_offline_is_one_query_of_everything() -> None:
    candidate = Candidate(0.001)
    turn = drive_streams(candidate, load("offline", batch=4, samples=6, seconds=0.1, expected_ms=10.0))
    assert [len(call) for call in candidate.calls] == [4] * 10, "0.1 s of calls of 10 ms"
    assert turn.images == 40
    assert len(turn.samples) == 10
    assert turn.seconds >= 0.010


@pytest.mark.parametrize("scenario", ["single-stream", "multi-stream", "offline"])
def test_the_limit_ends_a_turn_after_its_first_sample(scenario: str) -> None:
    candidate = Candidate(0.02)
    turn = drive_streams(candidate, load(scenario, samples=1000, limit_seconds=0.01, expected_ms=0.001))
    assert len(turn.samples) == 1


def test_the_least_time_is_kept() -> None:
    started = time.perf_counter()
    turn = drive_streams(Candidate(0.001), load("single-stream", seconds=0.05, samples=1))
    assert time.perf_counter() - started >= 0.05
    assert len(turn.samples) > 1
    assert turn.seconds >= 0.05
