"""Training one model in several processes of this machine: one per GPU, or several on the CPU.

Paddle's own launcher starts them. They do nothing but the training; everything else of a run, its lock and its display
stay here. Each process runs the hidden command ``temper distill rank``, the first one tells its events in a file that
is read here, and all end when this process does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import TemperError, UsageError
from ..core.events import Event, Reporter
from ..core.files import MAX_RECORD_BYTES, PARTIAL_SUFFIX, read_json
from ..distill.cpu import threads_told
from .folder import RunFolder

if TYPE_CHECKING:
    from ..distill.training.job import TrainingRecord

#: In the folder through which the processes talk to this one.
EVENTS_NAME = "events.jsonl"
_LAUNCHER_LOG = "launcher.log"
_POLL_SECONDS = 0.1
#: How long the processes get to end by themselves.
_GRACE_SECONDS = 10
_FAILED = re.compile(r"Container rank (\d+) status failed .* code (-?\d+) log ")


@dataclass(frozen=True)
class Devices:
    """What a training is spread over.

    Attributes:
        gpus: the numbers of this machine's GPUs, one process each.
        processes: on the CPU, where ``gpus`` is empty.
    """

    gpus: tuple[int, ...] = ()
    processes: int = 1

    @property
    def count(self) -> int:
        """How many processes train together."""
        return len(self.gpus) or self.processes


def gpu_labels(numbers: Sequence[int]) -> list[str]:
    """What the system calls GPUs that are counted from 0 among those this process may see.

    ``CUDA_VISIBLE_DEVICES`` (set by a cluster's scheduler, for one) names those; Paddle counts them, and its launcher
    and the variable itself want their names.

    Raises:
        UsageError: if there are not so many.
    """
    visible = [label for label in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if label.strip()]
    if not visible:
        return [str(number) for number in numbers]
    missing = [str(number) for number in numbers if number >= len(visible)]
    if missing:
        raise UsageError(
            f"There is no GPU {', '.join(missing)}: CUDA_VISIBLE_DEVICES lets {len(visible)} be seen "
            f"({', '.join(visible)}), and they are counted from 0."
        )
    return [visible[number].strip() for number in numbers]


def failure_path(folder: Path, rank: int) -> Path:
    """Where a process leaves word of why it ended."""
    return folder / f"rank-{rank}.json"


def train_together(run: RunFolder, model: str, devices: Devices, report: Reporter) -> TrainingRecord:
    """Train one of a run's models in several processes.

    Args:
        run: its folder, with the recipe in it; the stages the training reads are done.
        model: teacher, student or distilled.
        devices: two or more of them.
        report: hears what the first process tells.

    Raises:
        TemperError: what one of them could not do, or that one has died; the others are stopped.
    """
    from ..distill.training.job import RECORD_NAME, TrainingRecord

    meeting = (
        "While they train, Paddle's processes meet at ports that are open on all interfaces of this machine: keep it "
        "behind a firewall."
    )
    report(Event("note", model, {"message": meeting}))
    # in the run's folder, where the next start clears it away should this process be killed; for this user's eyes alone
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".ranks.", suffix=PARTIAL_SUFFIX) as name:
        talk = Path(name)
        events = _Events(talk / EVENTS_NAME, report)
        with _launched(run, model, devices, talk) as launcher:
            while launcher.poll() is None:
                events.relay()
                time.sleep(_POLL_SECONDS)
            events.relay()
        if launcher.returncode:
            raise _failure(talk, model, devices.count)
    return TrainingRecord(**read_json(run.stage(model) / RECORD_NAME, MAX_RECORD_BYTES))


@contextlib.contextmanager
def _launched(run: RunFolder, model: str, devices: Devices, talk: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Paddle's launcher at work, in a session of its own: Ctrl-C reaches this process alone, which then stops it."""
    place = ["--gpus", ",".join(gpu_labels(devices.gpus))] if devices.gpus else []
    rank = [sys.executable, "-m", __name__.partition(".")[0], "distill", "rank", str(run.path), model]
    command = [sys.executable, "-m", "paddle.distributed.launch", *place, "--nproc_per_node", str(devices.count)]
    command += ["--log_dir", str(talk), *rank, "--talk", str(talk)]
    threads = max(1, threads_told(1) // devices.count)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if not devices.gpus:
        environment["PADDLE_DISTRI_BACKEND"] = "gloo"
    with (talk / _LAUNCHER_LOG).open("wb") as log:
        # the ranks inherit the other end of its input, and end when this process has, in whatever way
        launcher = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield launcher
    finally:
        _stop(launcher)


def _stop(launcher: subprocess.Popen[bytes]) -> None:
    assert launcher.stdin is not None
    launcher.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        launcher.wait(_GRACE_SECONDS)
    if launcher.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()


class _Events:
    """Hands on what the first process has written since the last look."""

    def __init__(self, path: Path, report: Reporter) -> None:
        self.path, self.report, self.read = path, report, 0

    def relay(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            told = json.loads(line)
            self.report(Event(told["kind"], told["stage"], told["data"]))


def _failure(talk: Path, model: str, count: int) -> Exception:
    """What to raise: what a process said of itself, or else which one has died."""
    said: dict[int, dict[str, Any]] = {}
    for rank in range(count):
        with contextlib.suppress(TemperError):
            said[rank] = read_json(failure_path(talk, rank), MAX_RECORD_BYTES)
    for rank, word in said.items():
        if word["kind"] == "bug":
            error = RuntimeError(f"training process {rank + 1} of {count}: {word['message']}")
            error.__cause__ = RuntimeError(word["traceback"])
            return error
        if word["kind"] != "lost":
            return (UsageError if word["kind"] == "usage" else TemperError)(word["message"])
    log = (talk / _LAUNCHER_LOG).read_text(encoding="utf-8", errors="replace")
    silent = [rank for rank in range(count) if rank not in said]
    codes = {int(rank): int(code) for rank, code in _FAILED.findall(log)}
    dead = next((rank for rank in codes if rank in silent), silent[0] if silent else 0)
    how = _how_it_ended(codes.get(dead))
    return TemperError(
        f"Process {dead + 1} of the {count} that trained the {model} {how}, and the others were stopped. What was "
        "reached is in the last checkpoint; the same command goes on from there."
    )


def _how_it_ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "was killed (by the system, if it ran out of memory)"
    if code is not None and code < 0:
        return f"was ended by signal {-code}"
    return "ended unexpectedly" + (f" with exit code {code}" if code is not None else "")
