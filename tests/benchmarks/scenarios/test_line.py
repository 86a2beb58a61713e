"""The line, on a clock of its own: what time it is depends only on who sleeps and who works."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.scenarios import line
from temper.benchmarks.scenarios.line import drive_line
from temper.benchmarks.scenarios.load import Load, Turn


class Clock:
    """Stands in for the module ``time``: it moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        # a sleep ends a little late, as real ones do
        self.now += seconds + 1e-6


def drive(
    monkeypatch: pytest.MonkeyPatch, durations_ms: Sequence[float], **changes: object
) -> tuple[Turn, list[list[int]]]:
    """A turn at 100 frames a second in which the calls take these milliseconds, the last one for ever on."""
    clock, calls = Clock(), []
    monkeypatch.setattr(line, "time", clock)
    fields = {
        "batch": 1,
        "pictures": 1000,
        "seconds": 0.0,
        "samples": 10,
        "limit_seconds": 60.0,
        "expected_ms": 1.0,
        "frame_rate_hz": 100.0,
        "deadline_ms": 10.0,
        "queue": 2,
    }

    def call(numbers: Sequence[int]) -> dict[str, float]:
        duration = durations_ms[min(len(calls), len(durations_ms) - 1)]
        calls.append(list(numbers))
        clock.now += duration / 1000
        return {"compute": duration, "end_to_end": duration}

    return drive_line(call, Load("line", **{**fields, **changes})), calls  # type: ignore[arg-type]


def test_a_candidate_that_keeps_up_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, calls = drive(monkeypatch, [4.0])
    assert calls == [[frame] for frame in range(10)]
    assert (turn.late, turn.dropped, turn.images) == (0, 0, 10)
    assert [sample["end_to_end"] for sample in turn.samples] == pytest.approx([4.0] * 10, abs=0.01)
    assert turn.seconds == pytest.approx(0.1, abs=0.001), "ten frames take ten intervals, whoever is idle in between"


def test_a_pause_is_counted_in_every_frame_it_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that waits for the answer before it sends the next frame would see a single slow one."""
    turn, _ = drive(monkeypatch, [4.0, 4.0, 25.0, 4.0])
    latencies = [sample["end_to_end"] for sample in turn.samples]
    # frame 2 takes 25 ms; 3 arrived 10 ms after it, so waits 15 and takes 4; 4 waits for that
    assert latencies == pytest.approx([4, 4, 25, 19, 13, 7, 4, 4, 4, 4], abs=0.02)
    assert (turn.late, turn.dropped) == (3, 0)


def test_the_oldest_of_too_many_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, calls = drive(monkeypatch, [45.0, 1.0])
    # while frame 0 is in work 1, 2, 3 and 4 arrive, and two may wait
    assert calls[:3] == [[0], [3], [4]]
    assert turn.dropped == 2
    assert turn.images == len(turn.samples) == 8
    assert turn.late == 2, "frame 0 itself, and 3, which had waited 15 ms"


def test_a_candidate_that_is_too_slow_is_late_in_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, _ = drive(monkeypatch, [30.0], samples=100)
    assert turn.late == len(turn.samples)
    assert turn.late + turn.dropped == 100
    assert turn.dropped == pytest.approx(66, abs=2)


def test_a_call_takes_what_is_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, calls = drive(monkeypatch, [25.0], batch=4, queue=8)
    assert calls[0] == [0], "it does not wait for three others"
    assert calls[1] == [1, 2]
    assert sorted(frame for call in calls for frame in call) == list(range(10))
    assert turn.dropped == 0


def test_the_limit_bounds_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, _ = drive(monkeypatch, [1.0], samples=10**6, limit_seconds=0.25)
    assert turn.images == 25


@given(
    st.lists(st.floats(0.1, 60), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 60),
)
@settings(max_examples=80, deadline=None)
def test_every_frame_is_answered_or_dropped_and_never_early(
    durations: list[float], queue: int, batch: int, frames: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        turn, calls = drive(patched, durations, samples=frames, queue=queue, batch=batch)
    order = [frame for call in calls for frame in call]
    assert order == sorted(set(order)), "in the order of arrival, none twice"
    assert len(turn.samples) == turn.images == len(order)
    assert turn.images + turn.dropped == frames
    assert max(map(len, calls)) <= batch
    for sample in turn.samples:
        assert sample["end_to_end"] >= sample["compute"] - 1e-6, "from the arrival, not from the call"
    assert turn.late == sum(sample["end_to_end"] > 10.0 for sample in turn.samples)
    assert turn.seconds >= frames * 0.01 - 1e-9
