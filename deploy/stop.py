"""Stopping in good order: the first signal ends the run after the frame in work, the second at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

#: The last is what a terminal says when it is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Catch SIGINT, SIGTERM and SIGHUP while the block runs; to be used in the main thread.

    A SIGHUP that is ignored stays so: with nohup a run outlives its terminal.

    Yields:
        An event that the first signal sets. The second finds the handlers that stood before.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()
