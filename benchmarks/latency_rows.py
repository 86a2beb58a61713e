"""What is kept of a candidate's durations: every sample, the rounds they were taken in, and the figures of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from ..detection.intervals import Estimate
from .subject import STRICT, Kind, Subject

#: How the work arrives: see ``docs/reference/latency.md``.
Scenario = Literal["single-stream", "multi-stream", "offline", "line"]
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "multi-stream", "offline", "line")
#: Who issues the queries: Temper's own driver, or MLPerf's LoadGen.
Driver = Literal["temper", "loadgen"]

#: The percentiles that are given, by the name of their field.
PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9}


@dataclass(frozen=True)
class Summary:
    """Durations of one stage in milliseconds.

    Attributes:
        n: number of samples.
        mean_ms: arithmetic mean of what ended.
        p50_ms: median; None below 11 samples.
        p90_ms: 90th percentile; None below 64 samples.
        p99_ms: 99th percentile; None below 662 samples.
        p999_ms: 99.9th percentile; None below 6636 samples.
        jitter_ms: mean absolute difference between a duration and the one before it in the same round; None where no
            round has two.
        min_ms: shortest.
        max_ms: longest.
        intervals: for each of these figures but the extremes its 95 % interval, as far as there is one.
        invalid: for each percentile that is None, the reason in a few words.
    """

    __pydantic_config__ = STRICT

    n: int
    mean_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    jitter_ms: float | None
    min_ms: float
    max_ms: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One turn of a candidate; of a row with several ``starts`` each in a process that was started for it.

    Attributes:
        samples: how many of the row's samples were taken in it; rounds follow each other in ``samples_ms``.
        images: pictures that were answered.
        seconds: how long the turn lasted, from the first query (or arrival) to the last answer.
    """

    __pydantic_config__ = STRICT

    samples: int
    images: int
    seconds: float


@dataclass(frozen=True)
class Punctuality:
    """How a candidate kept up with a line.

    Attributes:
        frame_rate_hz: frames that arrived per second.
        deadline_ms: from the arrival of a frame to when its result is due.
        queue: frames that may wait; of more the oldest is dropped.
        frames: how many arrived.
        late: frames whose result came after the deadline.
        dropped: frames that were dropped unseen.
        miss_share: share of the frames that were late or dropped, with its interval.
    """

    __pydantic_config__ = STRICT

    frame_rate_hz: float
    deadline_ms: float
    queue: int
    frames: int
    late: int
    dropped: int
    miss_share: Estimate


@dataclass(frozen=True)
class LatencyRow:
    """Durations of one candidate in one scenario.

    A sample is a query: one call of ``batch`` pictures (single stream), a query of several pictures (multi stream), one
    call of the one large query (offline), one frame from its arrival to its result (line).

    Attributes:
        subject: what ran.
        batch: pictures per call, at most.
        threads: of the runtime; None means that the runtime chose.
        scenario: how the work arrived.
        driver: who issued the queries.
        stages: summary of each stage that was timed; a stage that the runtime does not have is not there.
        images_per_second: pictures answered per second, with its interval.
        warmup_calls: calls made before the first sample of each start, in all.
        warmup_stable: whether the durations had settled when sampling began, in most of the starts.
        rounds: the turns, in order.
        round_p50_ms: median end-to-end duration of every round; their spread shows the machine's drift.
        complete: whether both the least time (but of offline and line, reckoned beforehand) and the least number of
            samples were reached within the time box.
        samples_ms: the raw durations of each stage in ``stages``, in the order they were taken; all equally many.
        punctuality: what was missed on a line; None in other scenarios.
        starts: how often it was started anew, once a round; 1 in files from before, of which all rounds were in one
            process and the intervals say nothing of what another process would have shown.
        outside_share: of the processors, what others used meanwhile; the intervals are widened by it.
        threads_at_work: threads of its process that took processor time in a turn, as the system counts it: the median
            of the turns, each with those that took at least a tenth of the busiest one's; None where it does not tell.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    batch: int
    threads: int | None
    scenario: Scenario
    driver: Driver
    stages: dict[str, Summary]
    images_per_second: Estimate
    warmup_calls: int
    warmup_stable: bool
    rounds: tuple[Round, ...]
    round_p50_ms: tuple[float, ...]
    complete: bool
    samples_ms: dict[str, list[Annotated[float, Field(ge=0)]]]
    punctuality: Punctuality | None = None
    starts: int = 1
    outside_share: float = 0.0
    threads_at_work: int | None = None
    row: Literal["latency"] = "latency"
    kind: Kind = "measured"

    @property
    def rounds_ms(self) -> list[list[float]]:
        """The end-to-end samples of each round."""
        return self.stage_rounds_ms("end_to_end")

    def stage_rounds_ms(self, stage: str) -> list[list[float]]:
        """The samples of a stage by round; a stage that was not timed has none at all."""
        samples, start, parts = self.samples_ms.get(stage, []), 0, []
        for one in self.rounds if samples else ():
            parts.append(samples[start : start + one.samples])
            start += one.samples
        return parts
