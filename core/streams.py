"""A stream for what is only shown: whoever stops looking does not stop the work."""

from __future__ import annotations

from typing import Any, TextIO


class Shown:
    """A text stream that falls silent, for good, when it cannot be written any more: its terminal has gone, say.

    Args:
        stream: what is written to; all but writing is left to it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._gone = stream, False

    def write(self, text: str) -> int:
        """Write, if anybody is there still."""
        if not self._gone:
            try:
                return self._stream.write(text)
            except OSError:
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Bring what was written to its reader, if there is one still."""
        if not self._gone:
            try:
                self._stream.flush()
            except OSError:
                self._gone = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
