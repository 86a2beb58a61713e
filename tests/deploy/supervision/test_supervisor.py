"""A supervisor with real processes: crash, hang and clean end, restarts, the drain, and no orphan."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from temper.deploy.supervision import supervisor as module
from temper.deploy.supervision.part import Limits, Part
from temper.deploy.supervision.supervisor import Supervisor

QUICK = Limits(restarts=3, window_seconds=60, first_seconds=0.05, most_seconds=0.2, slow_seconds=1.0)
TESTS = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


class Running:
    """A supervisor in a thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor, self.stop, self.well = supervisor, threading.Event(), False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.well = self.supervisor.run(self.stop)

    def finish(self) -> bool:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.well


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*parts: Part, **options: object) -> Running:
        running.append(Running(Supervisor(parts, tmp_path / "state", limits=QUICK, **options)))  # type: ignore[arg-type]
        return running[-1]

    yield start
    for one in running:
        one.finish()


def part(factory: str, log: Path, name: str = "part", **changed: object) -> Part:
    arguments = {"log": str(log), **changed.pop("arguments", {})}  # type: ignore[dict-item]
    settings = {"beats": ("steady",), "hang_seconds": 5.0, "start_seconds": 60.0, "stop_seconds": 5.0, **changed}
    return Part(name, f"supervised_parts:{factory}", arguments, **settings)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def pids(log: Path) -> list[int]:
    return [int(line.split()[-1]) for line in lines(log)]


def test_parts_that_end_end_the_service(run: Callable[..., Running], log: Path) -> None:
    running = run(part("brief", log))
    running.thread.join(20)
    assert not running.thread.is_alive()
    assert running.well
    assert len(lines(log)) == 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("signal", "It ended with killed by SIGSEGV."),
        ("sentence", "The engine does not load."),
        ("bug", "RuntimeError: a bug"),
    ],
)
def test_a_crash_is_told_and_the_part_starts_anew(
    run: Callable[..., Running], log: Path, tmp_path: Path, how: str, reason: str
) -> None:
    running = run(part("crash", log, arguments={"how": how}))
    until(lambda: len(lines(log)) >= 3)
    watched = running.supervisor.parts[0]
    assert watched.reason in (reason, None)
    until(lambda: watched.restarts >= 4)
    state = json.loads((tmp_path / "state" / "state.json").read_text())
    assert state["pid"] == os.getpid()
    assert set(state["parts"]["part"]) == {"state", "pid", "seconds", "restarts", "reason"}
    before = len(lines(log))
    time.sleep(0.4)  # beyond the limit it is tried slowly, and not given up
    assert len(lines(log)) - before <= 1
    until(lambda: len(lines(log)) > before)


def test_a_mistake_in_the_configuration_is_tried_slowly(run: Callable[..., Running], log: Path) -> None:
    running = run(part("crash", log, arguments={"how": "usage"}))
    until(lambda: running.supervisor.parts[0].state == "misconfigured")
    assert running.supervisor.parts[0].reason == "There is no camera of that name."


@pytest.mark.parametrize("how", ["asleep", "stopped", "gil"])
def test_a_hang_is_ended_and_the_part_starts_anew(run: Callable[..., Running], log: Path, how: str) -> None:
    running = run(part("hang", log, arguments={"how": how}, hang_seconds=1.0))
    until(lambda: any(line.startswith("steady") for line in lines(log)))
    assert running.supervisor.parts[0].restarts == 1
    assert not psutil.pid_exists(pids(log)[0])
    running.finish()
    assert lines(log)[-1].startswith("steady stopped")


def test_a_part_that_never_gets_ready_hangs(run: Callable[..., Running], log: Path) -> None:
    running = run(part("never_ready", log, start_seconds=1.5))
    until(lambda: running.supervisor.parts[0].restarts >= 1)
    assert "start gave no sign of life" in str(running.supervisor.parts[0].reason)


def test_parts_stop_in_order_and_what_does_not_stop_is_ended(run: Callable[..., Running], log: Path) -> None:
    parts = [part("steady", log, name, beats=(name,), arguments={"name": name}) for name in ("first", "second")]
    running = run(*parts, part("stubborn", log, "third", stop_seconds=0.5))
    until(lambda: all(watched.state == "running" for watched in running.supervisor.parts))
    running.finish()
    stopped = [line.split()[0] for line in lines(log) if "stopped" in line]
    assert stopped == ["first", "second"]
    assert not any(psutil.pid_exists(pid) for pid in pids(log))


def test_too_much_memory_is_an_orderly_restart(run: Callable[..., Running], log: Path) -> None:
    running = run(part("greedy", log, memory_bytes=250 << 20))
    until(lambda: len([line for line in lines(log) if "started" in line]) == 2)
    assert any(line.startswith("greedy stopped") for line in lines(log)), "it finished what it had"
    until(lambda: running.supervisor.parts[0].state == "running")
    assert running.supervisor.parts[0].restarts == 1


def test_a_supervisor_that_slept_itself_ends_nobody(
    run: Callable[..., Running], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLEPT_SECONDS", 0.8)
    held = threading.Event()
    running = run(part("steady", log, hang_seconds=1.0), look=lambda: time.sleep(1.5) if held.is_set() else None)
    until(lambda: running.supervisor.parts[0].state == "running")
    child = pids(log)[0]
    os.kill(child, signal.SIGSTOP)
    held.set()
    time.sleep(2.0)
    held.clear()
    os.kill(child, signal.SIGCONT)
    time.sleep(1.0)
    assert running.supervisor.parts[0].restarts == 0


def test_no_part_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    rng = random.Random(1)
    for turn in range(6):
        log = tmp_path / f"log-{turn}"
        code = f"import supervised_parts; supervised_parts.supervise({str(tmp_path / f's{turn}')!r}, {str(log)!r})"
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            until(lambda log=log: len(lines(log)) >= 1)  # type: ignore[misc]
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
        until(lambda log=log: not any(psutil.pid_exists(pid) for pid in pids(log)), 5.0)  # type: ignore[misc]
