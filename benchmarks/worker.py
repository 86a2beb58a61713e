"""The process that runs one candidate: ``python -m temper.benchmarks.worker``.

It reads one JSON command a line from standard input and answers each with one JSON line on standard output:

=========== ======================================================== ==========================================
command     fields                                                   answer
=========== ======================================================== ==========================================
``load``    bundle, variant, runtime, batch, threads, pictures,      ``loaded``: durations, memory, versions
            public_key or null, weights of Paddle or null
``warm_up`` seconds, sizes (pictures in a call)                      ``warm``: calls made, whether stable, median
``measure`` load (see ``scenarios/load.py``), driver                 ``round``: durations of each stage in ms, how many
                                                                     pictures in how long, late and dropped frames,
                                                                     threads that took processor time
``run_on``  seconds                                                  ``ran``: when it began and ended on the system's
                                                                     monotonic clock, pictures, duration of every call
``finish``                                                           ``finished``: peak memory; then it ends
=========== ======================================================== ==========================================

What the user can mend comes back as ``error``, anything else as ``crashed``. The process ends with its
parent: at the end of standard input, and by a signal from the kernel should the parent be killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import psutil

from ..bundle.loader import open_bundle
from ..core.errors import TemperError
from ..deploy.detector import BundleDetector
from ..deploy.stages import STAGES, StageTimes
from .candidate import Candidate
from .paddle_reference import load_candidate
from .scenarios.line import drive_line
from .scenarios.load import Load, Turn
from .scenarios.loadgen import drive_loadgen
from .scenarios.streams import drive_streams

#: Calls at the start of every turn that are not counted: the others' turns have emptied the caches.
SETTLING_CALLS = 2
#: A warm-up window lasts at least this long and this many calls; two in a row within the tolerance are "stable".
WINDOW_SECONDS = 0.2
WINDOW_CALLS = 5
WINDOW_TOLERANCE = 0.03
#: A thread worked in a turn if it took this share of the busiest one's processor time.
WORKING_SHARE = 0.1

Answer = dict[str, Any]


class Session:
    """One candidate, from loading to its last measurement."""

    def __init__(self) -> None:
        self._detector: BundleDetector | None = None
        self._pictures: list[bytes] = []
        self._batch = 1
        self._next = 0

    def load(self, command: dict[str, Any]) -> Answer:
        """Open the bundle, load the graph and make the first call, each timed."""
        key = command.get("public_key")
        bundle = open_bundle(Path(command["bundle"]), None if key is None else Path(key))
        if bundle.manifest_sha256 != command["manifest_sha256"]:
            raise TemperError(f"The bundle {bundle.path} was replaced while it was measured. Measure it again.")
        variant = bundle.variant(command["variant"])
        self._pictures = [Path(path).read_bytes() for path in command["pictures"]]
        self._batch = int(command["batch"])
        idle_memory = peak_memory_mib()
        started = time.perf_counter()
        weights = command.get("weights")
        candidate = Candidate(
            bundle.path,
            variant.name,
            command["runtime"],
            self._batch,
            command["threads"],
            weights=None if weights is None else Path(weights),
        )
        runtime = load_candidate(candidate, bundle, variant)
        self._detector = BundleDetector(bundle, variant, runtime)
        loaded = time.perf_counter()
        first_call = self._next_call()
        return {
            "kind": "loaded",
            "load_ms": 1000 * (loaded - started),
            "first_call_ms": first_call["end_to_end"],
            "idle_memory_mib": idle_memory,
            "runtime_version": runtime.version,
        }

    def warm_up(self, command: dict[str, Any]) -> Answer:
        """Call until two windows in a row are equally fast, at most ``seconds`` long."""
        for size in command["sizes"]:  # some runtimes compile for every size they meet
            self._call(range(size))
        deadline = time.perf_counter() + command["seconds"]
        calls, previous, current, stable = len(command["sizes"]), 0.0, 0.0, False
        while not stable and time.perf_counter() < deadline:
            window = self._window(deadline)
            calls += len(window)
            current = statistics.median(window)
            stable = abs(current - previous) <= WINDOW_TOLERANCE * current
            previous = current
        return {"kind": "warm", "calls": calls, "stable": stable, "p50_ms": current}

    def measure(self, command: dict[str, Any]) -> Answer:
        """One turn of a scenario."""
        for _ in range(SETTLING_CALLS):
            self._next_call()
        load = Load(**command["load"])
        before = _thread_seconds()
        turn = self._drive(load, command["driver"])
        threads = _threads_at_work(before, _thread_seconds())
        self._next = (self._next + turn.images) % len(self._pictures)
        stages = [stage for stage in STAGES if stage in turn.samples[0]]
        return {
            "kind": "round",
            "samples_ms": {stage: [sample[stage] for sample in turn.samples] for stage in stages},
            **{name: getattr(turn, name) for name in ("images", "seconds", "late", "dropped")},
            "threads_at_work": threads,
        }

    def run_on(self, command: dict[str, Any]) -> Answer:
        """Call after call with nothing between them, for so many seconds; at least one."""
        durations: list[float] = []
        # one clock for all processes, so that the parent knows which readings of its sensors belong to this
        started = ended = time.monotonic()
        while ended - started < command["seconds"]:
            durations.append(round(self._next_call()["end_to_end"], 4))
            ended = time.monotonic()
        return {
            "kind": "ran",
            "started": started,
            "ended": ended,
            "frames": len(durations) * self._batch,
            "durations_ms": durations,
        }

    def finish(self, command: dict[str, Any]) -> Answer:
        """The most memory that was in use."""
        return {"kind": "finished", "peak_memory_mib": peak_memory_mib()}

    def _drive(self, load: Load, driver: str) -> Turn:
        if load.scenario == "line":
            return drive_line(self._call, load, self._next)
        return (drive_loadgen if driver == "loadgen" else drive_streams)(self._call, load, self._next)

    def _window(self, deadline: float) -> list[float]:
        """End-to-end milliseconds of one window of the warm-up; at least one."""
        enough = time.perf_counter() + WINDOW_SECONDS
        window: list[float] = []
        while (now := time.perf_counter()) < enough or len(window) < WINDOW_CALLS:
            if window and now >= deadline:
                break
            window.append(self._next_call()["end_to_end"])
        return window

    def _next_call(self) -> StageTimes:
        """A call with the next pictures."""
        numbers = range(self._next, self._next + self._batch)
        self._next = (self._next + self._batch) % max(1, len(self._pictures))
        return self._call(numbers)

    def _call(self, numbers: Sequence[int]) -> StageTimes:
        """Milliseconds by stage of one call with these pictures, counted on from the first after the last."""
        if self._detector is None:
            raise RuntimeError("measured before 'load'")
        times: StageTimes = {}
        self._detector.detect_encoded([self._pictures[i % len(self._pictures)] for i in numbers], times)
        return times


def main() -> None:
    """Answer commands until standard input ends or ``finish`` was answered."""
    die_with_parent()
    channel = private_stdout()
    session = Session()
    handlers: dict[str, Callable[[dict[str, Any]], Answer]] = {
        "load": session.load,
        "warm_up": session.warm_up,
        "measure": session.measure,
        "run_on": session.run_on,
        "finish": session.finish,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = handlers[command["command"]](command)
        except TemperError as error:
            answer = {"kind": "error", "message": str(error)}
        except Exception:  # whatever it is, the parent has to hear of it
            answer = {"kind": "crashed", "message": traceback.format_exc()}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()
        if answer["kind"] in ("finished", "error", "crashed"):
            return


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux; elsewhere the end of stdin must do)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def private_stdout() -> TextIO:
    """The way back to the parent, out of reach of libraries that print: their output goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def peak_memory_mib() -> float | None:
    """The most resident memory this process ever had, in MiB; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _thread_seconds() -> dict[int, float]:
    """Processor seconds of each thread of this process so far; none where the system does not tell."""
    try:
        return {one.id: one.user_time + one.system_time for one in psutil.Process().threads()}
    except (psutil.Error, OSError):
        return {}


def _threads_at_work(before: dict[int, float], after: dict[int, float]) -> int | None:
    """How many threads worked in between; None where the turn was too short for the system's clock to tell."""
    spent = [seconds - before.get(thread, 0.0) for thread, seconds in after.items()]
    busiest = max(spent, default=0.0)
    return sum(seconds >= WORKING_SHARE * busiest for seconds in spent) if busiest > 0 else None


if __name__ == "__main__":
    main()
