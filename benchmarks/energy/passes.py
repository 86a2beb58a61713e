"""The passes after the latencies: energy and heat of each candidate by itself, and the soak.

Candidates do not take turns here: each has the machine to itself, in a process of its own, so that what the sensors
tell is of that candidate alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from ...core.events import Event, Reporter
from ..candidate import Entrant
from ..latency import STAGE, load_entrant
from ..latency_figures import summarise
from ..machine import LoadWatch
from ..measurement import BenchmarkSettings
from ..worker_process import WorkerProcess
from .change import duration_ratio, verdict_of, window_means
from .find import Found, tells_heat
from .integrate import energy_between, heat_between
from .rows import EnergyRow, Heat, SoakMinute, SoakRow
from .sampler import Sampler
from .sensor import Reading, Sensor

#: A loaded candidate is watched at rest no longer than this before it is run.
IDLE_SECONDS = 10.0
#: What loading stirs up may settle so long before the rest counts.
SETTLING_SECONDS = 1.0


def measure_energy(
    entrants: Sequence[Entrant],
    pictures: Sequence[Path],
    settings: BenchmarkSettings,
    found: Found,
    report: Reporter,
    keep: Callable[[list[EnergyRow]], None],
) -> None:
    """Run each entrant back to back for ``settings.energy_seconds`` while the sensors are read.

    One that no sensor tells power or temperature of is not run.

    Args:
        entrants: what to measure.
        pictures: encoded picture files that it cycles through, in order.
        settings: of the benchmark.
        found: the sensors.
        report: hears of the progress, and of sensors that failed.
        keep: hears of the rows of each entrant, one per sensor, as soon as they are there.

    Raises:
        TemperError: if an entrant cannot be run.
    """
    runs = [(one, sensors) for one in entrants if any(map(tells_heat, sensors := _sensors_of(one, found)))]
    for done, (entrant, sensors) in enumerate(runs, start=1):
        keep(_run_once(entrant, pictures, settings, sensors, report))
        report(Event("step", STAGE, {"done": done, "total": len(runs), "unit": "runs for energy"}))


def soak(
    entrants: Sequence[Entrant],
    pictures: Sequence[Path],
    settings: BenchmarkSettings,
    found: Found,
    report: Reporter,
    keep: Callable[[SoakRow], None],
) -> None:
    """Run each entrant on for ``settings.soak_minutes``; arguments and errors as for :func:`measure_energy`.

    Sensors may be missing: durations, rate and memory are there all the same.

    Args:
        entrants: what to measure.
        pictures: encoded picture files that it cycles through, in order.
        settings: of the benchmark.
        found: the sensors.
        report: hears of the progress, and of sensors that failed.
        keep: hears of an entrant's row after each of its minutes, so that what cuts it off loses none before.
    """
    minutes = settings.soak_minutes or 0
    for place, entrant in enumerate(entrants):
        measured: list[SoakMinute] = []
        sensors = _sensors_of(entrant, found)
        with _loaded(entrant, pictures, settings) as worker, _sampled(sensors, report, entrant) as samplers:
            _warm_up(worker, entrant, settings)
            for number in range(minutes):
                measured.append(_soak_minute(worker, samplers, settings))
                keep(_soak_row(entrant, sensors, measured, settings))
                step = {"done": place * minutes + number + 1, "total": len(entrants) * minutes, "unit": "soak minutes"}
                report(Event("step", STAGE, step))
            worker.ask("finish")


def _sensors_of(entrant: Entrant, found: Found) -> list[Sensor]:
    return found.for_runtime(entrant.subject.runtime)


def _run_once(
    entrant: Entrant,
    pictures: Sequence[Path],
    settings: BenchmarkSettings,
    sensors: Sequence[Sensor],
    report: Reporter,
) -> list[EnergyRow]:
    seconds = settings.energy_seconds or 0.0
    with _loaded(entrant, pictures, settings) as worker, _sampled(sensors, report, entrant) as samplers:
        time.sleep(min(SETTLING_SECONDS, seconds))
        _read_all(samplers)
        rest_from = time.monotonic()
        time.sleep(min(IDLE_SECONDS, seconds))
        rest_to = time.monotonic()
        _read_all(samplers)
        _warm_up(worker, entrant, settings)
        watch, own = LoadWatch(), _OwnTime(worker)
        _read_all(samplers)
        ran = worker.ask("run_on", seconds, seconds=seconds)
        _read_all(samplers)
        other = watch.finish(own.seconds()).other_share
        worker.ask("finish")
        rows = []
        for sampler in samplers:
            readings = sampler.readings()
            rest = energy_between(readings, rest_from, rest_to)
            idle = None if rest is None else rest / (rest_to - rest_from)
            rows.append(_energy_row(entrant, sampler.sensor, readings, ran, rest_to - rest_from, idle, other))
    return rows


def _energy_row(
    entrant: Entrant,
    sensor: Sensor,
    readings: Sequence[Reading],
    ran: dict[str, float],
    idle_seconds: float,
    watts_idle: float | None,
    other_cpu_share: float,
) -> EnergyRow:
    started, ended, frames = ran["started"], ran["ended"], int(ran["frames"])
    joules = energy_between(readings, started, ended)
    above = None if joules is None or watts_idle is None else joules - watts_idle * (ended - started)
    return EnergyRow(
        subject=entrant.subject,
        batch=entrant.candidate.batch,
        threads=entrant.candidate.threads,
        sensor=sensor.info,
        seconds=ended - started,
        frames=frames,
        readings=sum(started <= one.at <= ended for one in readings),
        idle_seconds=idle_seconds,
        watts_idle=watts_idle,
        joules_per_frame=None if joules is None else joules / frames,
        joules_per_frame_above_idle=None if above is None else above / frames,
        heat=heat_between(sensor.info.name, readings, started, ended),
        other_cpu_share=other_cpu_share,
    )


def _soak_minute(worker: WorkerProcess, samplers: Sequence[Sampler], settings: BenchmarkSettings) -> SoakMinute:
    watch, own = LoadWatch(), _OwnTime(worker)
    _read_all(samplers)
    ran = worker.ask("run_on", settings.minute_seconds, seconds=settings.minute_seconds)
    _read_all(samplers)
    started, ended = ran["started"], ran["ended"]
    heat: list[Heat] = []
    for sampler in samplers:
        heat.append(heat_between(sampler.sensor.info.name, sampler.readings(), started, ended))
        sampler.forget_before(ended)
    return SoakMinute(
        seconds=ended - started,
        frames=ran["frames"],
        frames_per_second=ran["frames"] / (ended - started),
        latency=summarise([ran["durations_ms"]]),
        window_ms=window_means(ran["durations_ms"]),
        resident_mib=_resident_mib(worker.pid),
        other_cpu_share=watch.finish(own.seconds()).other_share,
        heat=tuple(heat),
    )


def _soak_row(
    entrant: Entrant, sensors: Sequence[Sensor], minutes: Sequence[SoakMinute], settings: BenchmarkSettings
) -> SoakRow:
    slowdown = duration_ratio(minutes[0].window_ms, minutes[-1].window_ms) if len(minutes) > 1 else None
    return SoakRow(
        subject=entrant.subject,
        batch=entrant.candidate.batch,
        threads=entrant.candidate.threads,
        asked_minutes=settings.soak_minutes or 0,
        minute_seconds=settings.minute_seconds,
        sensors=tuple(sensor.info for sensor in sensors),
        minutes=tuple(minutes),
        slowdown=slowdown,
        verdict=verdict_of(slowdown),
        complete=len(minutes) == settings.soak_minutes,
    )


@contextlib.contextmanager
def _loaded(entrant: Entrant, pictures: Sequence[Path], settings: BenchmarkSettings) -> Iterator[WorkerProcess]:
    """A worker that has loaded an entrant."""
    with WorkerProcess(entrant.title, settings.answer_seconds) as worker:
        load_entrant(entrant, worker, pictures)
        yield worker


@contextlib.contextmanager
def _sampled(sensors: Sequence[Sensor], report: Reporter, entrant: Entrant) -> Iterator[list[Sampler]]:
    """Samplers at work; tells of those that failed meanwhile."""
    with contextlib.ExitStack() as stack:
        samplers = [stack.enter_context(Sampler(sensor)) for sensor in sensors]
        yield samplers
    for sampler in samplers:
        if sampler.trouble is not None:
            message = f"{entrant.title}: {sampler.trouble} What it would have told is left empty."
            report(Event("warning", STAGE, {"message": message}))


def _warm_up(worker: WorkerProcess, entrant: Entrant, settings: BenchmarkSettings) -> None:
    seconds = settings.warmup_seconds
    worker.ask("warm_up", seconds, seconds=seconds, sizes=[entrant.candidate.batch])


def _read_all(samplers: Sequence[Sampler]) -> None:
    for sampler in samplers:
        sampler.read_now()


class _OwnTime:
    """Processor seconds of this process and a worker's since construction."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._before = self._now()

    def seconds(self) -> float:
        return self._now() - self._before

    def _now(self) -> float:
        return time.process_time() + self._worker.cpu_seconds()


def _resident_mib(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return None
