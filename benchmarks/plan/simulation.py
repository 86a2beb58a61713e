"""A discrete-event simulation of one device on the line: frames arrive, wait, are taken together and answered.

It holds what the arithmetic leaves out, queueing above all, against it. The rules are those of
``deploy/line/intake.py`` with its policy ``drop-oldest``, and of ``deploy/line/inspector.py``, whose steps are taken
one after the other here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.errors import MissingDependencyError, install_hint
from ...detection.intervals import Estimate, share_interval
from ..latency_figures import summarise
from .distribution import LatencyDistribution
from .optics import whole
from .supply import Supply

#: Lines that are simulated from the start, whose spread gives the intervals.
ROUNDS = 10
#: Frames of all of them together, about; p99 rests on a hundredth of them.
FRAMES = 20_000
#: Frames of each camera in a round, at least.
_FEWEST = 100
#: Durations that are drawn at once.
_DRAWN = 4096


@dataclass(frozen=True)
class SimulatedLine:
    """What is simulated.

    Attributes:
        latency: of a call.
        batch: pictures in a call.
        tiles: of a frame.
        cameras: of the device; their frames arrive in the same moment.
        interval_ms: between frames of a camera.
        deadline_ms: from the arrival of a frame.
        queue: frames that may wait; of more the oldest is dropped.
    """

    latency: LatencyDistribution
    batch: int
    tiles: int
    cameras: int
    interval_ms: float
    deadline_ms: float
    queue: int


@dataclass(frozen=True)
class SimulationResult:
    """What came of it.

    Attributes:
        frames: that arrived.
        p50_ms: from a frame's arrival to its result; None where half of them were dropped.
        p99_ms: the same; a dropped frame counts as longer than any other. None where p99 falls among those.
        p99_interval_ms: of p99, at 95 %, over the rounds.
        dropped: frames.
        miss_share: share of the frames that were late or dropped, with its interval at 95 %.
        utilisation: share of the time in which the device was busy.
        deadline_ms: that was held against.
    """

    frames: int
    p50_ms: float | None
    p99_ms: float | None
    p99_interval_ms: tuple[float, float] | None
    dropped: int
    miss_share: Estimate
    utilisation: float
    deadline_ms: float

    @property
    def confirms(self) -> bool:
        """Whether p99, at the upper end of its interval, is within the deadline."""
        if self.p99_ms is None:
            return False
        return max(self.p99_ms, (self.p99_interval_ms or (0.0, 0.0))[1]) <= self.deadline_ms

    def contradiction(self, mark: str = "") -> str | None:
        """What it says against the arithmetic, with a mark before its figures; None if it confirms it."""
        if self.confirms:
            return None
        missed = f"{mark}{100 * (self.miss_share.value or 0):.2f} % of the frames are missed"
        if self.p99_ms is None:
            return f"simulation: {missed}"
        left = f"{self.deadline_ms:,.1f} ms until a result is due"
        return f"simulation: p99 is {mark}{self.p99_ms:,.1f} ms and {missed}, with {left}"


@dataclass
class _Round:
    latencies: list[float] = field(default_factory=list)
    arrived: int = 0
    dropped: int = 0
    late: int = 0
    busy_ms: float = 0.0


def simulate_supply(supply: Supply, queue: int, seed: int = 0) -> SimulationResult:
    """Simulate the fullest device of a plan."""
    demand = supply.demand
    line = SimulatedLine(
        latency=supply.capability.latency,
        batch=supply.capability.batch,
        tiles=demand.tiles_per_frame,
        cameras=supply.streams_each,
        interval_ms=1000 / demand.optics.frame_rate_hz,
        deadline_ms=demand.deadline_ms,
        queue=queue,
    )
    return simulate(line, seed)


def simulate(line: SimulatedLine, seed: int = 0, frames: int = FRAMES) -> SimulationResult:
    """Simulate a device; the same arguments give the same figures.

    Args:
        line: what is simulated.
        seed: of the durations that are drawn.
        frames: of all rounds, about.

    Raises:
        MissingDependencyError: if SimPy is not installed.
    """
    arrivals = max(_FEWEST, frames // (ROUNDS * line.cameras))
    rounds = [_simulate_round(line, arrivals, generator) for generator in np.random.default_rng(seed).spawn(ROUNDS)]
    dropped = [one.dropped for one in rounds]
    arrived = np.asarray([one.arrived for one in rounds])
    ended = any(one.latencies for one in rounds)
    summary = summarise([one.latencies for one in rounds], dropped) if ended else None
    return SimulationResult(
        frames=int(arrived.sum()),
        p50_ms=summary.p50_ms if summary else None,
        p99_ms=summary.p99_ms if summary else None,
        p99_interval_ms=_finite(summary.intervals.get("p99_ms")) if summary else None,
        dropped=sum(dropped),
        miss_share=share_interval(np.asarray([one.late + one.dropped for one in rounds]), arrived, alike=False),
        utilisation=sum(one.busy_ms for one in rounds) / (ROUNDS * arrivals * line.interval_ms),
        deadline_ms=line.deadline_ms,
    )


def _simulate_round(line: SimulatedLine, arrivals: int, generator: np.random.Generator) -> _Round:
    try:
        import simpy
    except ImportError as error:
        raise MissingDependencyError(
            f"The simulation of a line needs SimPy, which cannot be imported ({error}). {install_hint('plan')}"
        ) from error
    environment = simpy.Environment()
    done = _Round()
    waiting: deque[float] = deque()
    # frames are taken together only where they fit in one call
    at_once = max(1, line.batch // line.tiles)
    durations = _durations(line.latency, whole(line.tiles / line.batch), generator)
    came = [environment.event()]

    def cameras() -> Generator[Any, Any, None]:
        for _ in range(arrivals):
            for _ in range(line.cameras):
                if len(waiting) >= line.queue:
                    waiting.popleft()
                    done.dropped += 1
                waiting.append(environment.now)
                done.arrived += 1
            if not came[0].triggered:
                came[0].succeed()
            yield environment.timeout(line.interval_ms)

    def device() -> Generator[Any, Any, None]:
        while True:
            if not waiting:
                came[0] = environment.event()
                yield came[0]
            frames = [waiting.popleft() for _ in range(min(at_once, len(waiting)))]
            took = next(durations)
            yield environment.timeout(took)
            done.busy_ms += took
            for since in frames:
                latency = environment.now - since
                done.latencies.append(latency)
                done.late += latency > line.deadline_ms

    environment.process(cameras())
    environment.process(device())
    environment.run()
    return done


def _durations(latency: LatencyDistribution, calls: int, generator: np.random.Generator) -> Iterator[float]:
    """How long so many calls in a row take, again and again."""
    while True:
        drawn = latency.draw(generator, calls * max(1, _DRAWN // calls))
        yield from drawn.reshape(-1, calls).sum(axis=1).tolist()


def _finite(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval whose upper end is no number says nothing; the miss share does."""
    return interval if interval and np.isfinite(interval[1]) else None
