"""A bundle, pictures and wheels on this side, an SSH server and a folder on the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ssh_server import SshServer
from temper.cli import main

QUICK = ("--seconds", "0.1", "--samples", "11", "--time-box", "1", "--threads", "1", "--driver", "temper")


@dataclass(frozen=True)
class Place:
    """A folder with ``data`` (4 pictures in val), ``small.temper``, ``wheels``, and ``far`` of the other machine."""

    folder: Path
    server: SshServer

    @property
    def far(self) -> Path:
        """The folder over there; several tests use the environment in it."""
        return self.folder / "far"

    def words(self, out: Path, *more: object) -> list[str]:
        """A whole command that works; later options win."""
        there = self.server
        python = getattr(sys, "_base_executable", sys.executable)
        words = [
            "bench", "remote", there.login, "--bundle", self.folder / "small.temper", "--data", self.folder / "data",
            "--out", out, "--identity", there.identity, "--known-hosts", there.known_hosts, "--remote-folder", self.far,
            "--python", python, "--wheels", self.folder / "wheels", *QUICK, *more,
        ]  # fmt: skip
        return [str(word) for word in words]

    def remote(self, out: Path, *more: object) -> int:
        """Run the command; gives its exit code."""
        return main(self.words(out, *more))

    def measuring(self, before: set[Path]) -> list[Path]:
        """The jobs over there that are new and have said something."""
        events = [job / "events.jsonl" for job in self.jobs() if job not in before]
        return [path.parent for path in events if path.exists() and path.stat().st_size]

    def jobs(self) -> list[Path]:
        """The folders of the jobs over there."""
        return sorted((self.far / "jobs").glob("*"))


def end_jobs(far: Path) -> None:
    """Kill whatever was left at work over there."""
    for job in far.glob("jobs/*/job.json"):
        with contextlib.suppress(KeyError, OSError, ValueError):
            pid = json.loads(job.read_text())["pid"]
            if str(far) in Path(f"/proc/{pid}/cmdline").read_text():
                os.killpg(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that is about to happen."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
