"""Keeps the parts of a service alive: a crash, a hang and a clean end are three cases."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...core.errors import TemperError
from ...core.files import write_json
from .board import Board
from .part import Limits, Part
from .process import PartProcess, in_words
from .systemd import notify

PartState = Literal["starting", "running", "waiting", "misconfigured", "ended", "stopped"]
#: How often the parts are looked at.
TICK_SECONDS = 0.25
#: A longer pause between two looks means that this process slept itself: then nobody's silence counts for a while.
SLEPT_SECONDS = 3.0
#: How often the state is written though nothing changed.
_STATE_SECONDS = 5.0

log = logging.getLogger("temper.supervision")


@dataclass
class Watched:
    """A part and what is known of it."""

    part: Part
    process: PartProcess | None = None
    state: PartState = "waiting"
    reason: str | None = None
    restarts: int = 0
    due: float = 0.0
    since: float = 0.0
    recent: deque[float] = field(default_factory=deque)

    def to_dict(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        return {
            "state": self.state,
            "pid": self.process.pid if self.process is not None else None,
            "seconds": round(time.monotonic() - self.since, 1) if self.since else None,
            "restarts": self.restarts,
            "reason": self.reason,
        }


class Supervisor:
    """Watches parts until it is stopped or all of them have ended.

    Args:
        parts: in the order in which they are started and, later, stopped.
        folder: holds the board and ``state.json``.
        gauges: further names on the board.
        limits: how often a part is started anew.
        look: is called at every look, for guards of other things.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        folder: Path,
        gauges: Sequence[str] = (),
        limits: Limits | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._limits = limits or Limits()
        self._look = look
        self._folder = folder
        names = [name for part in parts for name in (f"{part.name} ready", f"{part.name} restarts", *part.beats)]
        self.board = Board.create(folder / "board", [*names, "supervisor", *gauges])
        self.parts = [Watched(part) for part in parts]
        self._lifeline, self._held = os.pipe()
        self._written = 0.0
        self._shown: Any = None
        self._patience_until = 0.0

    def run(self, stop: threading.Event) -> bool:
        """Watch until ``stop`` is set or every part has ended.

        Returns:
            Whether all parts ended by themselves and well.
        """
        last = time.monotonic()
        try:
            while not stop.is_set() and any(watched.state != "ended" for watched in self.parts):
                now = time.monotonic()
                if now - last > SLEPT_SECONDS:
                    self._patience_until = now + max(watched.part.hang_seconds for watched in self.parts)
                    log.warning("this process did not run for %.1f s; nobody's silence counts for now", now - last)
                last = now
                self.board.beat("supervisor")
                for watched in self.parts:
                    self._tend(watched, now)
                self._look()
                self._show()
                stop.wait(TICK_SECONDS)
            well = all(watched.state == "ended" for watched in self.parts)
            self._drain()
            return well
        finally:
            for watched in self.parts:
                if watched.process is not None:
                    watched.process.close()
            self._show(force=True)
            os.close(self._held)
            os.close(self._lifeline)

    def _tend(self, watched: Watched, now: float) -> None:
        process = watched.process
        if process is None:
            if watched.state != "ended" and now >= watched.due:
                self._start(watched, now)
            return
        code = process.code
        if code is not None:
            self._has_ended(watched, code, now)
            return
        if watched.state == "starting" and process.ready:
            watched.state, watched.reason = "running", None
            log.info("%s is at work (pid %d)", watched.part.name, process.pid)
        silent = process.silent_beat() if now >= self._patience_until else None
        if silent is not None:
            name, age = silent
            reason = f"{name} gave no sign of life for {age:.1f} s"
            log.error("%s hangs: %s; it is ended", watched.part.name, reason)
            process.abort()
            self._again(watched, f"It hung: {reason}.", now)
        elif watched.part.memory_bytes is not None and (used := process.memory) > watched.part.memory_bytes:
            reason = f"It used {used >> 20} MiB of memory; its limit is {watched.part.memory_bytes >> 20} MiB."
            log.warning("%s is started anew in good order: %s", watched.part.name, reason)
            self._stop_part(watched)
            self._again(watched, reason, now)

    def _start(self, watched: Watched, now: float) -> None:
        watched.process = PartProcess(watched.part, self.board, self._lifeline)
        watched.state, watched.since = "starting", now
        log.info("%s is started (pid %d)", watched.part.name, watched.process.pid)

    def _has_ended(self, watched: Watched, code: int, now: float) -> None:
        process = watched.process
        said = process.reason() if process is not None else None
        if code == 0:
            log.info("%s has ended", watched.part.name)
            watched.state, watched.reason = "ended", said
            self._let_go(watched)
            return
        reason = said or f"It ended with {in_words(code)}."
        log.error("%s failed (%s): %s", watched.part.name, in_words(code), reason)
        self._again(watched, reason, now, misconfigured=code == 2)

    def _again(self, watched: Watched, reason: str, now: float, misconfigured: bool = False) -> None:
        """Plan the next start."""
        self._let_go(watched)
        watched.reason = reason
        watched.restarts += 1
        self.board.set(f"{watched.part.name} restarts", watched.restarts)
        watched.recent.append(now)
        while watched.recent and now - watched.recent[0] > self._limits.window_seconds:
            watched.recent.popleft()
        often = len(watched.recent)
        if misconfigured or often > self._limits.restarts:
            wait = self._limits.slow_seconds
        else:
            wait = min(self._limits.most_seconds, self._limits.first_seconds * 2.0 ** (often - 1))
        watched.state = "misconfigured" if misconfigured else "waiting"
        watched.due = now + wait * random.uniform(0.75, 1.0)
        log.warning("%s is started anew in %.1f s (restart %d)", watched.part.name, watched.due - now, watched.restarts)

    def _let_go(self, watched: Watched) -> None:
        if watched.process is not None:
            watched.process.close()
            watched.process = None

    def _drain(self) -> None:
        """Stop the parts one after the other, so that the later ones still take what the earlier ones finish."""
        notify("STOPPING=1")
        for watched in self.parts:
            self._stop_part(watched)
            if watched.state != "ended":
                watched.state = "stopped"

    def _stop_part(self, watched: Watched) -> None:
        process = watched.process
        if process is None:
            return
        process.ask_to_stop()
        until = time.monotonic() + watched.part.stop_seconds
        while not process.wait(TICK_SECONDS):
            self.board.beat("supervisor")
            if time.monotonic() > until:
                log.error("%s did not stop within %.0f s; it is ended", watched.part.name, watched.part.stop_seconds)
                process.abort()
        self._let_go(watched)

    def _show(self, force: bool = False) -> None:
        """Write the state where 'temper deploy status' reads it, and tell systemd."""
        now = time.monotonic()
        states = {watched.part.name: watched.state for watched in self.parts}
        if force or states != self._shown or now - self._written > _STATE_SECONDS:
            self._shown, self._written = states, now
            parts = {watched.part.name: watched.to_dict() for watched in self.parts}
            try:
                write_json(self._folder / "state.json", {"pid": os.getpid(), "parts": parts})
            except TemperError as error:
                log.error("the state cannot be written: %s", error)
        running = all(state in ("running", "ended") for state in states.values())
        said = ", ".join(f"{name} {state}" for name, state in states.items())
        notify(("READY=1\n" if running else "") + f"WATCHDOG=1\nSTATUS={said}")
