"""Running supervisors for tests, with parts from ``supervised_parts``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from temper.deploy.supervision.part import Limits, Part
from temper.deploy.supervision.supervisor import Supervisor

QUICK = Limits(restarts=3, window_seconds=60, first_seconds=0.05, most_seconds=0.2, slow_seconds=1.0)


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
