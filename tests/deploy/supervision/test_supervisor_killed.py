"""A supervisor in a process of its own: killed, stopped and woken, ended by signals, and with the clock set."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from running_supervisor import lines, until

TESTS = Path(__file__).parents[2]
#: In the environment of all processes of one test, so that none escapes notice.
MARK = "TEMPER_TEST_MARK"
#: How often the supervisor is killed.
KILLS = int(os.environ.get("TEMPER_TEST_KILLS", "8"))


class Service:
    """A supervisor with two parts in a process of its own."""

    def __init__(self, folder: Path, function: str, **environment: str) -> None:
        self.folder, self.log, self.mark = folder, folder / "parts.log", uuid4().hex
        folder.mkdir(parents=True)
        code = f"import supervised_parts; supervised_parts.{function}({str(folder / 'state')!r}, {str(self.log)!r})"
        env = {**os.environ, "PYTHONPATH": str(TESTS), MARK: self.mark, **environment}
        with (folder / "err").open("w") as err:
            self.process = subprocess.Popen([sys.executable, "-c", code], env=env, stderr=err)

    @property
    def told(self) -> str:
        return (self.folder / "err").read_text(encoding="utf-8")

    def parts(self) -> dict[str, dict[str, object]]:
        try:
            told: dict[str, dict[str, dict[str, object]]] = json.loads((self.folder / "state/state.json").read_text())
        except FileNotFoundError:
            return {}
        return told["parts"]

    def running(self) -> bool:
        return bool(self.parts()) and all(part["state"] == "running" for part in self.parts().values())

    def restarts(self) -> list[object]:
        return [part["restarts"] for part in self.parts().values()]

    def alive(self) -> list[int]:
        """All processes that carry its mark, but zombies."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(function: str = "supervise_until_stopped", **environment: str) -> Service:
        services.append(Service(tmp_path / f"service-{len(services)}", function, **environment))
        return services[-1]

    yield start
    for service in services:
        service.process.send_signal(signal.SIGCONT)
        service.process.kill()
        service.process.wait()
        for pid in service.alive():
            os.kill(pid, signal.SIGKILL)


def test_no_part_outlives_a_supervisor_that_is_killed(serve: Callable[..., Service]) -> None:
    """At any moment: before the parts are there, while they load, and while they work."""
    rng = random.Random(1)
    longest = 0.0
    for _ in range(KILLS):
        service = serve("supervise")
        time.sleep(rng.uniform(0.0, 2.5))
        service.process.kill()
        service.process.wait()
        killed = time.monotonic()
        until(lambda service=service: not service.alive(), 10.0)  # type: ignore[misc]
        longest = max(longest, time.monotonic() - killed)
    print(f"{KILLS} kills, the last part was gone after {longest:.2f} s at most")


def test_signals_end_all_in_order(serve: Callable[..., Service]) -> None:
    service = serve()
    until(service.running)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
    assert [line.split()[0] for line in lines(service.log) if "stopped" in line] == ["one", "two"]
    assert not service.alive()
    told = json.loads((service.folder / "state/state.json").read_text())
    assert told["state"] == "stopped"
    assert all(part["pid"] is None for part in told["parts"].values())


def test_a_supervisor_that_was_stopped_and_goes_on_ends_nobody(serve: Callable[..., Service]) -> None:
    """All of its processes are stopped for longer than a hang takes, as a debugger or a container's freezer does."""
    service = serve()
    until(service.running)
    everyone = service.alive()
    assert len(everyone) == 3
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(6.0)
    # the supervisor first, so that it could see old signs of life
    os.kill(service.process.pid, signal.SIGCONT)
    until(lambda: "this process did not run for" in service.told)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    time.sleep(2.0)
    assert service.restarts() == [0, 0]
    assert sorted(service.alive()) == sorted(everyone)


def faketime() -> str | None:
    """The library that sets the clock of the day for one process."""
    found = shutil.which("faketime")
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        for library in sorted(folder.glob("**/faketime/libfaketimeMT.so.1")):
            return str(library) if found else None
    return None


@pytest.mark.skipif(faketime() is None, reason="libfaketime is not installed")
def test_setting_the_clock_is_no_hang(serve: Callable[..., Service], tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    service = serve(
        LD_PRELOAD=str(faketime()),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    until(service.running)
    for offset in ("+3h", "-3h", "+0", "-40", "+400d"):
        clock.write_text(offset)
        time.sleep(1.2)
    assert service.restarts() == [0, 0]
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
    first, last = (datetime.fromisoformat(service.told.splitlines()[place][:10]) for place in (0, -1))
    assert (last - first).days >= 399, "the clock was set, where the service asks for it"
    assert [line.split()[0] for line in lines(service.log) if "stopped" in line] == ["one", "two"]
