"""Keeping libraries off the terminal that write to it from C++, without losing what they said."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..core.errors import TemperError

#: So much of the end of a library's chatter is kept for an error message.
_TAIL_BYTES = 4096


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Send everything written to the process's standard output and error into a temporary file.

    File descriptors are redirected, so C++ code is silenced too, and for the duration every other thread.

    Yields:
        A function that gives the end of what has been written so far; it also works after the block.
    """
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(tempfile.TemporaryFile())
        kept: list[str] = []

        def said() -> str:
            return kept[0] if kept else _tail(sink)

        try:
            with _redirected(sink), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield said
        finally:
            kept.append(_tail(sink))


@contextlib.contextmanager
def _redirected(sink: IO[bytes]) -> Iterator[None]:
    _flush()
    saved = os.dup(1), os.dup(2)
    # Python's own streams too: under a live display or a test they may not end in the descriptors
    text = open(os.dup(sink.fileno()), "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    try:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield
    finally:
        with contextlib.suppress(OSError):  # a full disk: what is lost is chatter
            text.close()
        _flush()
        for number, handle in zip((1, 2), saved, strict=True):
            os.dup2(handle, number)
            os.close(handle)


def one_line(text: object, limit: int = 300) -> str:
    """What a library says in several lines, as one of at most ``limit`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def last_line(text: str) -> str:
    """The last line of a library's chatter that says something, for an error message."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t-=")]
    return lines[-1][:300] if lines else "it said nothing"


def _tail(sink: IO[bytes]) -> str:
    _flush()
    end = os.fstat(sink.fileno()).st_size
    start = max(0, end - _TAIL_BYTES)
    return os.pread(sink.fileno(), end - start, start).decode("utf-8", "replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream_flush: Any = getattr(stream, "flush", None)
        if stream_flush is not None:
            with contextlib.suppress(ValueError, OSError):
                stream_flush()


@contextlib.contextmanager
def explained(failure: str, precision: str) -> Iterator[None]:
    """Let a library work in silence; whatever it raises becomes one sentence, with its last words.

    Args:
        failure: what did not succeed, as the beginning of that sentence.
        precision: of ``export.precisions``, which may be left out to go on without it.

    Raises:
        TemperError: where the library fails; a TemperError and a lack of memory pass as they are.
    """
    said = None
    try:
        with quiet() as said:
            yield
    except (TemperError, MemoryError):
        raise
    except Exception as error:  # a library may raise anything
        reason = last_line(said()) if said is not None else ""
        raise TemperError(
            f"{failure}: {type(error).__name__}: {one_line(error)} (last words: {reason}). "
            f"Leave {precision} out of the recipe's export.precisions to go on without it."
        ) from error
