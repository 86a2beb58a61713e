"""What a scenario asks of a candidate, and what comes of one turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...deploy.stages import StageTimes
from ..latency_rows import Scenario

#: Runs the graph once on the pictures with these numbers and gives the milliseconds of its stages.
Call = Callable[[Sequence[int]], StageTimes]


@dataclass(frozen=True)
class Load:
    """How much work arrives in one turn, and how.

    Attributes:
        scenario: see ``docs/reference/latency.md``.
        batch: pictures per call, at most.
        pictures: how many different ones there are; they come in turn, or as LoadGen draws them.
        seconds: the turn lasts at least this long,
        samples: and takes at least so many samples,
        limit_seconds: but issues nothing after this.
        expected_ms: how long one call takes, as far as known.
        query_pictures: pictures in a query of multi stream.
        frame_rate_hz: of a line, frames per second.
        deadline_ms: of a line, from the arrival of a frame to when its result is due.
        queue: of a line, frames that may wait.
    """

    scenario: Scenario
    batch: int
    pictures: int
    seconds: float
    samples: int
    limit_seconds: float
    expected_ms: float
    query_pictures: int = 8
    frame_rate_hz: float = 0.0
    deadline_ms: float = 0.0
    queue: int = 4

    @property
    def sizes(self) -> set[int]:
        """How many pictures the calls of this load have."""
        if self.scenario == "line":
            return set(range(1, self.batch + 1))
        rest = self.query_pictures % self.batch if self.scenario == "multi-stream" else 0
        return {self.batch, rest} - {0}

    @property
    def offline_pictures(self) -> int:
        """Pictures of the one query of offline: enough for the least time and samples, within the limit."""
        calls = max(self.samples, 1000 * self.seconds / self.expected_ms)
        allowed = 1000 * self.limit_seconds / self.expected_ms
        return max(1, round(min(calls, allowed))) * self.batch


@dataclass
class Turn:
    """What was measured in one turn.

    Attributes:
        samples: milliseconds by stage of every sample; see :class:`~..latency_rows.LatencyRow`.
        images: pictures that were answered.
        seconds: from the first query (or arrival) to the last answer.
        late: of a line, frames whose result came too late.
        dropped: of a line, frames that were dropped unseen.
    """

    samples: list[StageTimes] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0
    late: int = 0
    dropped: int = 0


def split(pictures: Sequence[int], batch: int) -> list[Sequence[int]]:
    """The calls that a query is answered with: ``batch`` pictures each, the last of them what is left."""
    return [pictures[start : start + batch] for start in range(0, len(pictures), batch)]


def add_up(calls: Sequence[StageTimes]) -> StageTimes:
    """The stages of several calls as those of one query."""
    total: StageTimes = {}
    for call in calls:
        for stage, duration in call.items():
            total[stage] = total.get(stage, 0.0) + duration
    return total
