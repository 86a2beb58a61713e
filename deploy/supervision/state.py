"""``state.json``: what a service says of itself to 'temper deploy status', and to systemd."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...core.errors import TemperError
from ...core.files import write_json

STATE_NAME = "state.json"
#: After it could not be written, until it is tried again.
_AGAIN_SECONDS = 5.0

log = logging.getLogger("temper.supervision")


def utc_now() -> str:
    """The moment for people and files; never for a duration."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class StateFile:
    """Keeps ``state.json`` at what is told; it is written when something is new.

    A disk that does not take it costs the file, never the service.

    Args:
        folder: where it stands.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE_NAME
        self._since = utc_now()
        self._written: Any = None
        self._try_at = 0.0
        self._failing = False

    def show(self, parts: Mapping[str, Mapping[str, Any]], state: str, reason: str | None = None) -> None:
        """Write what is new.

        Args:
            parts: of each part what is known, plain JSON values.
            state: of the service: ``running``, ``stopping``, ``stopped`` or ``held``.
            reason: why it is so, in a sentence.
        """
        told = {"pid": os.getpid(), "since": self._since, "state": state, "reason": reason, "parts": parts}
        if told == self._written or time.monotonic() < self._try_at:
            return
        try:
            write_json(self._path, told)
        except (TemperError, OSError) as error:
            self._try_at = time.monotonic() + _AGAIN_SECONDS
            if not self._failing:
                log.error("the state cannot be written, and is tried again: %s", error)
            self._failing = True
            return
        if self._failing:
            log.info("the state is written again")
        self._failing, self._written = False, told
