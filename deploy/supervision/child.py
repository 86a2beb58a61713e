"""What runs in the process of a part: :func:`start`, with its orders on standard input as JSON."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from ...core.errors import TemperError
from ...core.passwords import without_passwords
from .board import Board
from .log import log_to_stderr
from .part import Context

#: How a part ends whose supervisor is gone.
ORPHANED = 70
_PR_SET_PDEATHSIG = 1


def start() -> int:
    """Take the orders and run."""
    return main(json.load(sys.stdin))


def main(orders: dict[str, Any]) -> int:
    """Run a part to its end.

    Returns:
        Its exit code: 0 if it has ended by itself or was asked to, 1 if it failed, 2 for a mistake in its
        configuration.
    """
    _die_with(orders["parent"], orders["lifeline"])
    # a hang is ended with SIGABRT: then every thread's stack is in the log
    faulthandler.enable()
    # and no image of its memory on the disk, which may be gigabytes and hold passwords
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    log_to_stderr(orders["name"])
    stop = _stop_on_sigterm()
    board = Board(Path(orders["board"]))
    ready = f"{orders['name']} ready"
    module, function = orders["factory"].split(":")
    context = Context(stop, board.beat, board.rest, board.set, lambda: board.beat(ready))
    try:
        getattr(importlib.import_module(module), function)(context, **orders["arguments"])
    except TemperError as error:
        _tell(orders["reason"], str(error))
        return error.exit_code
    except BaseException as error:
        _tell(orders["reason"], f"{type(error).__name__}: {error}")
        raise
    return 0


def _die_with(parent: int, lifeline: int) -> None:
    """End at once when the supervisor does, however it does."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)

    def watch() -> None:
        # nobody writes: it ends when the last one who could is gone
        os.read(lifeline, 1)
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _stop_on_sigterm() -> threading.Event:
    """The first signal asks to finish, the second ends."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGTERM)
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    # a terminal tells all of them; who supervises decides, and says it by SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return stop


def _tell(descriptor: int, reason: str) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, without_passwords(reason).encode("utf-8", "replace")[:2000])
