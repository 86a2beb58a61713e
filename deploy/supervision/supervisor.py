"""Keeps the parts of a service alive: a crash, a hang and a clean end are three cases."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .board import Board
from .part import Limits, Part
from .pause import pause
from .process import PartProcess, in_words
from .state import StateFile
from .systemd import notify
from .watched import Ending, Watched

#: How often the parts are looked at.
TICK_SECONDS = 0.25
#: The same while they are stopped.
_DRAIN_TICK_SECONDS = 0.05
#: A longer pause between two looks means that this process slept itself: then nobody's silence counts for a while.
SLEPT_SECONDS = 3.0
#: After a hang is told to the process, so that it writes where it hangs.
_ABORT_SECONDS = 2.0

log = logging.getLogger("temper.supervision")


class Supervisor:
    """Watches parts until it is stopped or all of them have ended.

    :meth:`run` never waits for one part: all are looked at four times a second, whatever one of them does.

    Args:
        parts: in the order in which they are started and, later, stopped.
        folder: holds the board and ``state.json``.
        gauges: further names on the board.
        limits: how often a part is started anew.
        look: is called at every look, for guards of other things; what it raises is logged and changes nothing.
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
        self._look_fails = False
        names = [name for part in parts for name in (f"{part.name} ready", f"{part.name} restarts", *part.beats)]
        self.board = Board.create(folder / "board", [*names, "supervisor", *gauges])
        self.parts = [Watched(part) for part in parts]
        self._state_file = StateFile(folder)
        self._lifeline, self._held = os.pipe()
        self._looked: float | None = None
        self._patience_until = 0.0

    def run(self, stop: threading.Event) -> bool:
        """Watch until ``stop`` is set or every part has ended; then stop them in order.

        To be called in the thread that lives longest: Linux ends the parts with the thread that started them.

        Returns:
            Whether all parts ended by themselves and well.
        """
        try:
            try:
                while not stop.is_set() and any(watched.goes_on for watched in self.parts):
                    now = self._look_at_clock()
                    for watched in self.parts:
                        self._tend(watched, now)
                    self._guard()
                    self._show("running")
                    pause(TICK_SECONDS)
                return all(watched.state == "ended" for watched in self.parts)
            finally:
                self._drain()
        finally:
            for watched in self.parts:
                self._let_go(watched)
            self._show("stopped")
            os.close(self._held)
            os.close(self._lifeline)

    def _look_at_clock(self) -> float:
        """Now; time in which this process did not run is nobody's silence."""
        now = time.monotonic()
        slept = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        if slept > SLEPT_SECONDS:
            log.warning("this process did not run for %.1f s; nobody's silence counts for now", slept)
            self._patience_until = now + max(watched.part.hang_seconds for watched in self.parts)
            for watched in self.parts:
                watched.forgive(slept)
        self.board.beat("supervisor")
        return now

    def _tend(self, watched: Watched, now: float) -> None:
        process = watched.process
        if process is None:
            if watched.is_due(now):
                self._start(watched, now)
            return
        code = process.code
        if code is not None:
            self._has_ended(watched, code, now)
        elif watched.ending is not None:
            self._press(watched, now)
        else:
            self._look_after(watched, process, now)

    def _look_after(self, watched: Watched, process: PartProcess, now: float) -> None:
        """Look at a part that runs and should."""
        part = watched.part
        if watched.state == "starting" and process.ready:
            watched.state, watched.reason = "running", None
            log.info("%s is at work (pid %d)", part.name, process.pid)
        silent = process.silent_beat(now) if now >= self._patience_until else None
        if silent is not None:
            name, age = silent
            reason = f"{name} gave no sign of life for {age:.1f} s"
            log.error("%s hangs: %s; it is ended", part.name, reason)
            process.abort()
            watched.state, watched.ending = (
                "stopping",
                Ending(f"It hung: {reason}.", now + _ABORT_SECONDS, pressed=True),
            )
        elif part.memory_bytes is not None and (used := process.memory) > part.memory_bytes:
            reason = f"It used {used >> 20} MiB of memory; its limit is {part.memory_bytes >> 20} MiB."
            log.warning("%s is started anew in good order: %s", part.name, reason)
            process.ask_to_stop()
            watched.state, watched.ending = "stopping", Ending(reason, now + part.stop_seconds)
        elif part.follows is not None and self._has_done(part.follows):
            log.info("%s has nothing left to do, as %s has ended", part.name, part.follows)
            process.ask_to_stop()
            watched.state, watched.ending = "stopping", Ending(None, now + part.stop_seconds)

    def _has_done(self, name: str) -> bool:
        return any(watched.part.name == name and watched.state == "ended" for watched in self.parts)

    def _press(self, watched: Watched, now: float) -> None:
        """Go one step further with a part that should have ended by now."""
        process, ending = watched.process, watched.ending
        if process is None or ending is None or now <= ending.until:
            return
        if not ending.pressed:
            log.error("%s did not stop within %.0f s; it is ended", watched.part.name, watched.part.stop_seconds)
            process.abort()
            ending.pressed, ending.until = True, now + _ABORT_SECONDS
            return
        process.kill()
        if ending.killed_at is None:
            ending.killed_at = now
        elif not ending.stuck and now - ending.killed_at > 10 * _ABORT_SECONDS:
            ending.stuck = True
            log.error("%s (pid %d) cannot be ended: it hangs in the kernel", watched.part.name, process.pid)

    def _start(self, watched: Watched, now: float) -> None:
        try:
            watched.process = PartProcess(watched.part, self.board, self._lifeline, now)
        except OSError as error:
            self._again(watched, f"It cannot be started: {error}.", now)
            return
        watched.state = "starting"
        watched.mark_time()
        log.info("%s is started (pid %d)", watched.part.name, watched.process.pid)

    def _has_ended(self, watched: Watched, code: int, now: float) -> None:
        ending = watched.ending
        said = watched.process.reason() if watched.process is not None else None
        self._let_go(watched)
        if ending is not None and ending.reason is not None:
            self._again(watched, ending.reason, now)
        elif code == 0 or ending is not None:
            log.info("%s has ended", watched.part.name)
            watched.state, watched.reason = "ended", said
            watched.mark_time()
        else:
            reason = said or f"It {'was' if code < 0 else 'ended with'} {in_words(code)}."
            log.error("%s failed (%s): %s", watched.part.name, in_words(code), reason)
            self._again(watched, reason, now, misconfigured=code == 2)

    def _again(self, watched: Watched, reason: str, now: float, misconfigured: bool = False) -> None:
        """Plan the next start."""
        wait = watched.failed(reason, now, self._limits, misconfigured)
        self.board.set(f"{watched.part.name} restarts", watched.restarts)
        if watched.state == "given_up":
            often, window = len(watched.recent), self._limits.window_seconds
            log.error("%s failed %d times in %.0f s and is given up: %s", watched.part.name, often, window, reason)
        if wait is not None:
            log.warning("%s is started anew in %.1f s (restart %d)", watched.part.name, wait, watched.restarts)

    def _let_go(self, watched: Watched) -> None:
        if watched.process is not None:
            watched.process.close()
        watched.process = watched.ending = None

    def _drain(self) -> None:
        """Stop the parts one after the other, so that the later ones still take what the earlier ones finish."""
        notify("STOPPING=1")
        for watched in self.parts:
            if watched.process is not None and watched.ending is None:
                watched.process.ask_to_stop()
                watched.state = "stopping"
                watched.ending = Ending(None, time.monotonic() + watched.part.stop_seconds)
            self._show("stopping")
            while watched.process is not None and watched.process.code is None:
                now = self._look_at_clock()
                self._press(watched, now)
                if watched.ending is not None and watched.ending.stuck:
                    break
                notify("WATCHDOG=1")
                pause(_DRAIN_TICK_SECONDS)
            self._let_go(watched)
            if watched.state != "ended":
                watched.state = "stopped"
                log.info("%s is stopped", watched.part.name)

    def _guard(self) -> None:
        try:
            self._look()
        except Exception:
            if not self._look_fails:
                log.exception("a guard fails, and is tried again")
            self._look_fails = True
        else:
            self._look_fails = False

    def _show(self, state: str) -> None:
        """Tell 'temper deploy status' and systemd how the parts are."""
        self._state_file.show({watched.part.name: watched.to_dict() for watched in self.parts}, state)
        if state != "running":
            return
        # one part that fails from the start is no reason for systemd to end the others
        settled = all(watched.state in ("running", "ended") or watched.restarts for watched in self.parts)
        said = ", ".join(f"{watched.part.name} {watched.state}" for watched in self.parts)
        notify(*(["READY=1"] if settled else []), "WATCHDOG=1", status=said)
