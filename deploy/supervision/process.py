"""One part's process: started, asked whether it lives, stopped. Only :meth:`PartProcess.close` waits for it."""

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
from .pause import pause

#: That a killed process may take to be gone; only one that hangs in the kernel takes longer.
_GONE_SECONDS = 2.0
# not -m, which looks for modules in the working folder first: a random.py there is not for us
_START = f"import sys; sys.path[:] = filter(None, sys.path); from {__package__}.child import start; sys.exit(start())"


class PartProcess:
    """The process of a part, the leader of a group of its own.

    Args:
        part: what to run.
        board: of the service.
        lifeline: reading end of a pipe whose other end only the supervisor holds.
        now: ``time.monotonic()``.

    Raises:
        OSError: if the system starts no process.
    """

    def __init__(self, part: Part, board: Board, lifeline: int, now: float) -> None:
        self.part = part
        self.started = now
        self._board = board
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
                [sys.executable, "-c", _START, part.name],
                # not on the command line: everybody may read that, and orders can hold a camera's password
                stdin=subprocess.PIPE,
                pass_fds=(lifeline, told, *part.pass_fds),
                # a terminal's Ctrl-C is for the supervisor, which stops its parts in order
                start_new_session=True,
                cwd=Path.cwd(),
            )
        except BaseException:
            os.close(self._reason)
            raise
        finally:
            os.close(told)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as given:
            given.write(json.dumps(orders).encode())

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs. What it had started itself is ended with it."""
        if self._process.returncode is None and self._is_dead():
            # before its number is free for others
            self._signal_group(signal.SIGKILL)
            self._process.wait()
        return self._process.returncode

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

    def silent_beat(self, now: float) -> tuple[str, float] | None:
        """The name of a sign of life that is overdue, and for how long there was none; None if it lives.

        Args:
            now: ``time.monotonic()`` of a moment at which the caller is known to have run: if it is stopped right
                here and goes on later, nobody's silence has become longer by that.
        """
        since_ready = self._board.age(f"{self.part.name} ready", now)
        if since_ready is None:
            waited = now - self.started
            return ("start", waited) if waited > self.part.start_seconds else None
        for name in self.part.beats:
            age = self._board.age(name, now)
            age = since_ready if age is None else age
            if age > self.part.hang_seconds:
                return name, age
        return None

    def reason(self) -> str | None:
        """What it said when it ended, in a sentence; None if nothing."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reason, 4096).decode("utf-8", "replace") or None
        return None

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has."""
        self._signal(signal.SIGTERM)

    def abort(self) -> None:
        """End a process that hangs; it writes its stacks to the log if it can."""
        self._signal(signal.SIGABRT)

    def kill(self) -> None:
        """End it and what it started, whatever they do."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def close(self) -> None:
        """End it, and let go of what it was held by."""
        self.kill()
        until = time.monotonic() + _GONE_SECONDS
        while self.code is None and time.monotonic() < until:
            pause(0.005)
        with contextlib.suppress(OSError):
            os.close(self._reason)

    def _is_dead(self) -> bool:
        """Whether it has ended; it keeps its number until it is waited for."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has waited for it
            return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None and not self._is_dead():
            self._process.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def in_words(code: int) -> str:
    """How a process ended: ``killed by SIGSEGV``, ``exit code 3``."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
