"""The safe state: a service whose configuration holds a mistake stays, does nothing, and says what is wrong."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...core.errors import TemperError
from .board import Board
from .pause import pause
from .state import StateFile
from .systemd import notify

_LOOK_SECONDS = 1.0

log = logging.getLogger("temper.supervision")

FileState = tuple[int, ...] | None


def state_of(file: Path) -> FileState:
    """What changes when a file is written, replaced, or made readable; None if it is not there."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_dev


def hold(
    reason: str,
    seen: Sequence[tuple[Path, FileState]],
    stop: threading.Event,
    *,
    folder: Path | None = None,
    show: Callable[[str | None], None] = lambda reason: None,
    look_seconds: float = _LOOK_SECONDS,
) -> bool:
    """Wait until a file changes or ``stop`` is set; meanwhile everybody is told what is wrong.

    Args:
        reason: what is wrong, in sentences.
        seen: files that may mend it, each with its :func:`state_of` from **before** it was read, so that no change
            is missed.
        stop: ends it.
        folder: gets the board and ``state.json`` that 'temper deploy status' reads. The caller has made sure that no
            other service works there. None: where results go is not known.
        show: is called with the reason, and with None when it is over: for a health endpoint.
        look_seconds: between two looks at the files.

    Returns:
        Whether a file has changed; False if it was stopped.
    """
    log.error("safe state: %s", reason)
    board = None
    with contextlib.ExitStack() as stack:
        if folder is not None:
            # a disk that takes no state is no reason to leave the safe state
            with contextlib.suppress(OSError, TemperError):
                board = stack.enter_context(contextlib.closing(Board.create(folder / "board", ["supervisor"])))
        state = StateFile(folder) if folder is not None and board is not None else None
        show(reason)
        stack.callback(show, None)
        while all(state_of(file) == before for file, before in seen):
            if board is not None:
                board.beat("supervisor")
            if state is not None:
                state.show({}, "held", reason)
            # a service that says what is wrong has started
            notify("READY=1", "WATCHDOG=1", status=reason)
            if _stopped(stop, look_seconds):
                if state is not None:
                    state.show({}, "stopped", reason)
                return False
    log.info("a file has changed; the configuration is read again (process %d)", os.getpid())
    return True


def _stopped(stop: threading.Event, seconds: float) -> bool:
    """Whether it is set within ``seconds``."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        pause(min(left, 0.1))
    return stop.is_set()
