"""What a service says of itself: one line for each event on standard error; keeping them is systemd's business."""

from __future__ import annotations

import logging
import sys
import time

from ...core.passwords import without_passwords


def in_one_line(text: str) -> str:
    """A text of several lines as one, for a log and for systemd, where a line is an event."""
    return " ".join(text.split())


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = without_passwords(in_one_line(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        return without_passwords(super().formatException(ei))  # type: ignore[arg-type]


def log_to_stderr(process: str = "service") -> None:
    """Write what loggers below ``temper`` say, with the time in UTC.

    Args:
        process: name of this process, in every line: of a part, or of the service itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    form = f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {process.replace('%', '%%')} %(name)s: %(message)s"
    formatter = _OneLine(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("temper")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
