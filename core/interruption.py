"""Ctrl-C and SIGTERM: both end a command by an exception, and neither is lost in a library on its way out.

An exception that a signal handler raises may come up in the middle of somebody else's code. Libraries written in C++
that call back into Python swallow it or turn it into an error of their own. So it is noted as well as raised: who
reports progress raises it again with :func:`raise_if_interrupted`, and the command line looks at :func:`received`
before it takes an error for one.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """Asked to end by SIGTERM: the same as Ctrl-C, with another exit code."""


_received: KeyboardInterrupt | None = None
_held = 0
_deaf = False


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and :class:`Terminated` on SIGTERM while the block runs.

    In another thread than the main one nothing changes: signals are somebody else's there.
    """
    global _received, _held, _deaf
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received, _held, _deaf = None, 0, False
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # a shell's background job is not to hear of Ctrl-C
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _received = None


def received() -> KeyboardInterrupt | None:
    """The interruption that was received since :func:`listening` began, if there was one."""
    return _received


def raise_if_interrupted() -> None:
    """Raise an interruption again that some library has swallowed."""
    if _received is not None:
        raise _received


def ignore_further() -> None:
    """Let nothing more break in: the command is on its way out."""
    global _deaf
    _deaf = True


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let an interruption wait for the end of the block, where it is raised.

    For a few seconds of code that an exception out of nowhere would bring to a crash.
    """
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    if not _held:
        raise_if_interrupted()


def _raise(number: int, _frame: FrameType | None) -> None:
    global _received
    if _deaf:
        return
    _received = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    if not _held:
        raise _received
