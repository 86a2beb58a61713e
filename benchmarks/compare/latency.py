"""The ratio of two latencies: again and again two fresh processes that take turns, and the ratio of every such pair.

Two processes of one and the same program differ by a few per cent as long as they live: memory lies elsewhere, threads
sit on other cores (Mytkowicz et al., *Producing wrong data without doing anything obviously wrong*, 2009). Rounds
within one pair of processes never show that, so the processes are started anew and the start is what is counted
(Kalibera and Jones, *Rigorous benchmarking in reasonable time*, 2013). Within a start the sides take turns of a
fraction of a second, the first of a round being now one and now the other, so that a neighbour who comes or goes hits
both.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.events import Event, Reporter
from ..candidate import Entrant
from ..latency import load_entrant
from ..machine import LoadWatch, OutsideLoad
from ..scenarios.load import Load
from ..worker_process import WorkerProcess
from .effect import LEVEL, Effect, judge_ratio, median_ratio, starts_needed

STAGE = "benchmark"
#: Makes the process that runs one entrant.
MakeWorker = Callable[[Entrant], WorkerProcess]


@dataclass(frozen=True)
class LatencySettings:
    """How two latencies are compared.

    Attributes:
        starts: pairs of fresh processes; of 15 the interval leaves out one spoilt start on either side.
        rounds: turns that each side takes in one start.
        seconds: each side is sampled at least this long in all,
        samples: and at least this often in a turn,
        limit_seconds: but a turn is no longer than this.
        warmup_seconds: longest warm-up of a process.
        answer_seconds: a process that says nothing for this long beyond its task is given up.
    """

    starts: int = 15
    rounds: int = 4
    seconds: float = 6.0
    samples: int = 3
    limit_seconds: float = 20.0
    warmup_seconds: float = 3.0
    answer_seconds: float = 120.0

    @classmethod
    def quick(cls, level: float) -> LatencySettings:
        """As few and as short turns as the level allows."""
        return cls(starts=starts_needed(level), rounds=2, seconds=0.5, warmup_seconds=0.5)


@dataclass(frozen=True)
class Start:
    """One pair of fresh processes.

    Attributes:
        a_ms: median end-to-end duration of each of A's turns.
        b_ms: that of B's turn in the same round.
        ratio: B by A: the median over the rounds.
    """

    a_ms: tuple[float, ...]
    b_ms: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """B by A, the median over the rounds."""
        return math.exp(statistics.median(math.log(b / a) for a, b in zip(self.a_ms, self.b_ms, strict=True)))


@dataclass(frozen=True)
class LatencyComparison:
    """Two latencies, what their ratio means, and what it rests on.

    Attributes:
        effect: medians in ms, and the ratio.
        starts: in the order they were made.
        samples: calls that were timed, of both sides.
        outside: what other programs did meanwhile.
    """

    effect: Effect
    starts: tuple[Start, ...]
    samples: int
    outside: OutsideLoad


def compare_latency(
    a: Entrant,
    b: Entrant,
    pictures: Sequence[Path],
    settings: LatencySettings,
    smallest: float,
    level: float = LEVEL,
    report: Reporter = lambda event: None,
    make_b: MakeWorker | None = None,
) -> LatencyComparison:
    """Measure the ratio of two latencies, B by A.

    Args:
        a: one side.
        b: the other.
        pictures: encoded picture files that both cycle through, in order.
        settings: how long and how often.
        smallest: the smallest effect of interest, as a share of the latency.
        level: of the interval.
        report: hears of the progress.
        make_b: makes the process of B, for a judgement of this judge; None makes one as for A.

    Raises:
        UsageError: if there are too few starts for the level.
        TemperError: if a side cannot be measured.
    """
    # before a minute of measuring, not after it
    median_ratio([0.0] * settings.starts, level)

    def make(entrant: Entrant) -> WorkerProcess:
        return WorkerProcess(entrant.title, settings.answer_seconds)

    watch, own, children, samples, starts = LoadWatch(), time.process_time(), 0.0, 0, []
    for number in range(settings.starts):
        with make(a) as first, (make_b or make)(b) as second:
            sides = [_Side(a, first, settings), _Side(b, second, settings)]
            # neither is always the one that loads, warms up or runs after the other
            for side in _order(sides, number):
                side.load(pictures)
            for side in _order(sides, number):
                side.warm_up()
            for turn in range(settings.rounds):
                for side in _order(sides, number + turn):
                    side.take_turn()
            children += first.cpu_seconds() + second.cpu_seconds()
        samples += sum(side.samples for side in sides)
        starts.append(Start(tuple(sides[0].medians), tuple(sides[1].medians)))
        report(Event("step", STAGE, {"done": number + 1, "total": settings.starts, "unit": "starts"}))
    outside = watch.finish(time.process_time() - own + children)
    ratio = median_ratio([math.log(start.ratio) for start in starts], level)
    medians = [statistics.median(ms for start in starts for ms in getattr(start, name)) for name in ("a_ms", "b_ms")]
    effect = Effect(medians[0], medians[1], ratio, smallest, "less", judge_ratio(ratio, smallest))
    return LatencyComparison(effect, tuple(starts), samples, outside)


class _Side:
    """One side in one start."""

    def __init__(self, entrant: Entrant, worker: WorkerProcess, settings: LatencySettings) -> None:
        self._entrant, self._worker, self._settings = entrant, worker, settings
        self.medians: list[float] = []
        self.samples = 0

    def load(self, pictures: Sequence[Path]) -> None:
        self._first_ms = float(load_entrant(self._entrant, self._worker, pictures)["first_call_ms"])
        self._pictures = len(pictures)

    def warm_up(self) -> None:
        seconds = self._settings.warmup_seconds
        self._worker.ask("warm_up", seconds, seconds=seconds, sizes=[self._entrant.candidate.batch])

    def take_turn(self) -> None:
        settings = self._settings
        load = Load(
            scenario="single-stream",
            batch=self._entrant.candidate.batch,
            pictures=self._pictures,
            seconds=settings.seconds / (settings.starts * settings.rounds),
            samples=settings.samples,
            limit_seconds=settings.limit_seconds,
            expected_ms=self._first_ms,
        )
        # LoadGen would be set up anew for every turn of a tenth of a second
        answer = self._worker.ask("measure", settings.limit_seconds, load=asdict(load), driver="temper")
        times = answer["samples_ms"]["end_to_end"]
        self.samples += len(times)
        self.medians.append(statistics.median(times))


def _order(sides: Sequence[_Side], number: int) -> list[_Side]:
    return list(sides) if number % 2 == 0 else list(reversed(sides))
