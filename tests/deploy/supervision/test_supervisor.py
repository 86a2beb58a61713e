"""A supervisor with real processes: crash, hang and clean end, restarts, the drain, and no orphan."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from running_supervisor import QUICK, Running, lines, part, pids, until
from temper.deploy.supervision import process as process_module
from temper.deploy.supervision import supervisor as module
from temper.deploy.supervision.part import Part
from temper.deploy.supervision.supervisor import Supervisor

TESTS = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*parts: Part, **options: object) -> Running:
        options.setdefault("limits", QUICK)
        running.append(Running(Supervisor(parts, tmp_path / "state", **options)))  # type: ignore[arg-type]
        return running[-1]

    yield start
    for one in running:
        one.finish()


def test_parts_that_end_end_the_service(run: Callable[..., Running], log: Path) -> None:
    running = run(part("brief", log))
    running.thread.join(20)
    assert not running.thread.is_alive()
    assert running.well
    assert len(lines(log)) == 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("signal", "It was killed by SIGSEGV."),
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
    assert set(state["parts"]["part"]) == {"state", "pid", "since", "restarts", "reason", "last_failure"}
    assert state["parts"]["part"]["last_failure"]["reason"] == reason
    until(lambda: watched.state == "given_up")
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


def test_what_is_given_up_leaves_the_others_alone(run: Callable[..., Running], log: Path, tmp_path: Path) -> None:
    limits = replace(QUICK, for_ever=True)
    good = tmp_path / "good"
    running = run(part("crash", log, "bad", arguments={"how": "sentence"}), part("steady", good), limits=limits)
    bad, steady = running.supervisor.parts
    until(lambda: bad.state == "given_up")
    until(lambda: steady.state == "running")
    assert bad.reason == "The engine does not load."
    assert len(lines(log)) == QUICK.restarts + 1
    assert steady.restarts == 0
    running.finish()
    assert lines(good)[-1].startswith("steady stopped")


def test_a_sign_of_life_that_is_never_given_is_a_hang(run: Callable[..., Running], log: Path) -> None:
    running = run(part("silent", log, hang_seconds=1.0))
    until(lambda: running.supervisor.parts[0].restarts >= 1)
    assert "It hung: steady gave no sign of life" in str(running.supervisor.parts[0].reason)


def test_a_thread_that_has_done_its_work_does_not_hang(run: Callable[..., Running], log: Path) -> None:
    running = run(part("partly_done", log, beats=("steady", "done"), hang_seconds=1.5))
    until(lambda: running.supervisor.parts[0].state == "running")
    time.sleep(3.0)
    assert running.supervisor.parts[0].restarts == 0


def test_who_follows_stops_when_the_first_has_ended(run: Callable[..., Running], log: Path) -> None:
    running = run(part("sources_end", log, "inspection"), part("steady", log, follows="inspection"))
    running.thread.join(30)
    assert not running.thread.is_alive()
    assert running.well
    assert lines(log)[-1].startswith("steady stopped"), "it finished what it had"


def test_a_part_that_is_slow_to_stop_keeps_nobody_unwatched(run: Callable[..., Running], log: Path) -> None:
    """One part is asked to stop for its memory and does not; meanwhile another crashes and is back."""
    slow = part("stubborn", log, "slow", memory_bytes=1 << 20, stop_seconds=60.0)
    running = run(slow, part("steady", log, "other", beats=("other",), arguments={"name": "other"}))
    first, other = running.supervisor.parts
    until(lambda: first.state == "stopping" and other.state == "running")
    assert other.process is not None
    os.kill(other.process.pid, signal.SIGKILL)
    until(lambda: other.restarts == 1 and other.state == "running", 30)
    assert first.state == "stopping"
    assert first.ending is not None
    first.ending.until = 0.0


def test_what_a_part_started_ends_with_it(run: Callable[..., Running], log: Path) -> None:
    running = run(part("with_grandchild", log))
    until(lambda: running.supervisor.parts[0].state == "running")
    leader, grandchild = pids(log)[0], int(lines(log)[1].split()[1])
    os.kill(leader, signal.SIGKILL)
    until(lambda: not alive(grandchild), 10)


def test_a_system_that_starts_no_process_is_tried_again(
    run: Callable[..., Running], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = subprocess.Popen, [0]

    def popen(*words: object, **options: object) -> object:
        tries[0] += 1
        if tries[0] < 3:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(*words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(process_module.subprocess, "Popen", popen)
    before = len(os.listdir("/proc/self/fd"))
    running = run(part("steady", log))
    until(lambda: running.supervisor.parts[0].state == "running")
    assert running.supervisor.parts[0].restarts == 2
    assert "It cannot be started" in running.supervisor.parts[0].last_failure["reason"]  # type: ignore[index]
    running.finish()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_part_does_not_import_what_lies_in_the_working_folder(
    run: Callable[..., Running], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cwd"
    place.mkdir()
    (place / "faulthandler.py").write_text("raise SystemExit('a file of the user was imported')")
    (place / "queue.py").write_text("raise SystemExit('a file of the user was imported')")
    (place / "temper").mkdir()
    (place / "temper" / "__init__.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(place)
    running = run(part("steady", log))
    until(lambda: running.supervisor.parts[0].state == "running" or running.supervisor.parts[0].restarts > 0)
    assert running.supervisor.parts[0].reason is None


def test_a_password_is_neither_in_the_log_nor_in_the_state(
    run: Callable[..., Running], log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    running = run(part("secretive", log))
    until(lambda: running.supervisor.parts[0].restarts >= 1)
    running.finish()
    told = capfd.readouterr().err
    assert "part temper.secretive: no answer of rtsp://user:***@10.0.0.7/live\n" in told
    state = (tmp_path / "state" / "state.json").read_text()
    assert "rtsp://user:***@10.0.0.7/live does not answer." in state
    assert "hunter2" not in told + state


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has waited for yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
