"""One part's process: started, asked whether it lives, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from .board import Board
from .part import Part

#: After a hang is told to the process, so that it writes where it hangs.
_ABORT_SECONDS = 2.0


class PartProcess:
    """The process of a part.

    Args:
        part: what to run.
        board: of the service.
        lifeline: reading end of a pipe whose other end only the supervisor holds.
    """

    def __init__(self, part: Part, board: Board, lifeline: int) -> None:
        self.part = part
        self._board = board
        self.started = time.monotonic()
        board.clear((f"{part.name} ready", *part.beats))
        self._reason, told = os.pipe()
        os.set_blocking(self._reason, False)
        orders = {
            "name": part.name,
            "factory": part.factory,
            "arguments": part.arguments,
            "board": str(board.path),
            "parent": os.getpid(),
            "lifeline": lifeline,
            "reason": told,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.child"],
                # not on the command line: everybody may read that, and orders can hold a camera's password
                stdin=subprocess.PIPE,
                pass_fds=(lifeline, told, *part.pass_fds),
                # a terminal's Ctrl-C is for the supervisor, which stops its parts in order
                start_new_session=True,
                cwd=Path.cwd(),
            )
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError), self._process.stdin as given:
                given.write(json.dumps(orders).encode())
        finally:
            os.close(told)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    @property
    def ready(self) -> bool:
        """Whether it has said that it is at work."""
        return self._board.get(f"{self.part.name} ready") is not None

    @property
    def memory(self) -> int:
        """Its resident memory in bytes; 0 if it is gone."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    def silent_beat(self) -> tuple[str, float] | None:
        """The name of a sign of life that is overdue, and for how long there was none; None if it lives."""
        if not self.ready:
            waited = time.monotonic() - self.started
            return ("start", waited) if waited > self.part.start_seconds else None
        for name in self.part.beats:
            age = self._board.age(name)
            if age is not None and age > self.part.hang_seconds:
                return name, age
        return None

    def reason(self) -> str | None:
        """What it said when it ended, in a sentence; None if nothing."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reason, 4096).decode("utf-8", "replace") or None
        return None

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after at most ``seconds``."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def abort(self) -> None:
        """End a process that hangs; its stacks go to the log first."""
        if self.code is None:
            self._process.send_signal(signal.SIGABRT)
            self.wait(_ABORT_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self.code is None:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let go of what it was held by."""
        self.kill()
        with contextlib.suppress(OSError):
            os.close(self._reason)


def in_words(code: int) -> str:
    """How a process ended: ``killed by SIGSEGV``, ``exit code 3``."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
