"""Latency of several candidates that take turns, every turn in a process that was started for it.

Two processes of one program differ as long as they live (see ``compare/latency.py``), so turns of one and the same
process say nothing of what the next benchmark will find. Each round therefore starts every candidate anew, and the
intervals rest on the rounds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import MissingDependencyError, UsageError
from ..core.events import Event, Reporter
from ..deploy.runtimes.load import runtime_kind
from ..deploy.stages import STAGES
from ..detection.intervals import share_interval
from .candidate import Entrant
from .latency_figures import median_interval, summarise, throughput
from .latency_rows import Driver, LatencyRow, Punctuality, Round, Scenario
from .machine import LoadWatch, OutsideLoad
from .measurement import BenchmarkSettings, FootprintRow
from .scenarios.load import Load
from .scenarios.loadgen import PACKAGE as LOADGEN_PACKAGE
from .scenarios.loadgen import loadgen_version
from .worker_process import WorkerProcess

STAGE = "benchmark"
#: The longest that a runtime may build an engine while it loads.
BUILD_SECONDS = 3600.0
#: What LoadGen takes around a turn: it draws queries beforehand, and writes its logs afterwards.
LOADGEN_SECONDS = 60.0

#: The rows so far are told no more often than this: they cost time, though not the candidates'.
TELL_SECONDS = 10.0

#: Hears of the rows so far, now and then.
Keep = Callable[[Sequence[LatencyRow], Sequence[FootprintRow]], None]


@dataclass
class _Runner:
    """An entrant and what has been measured of it: the answers of each start, and of each round by scenario."""

    entrant: Entrant
    loaded: list[dict[str, Any]] = field(default_factory=list)
    warm: list[dict[str, Any]] = field(default_factory=list)
    rounds: dict[Scenario, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: dict[Scenario, float] = field(default_factory=dict)
    peak_memory_mib: float | None = None
    cpu_seconds: float = 0.0


@dataclass
class _Bench:
    """What the groups share: settings, progress, and everything measured so far."""

    pictures: Sequence[Path]
    settings: BenchmarkSettings
    report: Reporter
    keep: Keep
    runners: list[_Runner]
    done: int = 0
    watch: LoadWatch = field(default_factory=LoadWatch)
    began: float = field(default_factory=time.process_time)
    told_at: float = field(default_factory=time.monotonic)

    def step(self) -> None:
        self.done += 1
        total = len(self.runners) * self.settings.rounds * (len(self.settings.scenarios) + 1)
        self.report(Event("step", STAGE, {"done": self.done, "total": total, "unit": "turns"}))

    def tell(self, *, now: bool) -> None:
        """Hand on the rows there are, now or if it is time."""
        if now or time.monotonic() - self.told_at >= TELL_SECONDS:
            self.keep(*self.rows())
            self.told_at = time.monotonic()

    def outside(self) -> OutsideLoad:
        """What others did to the processors so far."""
        own = time.process_time() - self.began + sum(runner.cpu_seconds for runner in self.runners)
        return self.watch.finish(own)

    def rows(self) -> tuple[list[LatencyRow], list[FootprintRow]]:
        """The rows so far; what is written by :meth:`tell` is written again in the end."""
        outside = self.outside()
        alike = min(1.0, outside.other_share + outside.steal_share)
        latency = [
            _latency_row(runner, scenario, self.settings, alike)
            for runner in self.runners
            for scenario in runner.rounds
        ]
        return latency, [_footprint_row(runner, alike) for runner in self.runners if runner.rounds]


def measure_latency(
    entrants: Sequence[Entrant],
    pictures: Sequence[Path],
    settings: BenchmarkSettings,
    report: Reporter,
    keep: Keep = lambda latency, footprint: None,
) -> tuple[list[LatencyRow], list[FootprintRow], OutsideLoad]:
    """Measure the entrants in rounds, in which each is started, loaded and warmed up anew when it is its turn.

    Args:
        entrants: what to measure.
        pictures: encoded picture files that every entrant cycles through, in order.
        settings: how long and how often, and in which scenarios.
        report: hears of the progress.
        keep: hears of the rows so far every few seconds, and when the measuring is cut off.

    Returns:
        A latency row per entrant and scenario and a footprint row per entrant, in their order, and what others did to
        the processors meanwhile.

    Raises:
        TemperError: if an entrant cannot be measured.
    """
    bench = _Bench(pictures, settings, report, keep, [_Runner(entrant) for entrant in entrants])
    try:
        for number in range(settings.rounds):
            # each round begins with another one, so that none always runs after the same neighbour's heat
            first = number % len(bench.runners)
            for runner in bench.runners[first:] + bench.runners[:first]:
                _start(runner, bench)
                if bench.done < len(entrants) * settings.rounds * (len(settings.scenarios) + 1):
                    bench.tell(now=False)
    except BaseException:
        bench.tell(now=True)
        raise
    outside = bench.outside()
    return *bench.rows(), outside


def require_driver(settings: BenchmarkSettings) -> None:
    """Refuse settings that nobody can drive.

    Raises:
        UsageError: if a line is asked for and not described.
        MissingDependencyError: if LoadGen is asked for and not installed.
    """
    if "line" in settings.scenarios and settings.line is None:
        raise UsageError("A line needs to know how many frames arrive per second: --frame-rate 30.")
    if settings.driver == "loadgen" and loadgen_version() is None:
        raise MissingDependencyError(
            f"LoadGen is not installed. Install it with pip install '{LOADGEN_PACKAGE}', or measure with "
            "--driver temper."
        )


def require_query_size(entrant: Entrant, settings: BenchmarkSettings) -> None:
    """Refuse a call that takes more pictures than a query of multi stream has.

    Raises:
        UsageError: naming both.
    """
    batch = entrant.candidate.batch
    if "multi-stream" in settings.scenarios and batch > settings.query_pictures:
        raise UsageError(
            f"A call of {batch} pictures does not fit into a multi-stream query of {settings.query_pictures}. "
            f"Give --query-pictures {batch}, or a smaller --batch."
        )


def driver_of(scenario: Scenario, settings: BenchmarkSettings) -> Driver:
    """Who issues the queries: LoadGen where it is installed and knows the scenario, unless the settings say who."""
    if scenario == "line" or settings.driver == "temper":
        return "temper"
    return "loadgen" if settings.driver == "loadgen" or loadgen_version() is not None else "temper"


def _start(runner: _Runner, bench: _Bench) -> None:
    """One turn of an entrant in a fresh process, in every scenario; no other candidate has a process meanwhile."""
    settings, entrant = bench.settings, runner.entrant
    with WorkerProcess(entrant.title, settings.answer_seconds) as worker:
        loaded = load_entrant(entrant, worker, bench.pictures)
        expected_ms = loaded["first_call_ms"]
        sizes = {size for scenario in settings.scenarios for size in _load(runner, scenario, bench, expected_ms).sizes}
        warm = worker.ask("warm_up", settings.warmup_seconds, seconds=settings.warmup_seconds, sizes=sorted(sizes))
        runner.loaded.append(loaded)
        runner.warm.append(warm)
        bench.step()
        for scenario in settings.scenarios:
            _take_turn(runner, worker, _load(runner, scenario, bench, warm["p50_ms"] or expected_ms), settings)
            bench.step()
        runner.cpu_seconds += worker.cpu_seconds()
        peak = worker.ask("finish")["peak_memory_mib"]
        if peak is not None:
            runner.peak_memory_mib = max(peak, runner.peak_memory_mib or 0.0)


def load_entrant(entrant: Entrant, worker: WorkerProcess, pictures: Sequence[Path]) -> dict[str, Any]:
    """Let a worker load an entrant and the pictures; gives its answer.

    Raises:
        TemperError: if the entrant cannot be loaded.
    """
    candidate = entrant.candidate
    builds = candidate.weights is None and runtime_kind(candidate.runtime).builds
    # a zip has been unpacked already; but an engine lies beside the zip
    path = entrant.bundle.path if builds else entrant.bundle.folder
    return worker.ask(
        "load",
        BUILD_SECONDS if builds else 0.0,
        bundle=str(path.resolve()),
        manifest_sha256=entrant.bundle.manifest_sha256,
        variant=candidate.variant,
        runtime=candidate.runtime,
        batch=candidate.batch,
        threads=candidate.threads,
        public_key=None if candidate.public_key is None else str(candidate.public_key.resolve()),
        weights=None if candidate.weights is None else str(candidate.weights.resolve()),
        pictures=[str(path) for path in pictures],
    )


def _load(runner: _Runner, scenario: Scenario, bench: _Bench, expected_ms: float) -> Load:
    """What one turn asks of a candidate."""
    settings, line = bench.settings, bench.settings.line
    return Load(
        scenario=scenario,
        batch=runner.entrant.candidate.batch,
        pictures=len(bench.pictures),
        seconds=min(settings.min_seconds, settings.max_seconds) / settings.rounds,
        samples=math.ceil(settings.min_samples / settings.rounds),
        limit_seconds=settings.max_seconds / settings.rounds,
        expected_ms=expected_ms,
        query_pictures=settings.query_pictures,
        frame_rate_hz=line.frame_rate_hz if line else 0.0,
        deadline_ms=line.deadline_ms if line else 0.0,
        queue=line.queue if line else 0,
    )


def _take_turn(runner: _Runner, worker: WorkerProcess, load: Load, settings: BenchmarkSettings) -> None:
    scenario, driver = load.scenario, driver_of(load.scenario, settings)
    started = time.perf_counter()
    answer = worker.ask(
        "measure",
        load.limit_seconds + (LOADGEN_SECONDS if driver == "loadgen" else 0),
        load=asdict(load),
        driver=driver,
    )
    runner.seconds[scenario] = runner.seconds.get(scenario, 0.0) + time.perf_counter() - started
    runner.rounds.setdefault(scenario, []).append(answer)


def _latency_row(runner: _Runner, scenario: Scenario, settings: BenchmarkSettings, alike: float) -> LatencyRow:
    answers, candidate = runner.rounds[scenario], runner.entrant.candidate
    by_stage = {stage: [answer["samples_ms"].get(stage, []) for answer in answers] for stage in STAGES}
    timed = {stage: rounds for stage, rounds in by_stage.items() if any(rounds)}
    whole = timed["end_to_end"]
    rounds = tuple(
        Round(len(own), answer["images"], answer["seconds"]) for own, answer in zip(whole, answers, strict=True)
    )
    dropped = [answer["dropped"] for answer in answers]
    # how long these last is reckoned beforehand, and it may come out a little shorter
    lasted = scenario in ("offline", "line") or runner.seconds[scenario] >= settings.min_seconds
    taken = sum(map(len, whole)) + sum(dropped)
    return LatencyRow(
        subject=runner.entrant.subject,
        batch=candidate.batch,
        threads=candidate.threads,
        scenario=scenario,
        driver=driver_of(scenario, settings),
        stages={
            stage: summarise(values, dropped if stage == "end_to_end" else (), alike=alike)
            for stage, values in timed.items()
        },
        images_per_second=throughput(rounds, alike=alike),
        warmup_calls=sum(warm["calls"] for warm in runner.warm),
        # a neighbour who comes by spoils the warm-up of a start or two, which the intervals tell
        warmup_stable=2 * sum(warm["stable"] for warm in runner.warm) > len(runner.warm),
        rounds=rounds,
        round_p50_ms=tuple(statistics.median(own) for own in whole if own),
        complete=taken >= settings.min_samples and lasted and len(answers) == settings.rounds,
        samples_ms={stage: [round(value, 4) for own in values for value in own] for stage, values in timed.items()},
        punctuality=_punctuality(answers, settings) if scenario == "line" else None,
        starts=len(answers),
        outside_share=alike,
        threads_at_work=_threads_at_work(answers),
    )


def _threads_at_work(answers: Sequence[dict[str, Any]]) -> int | None:
    counts = [answer["threads_at_work"] for answer in answers if answer["threads_at_work"] is not None]
    return statistics.median_high(counts) if counts else None


def _punctuality(answers: Sequence[dict[str, Any]], settings: BenchmarkSettings) -> Punctuality:
    assert settings.line is not None
    late, dropped = ([answer[name] for answer in answers] for name in ("late", "dropped"))
    frames = [len(answer["samples_ms"]["end_to_end"]) + answer["dropped"] for answer in answers]
    return Punctuality(
        frame_rate_hz=settings.line.frame_rate_hz,
        deadline_ms=settings.line.deadline_ms,
        queue=settings.line.queue,
        frames=sum(frames),
        late=sum(late),
        dropped=sum(dropped),
        # frames of one round tend to be late together; but ten rounds without a miss are more than ten frames without
        miss_share=share_interval(np.add(late, dropped), np.asarray(frames), alike=False),
    )


def _footprint_row(runner: _Runner, alike: float) -> FootprintRow:
    loads, calls = ([answer[name] for answer in runner.loaded] for name in ("load_ms", "first_call_ms"))
    intervals = {"load_ms": median_interval(loads, alike=alike), "first_call_ms": median_interval(calls, alike=alike)}
    return FootprintRow(
        subject=runner.entrant.subject,
        batch=runner.entrant.candidate.batch,
        file_bytes=runner.entrant.file_bytes,
        load_ms=statistics.median(loads),
        first_call_ms=statistics.median(calls),
        peak_memory_mib=runner.peak_memory_mib,
        idle_memory_mib=runner.loaded[0]["idle_memory_mib"],
        runtime_version=runner.loaded[0]["runtime_version"],
        load_starts_ms=tuple(round(ms, 3) for ms in loads),
        first_call_starts_ms=tuple(round(ms, 3) for ms in calls),
        intervals={name: interval for name, interval in intervals.items() if interval is not None},
    )
