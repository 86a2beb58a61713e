"""A process that measures one candidate, as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import psutil

from ..core.errors import TemperError


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
