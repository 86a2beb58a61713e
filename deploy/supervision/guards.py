"""Guards of what parts share."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

_LOOK_SECONDS = 5.0
#: That must be free again, in shares of the limit, before the disk counts as well: it does not say so twice a minute.
_WELL_AGAIN = 1.1

log = logging.getLogger("temper.supervision")


class DiskGuard:
    """Watches the free space of a disk: a gauge always, a notice when it is below its limit, and when it is well again.

    Args:
        folder: on the disk.
        least_bytes: that should be free.
        gauge: is told the free bytes.
        look_seconds: between two looks.
    """

    def __init__(
        self, folder: Path, least_bytes: float, gauge: Callable[[float], None], look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._folder, self._least, self._gauge, self._every = folder, least_bytes, gauge, look_seconds
        self._next = 0.0
        self._low = False

    def __call__(self) -> None:
        """Look, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        free = shutil.disk_usage(self._folder).free
        self._gauge(free)
        if not self._low and free < self._least:
            self._low = True
            log.warning(
                "%d MiB are free on the disk of %s, less than %d MiB. Free some.",
                free >> 20,
                self._folder,
                int(self._least) >> 20,
            )
        elif self._low and free >= self._least * _WELL_AGAIN:
            self._low = False
            log.info("%d MiB are free on the disk of %s again", free >> 20, self._folder)
