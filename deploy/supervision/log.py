"""What a service says of itself: one line for each event on standard error; keeping them is systemd's business."""

from __future__ import annotations

import logging
import sys
import time


def log_to_stderr() -> None:
    """Write what loggers below ``temper`` say, with the time in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    form = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("temper")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
