"""Latency of several candidates, each in a process of its own, taking turns."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from ..core.errors import TemperError
from ..core.events import Event, Reporter
from ..deploy.runtimes.load import runtime_kind
from .candidate import Entrant
from .machine import LoadWatch, OutsideLoad
from .measurement import STAGES, BenchmarkSettings, FootprintRow, LatencyRow, summarise

STAGE = "benchmark"
#: The longest that a runtime may build an engine while it loads.
BUILD_SECONDS = 3600.0


class WorkerProcess:
    """The child that runs one candidate; use it in a ``with`` block, which never leaves it behind.

    Args:
        title: what it measures, for messages.
        answer_seconds: how long it may be silent beyond its task.
        module: what it runs, and with which arguments; it reads and answers as ``worker`` does.
        environment: of the child, this process's own if None.
    """

    def __init__(
        self,
        title: str,
        answer_seconds: float,
        module: Sequence[str] = ("temper.benchmarks.worker",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._title = title
        self._answer_seconds = answer_seconds
        self._module = module
        self._environment = os.environ if environment is None else environment
        self._buffer = b""

    def __enter__(self) -> WorkerProcess:
        self._words = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            # Ctrl-C is for the parent, which then ends its children
            start_new_session=True,
            # the folder one happens to stand in must not shadow installed packages
            env={**self._environment, "PYTHONSAFEPATH": "1"},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._words.close()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def ask(self, command: str, task_seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Send one command and wait for its answer, asleep.

        Args:
            command: see ``worker``.
            task_seconds: how long the task itself may take.
            **fields: of the command.

        Raises:
            TemperError: if the candidate cannot be measured, its process ends or it does not answer in time.
        """
        line = json.dumps({"command": command, **fields}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        answer: dict[str, Any] = json.loads(self._read_line(task_seconds + self._answer_seconds))
        if answer["kind"] == "error":
            raise TemperError(f"{self._title}: {answer['message']}")
        if answer["kind"] == "crashed":
            raise RuntimeError(f"the process that measures {self._title} crashed:\n{answer['message']}")
        return answer

    def cpu_seconds(self) -> float:
        """Processor time that the child has used so far."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def _read_line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        poller = select.poll()
        poller.register(self._process.stdout, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(1000 * left):
                raise TemperError(
                    f"{self._title} gave no answer within {seconds:.0f} s and was ended. "
                    "Take fewer threads or a smaller batch, or leave it out."
                )
            block = os.read(self._process.stdout.fileno(), 1 << 20)
            if not block:
                raise self._ended()
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ended(self) -> TemperError:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return TemperError(
                f"The process that measures {self._title} was killed, most likely because memory ran out. "
                "Take a smaller batch, or measure fewer bundles at once."
            )
        self._words.seek(0)
        words = self._words.read().decode("utf-8", errors="replace").strip().splitlines()
        last = f" Its last words: {words[-1]}" if words else ""
        return TemperError(f"The process that measures {self._title} ended with code {code}.{last}")


@dataclass
class _Turn:
    """An entrant, its process, and what has been measured of it."""

    entrant: Entrant
    worker: WorkerProcess
    loaded: dict[str, Any]
    warm: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, list[float]]] = field(default_factory=list)
    seconds: float = 0.0


def measure_latency(
    entrants: Sequence[Entrant], pictures: Sequence[Path], settings: BenchmarkSettings, report: Reporter
) -> tuple[list[LatencyRow], list[FootprintRow], OutsideLoad]:
    """Measure the entrants in turn; those with one batch size are held against each other in the same rounds.

    Args:
        entrants: what to measure.
        pictures: encoded picture files that every entrant cycles through, in order.
        settings: how long and how often.
        report: hears of the progress.

    Returns:
        A latency row and a footprint row per entrant, in their order, and what others did to the processors meanwhile.

    Raises:
        TemperError: if an entrant cannot be measured.
    """
    batches = sorted({entrant.candidate.batch for entrant in entrants})
    total = sum((settings.rounds + 2) for _ in entrants)
    progress = _Progress(report, total)
    watch, own_seconds, rows = LoadWatch(), time.process_time(), {}
    children_seconds = 0.0
    for batch in batches:
        group = [entrant for entrant in entrants if entrant.candidate.batch == batch]
        measured, used = _measure_group(group, pictures, settings, progress)
        children_seconds += used
        rows.update({id(entrant): row for entrant, row in zip(group, measured, strict=True)})
    outside = watch.finish(time.process_time() - own_seconds + children_seconds)
    ordered = [rows[id(entrant)] for entrant in entrants]
    return [latency for latency, _ in ordered], [footprint for _, footprint in ordered], outside


class _Progress:
    def __init__(self, report: Reporter, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def step(self) -> None:
        self._done += 1
        self._report(Event("step", STAGE, {"done": self._done, "total": self._total, "unit": "turns"}))


def _measure_group(
    entrants: Sequence[Entrant], pictures: Sequence[Path], settings: BenchmarkSettings, progress: _Progress
) -> tuple[list[tuple[LatencyRow, FootprintRow]], float]:
    with contextlib.ExitStack() as stack:
        turns = []
        for entrant in entrants:
            worker = stack.enter_context(WorkerProcess(entrant.title, settings.answer_seconds))
            candidate = entrant.candidate
            builds = runtime_kind(candidate.runtime).builds
            # a zip has been unpacked already; but an engine lies beside the zip
            path = entrant.bundle.path if builds else entrant.bundle.folder
            loaded = worker.ask(
                "load",
                BUILD_SECONDS if builds else 0.0,
                bundle=str(path.resolve()),
                variant=candidate.variant,
                runtime=candidate.runtime,
                batch=candidate.batch,
                threads=candidate.threads,
                public_key=None if candidate.public_key is None else str(candidate.public_key.resolve()),
                pictures=[str(path) for path in pictures],
            )
            turns.append(_Turn(entrant, worker, loaded))
            progress.step()
        for turn in turns:
            turn.warm = turn.worker.ask("warm_up", settings.warmup_seconds, seconds=settings.warmup_seconds)
            progress.step()
        for number in range(settings.rounds):
            # each round begins with another one, so that none always runs after the same neighbour's heat
            first = number % len(turns)
            for turn in turns[first:] + turns[:first]:
                _take_turn(turn, settings)
                progress.step()
        used = sum(turn.worker.cpu_seconds() for turn in turns)
        finished = [turn.worker.ask("finish") for turn in turns]
    rows = [
        (_latency_row(turn, settings), _footprint_row(turn, last["peak_memory_mib"]))
        for turn, last in zip(turns, finished, strict=True)
    ]
    return rows, used


def _take_turn(turn: _Turn, settings: BenchmarkSettings) -> None:
    limit = settings.time_box_seconds / settings.rounds
    started = time.perf_counter()
    answer = turn.worker.ask(
        "measure",
        limit,
        seconds=settings.min_seconds / settings.rounds,
        samples=math.ceil(settings.min_samples / settings.rounds),
        limit_seconds=limit,
    )
    turn.seconds += time.perf_counter() - started
    turn.rounds.append(answer["samples_ms"])


def _latency_row(turn: _Turn, settings: BenchmarkSettings) -> LatencyRow:
    samples = {stage: [value for part in turn.rounds for value in part[stage]] for stage in STAGES}
    whole = samples["end_to_end"]
    candidate = turn.entrant.candidate
    return LatencyRow(
        subject=turn.entrant.subject,
        batch=candidate.batch,
        threads=candidate.threads,
        stages={stage: summarise(values) for stage, values in samples.items()},
        images_per_second=1000 * len(whole) * candidate.batch / sum(whole),
        warmup_calls=turn.warm["calls"],
        warmup_stable=turn.warm["stable"],
        round_p50_ms=tuple(statistics.median(part["end_to_end"]) for part in turn.rounds),
        complete=len(whole) >= settings.min_samples and turn.seconds >= settings.min_seconds,
        samples_ms={stage: [round(value, 4) for value in values] for stage, values in samples.items()},
    )


def _footprint_row(turn: _Turn, peak_memory_mib: float | None) -> FootprintRow:
    return FootprintRow(
        subject=turn.entrant.subject,
        batch=turn.entrant.candidate.batch,
        file_bytes=turn.entrant.variant.bytes,
        load_ms=turn.loaded["load_ms"],
        first_call_ms=turn.loaded["first_call_ms"],
        peak_memory_mib=peak_memory_mib,
        idle_memory_mib=turn.loaded["idle_memory_mib"],
        runtime_version=turn.loaded["runtime_version"],
    )
