"""Before a line starts: its configuration and bundle are held against one another; a mistake is told, or waited out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bundle.loader import open_bundle
from ...core.errors import TemperError, UsageError
from ..supervision.systemd import notify
from .build import require_fitting
from .config import LineConfig, read_line

#: How often a configuration that holds a mistake is looked at again.
_LOOK_SECONDS = 1.0

log = logging.getLogger("temper.line")


@dataclass(frozen=True)
class PreparedLine:
    """What is needed to start a line.

    Attributes:
        config: of the line.
        bundle: path of the bundle.
        public_key: that must have signed it; None asks for no signature.
    """

    config: LineConfig
    bundle: Path
    public_key: Path | None


def prepare_line(
    file: Path, overrides: Sequence[str], bundle: Path | None, public_key: Path | None, hold: threading.Event | None
) -> PreparedLine | None:
    """Read and check what a line needs, before anything of it is started.

    Args:
        file: the ``line.yml``.
        overrides: changes to it, such as ``overload.queue=8``.
        bundle: to use instead of the one that the file names.
        public_key: likewise.
        hold: where it is given, a mistake is not the end: the service stays, safe and idle, says what is wrong, and
            looks again when the file changes, until this is set. None raises instead.

    Returns:
        What was prepared; None if ``hold`` was set first.

    Raises:
        TemperError: if something is wrong and ``hold`` is None.
    """
    while True:
        seen = _state(file)
        try:
            return _prepared(file, overrides, bundle, public_key)
        except TemperError as error:
            if hold is None:
                raise
            log.error("nothing is inspected: %s", error)
            notify(f"READY=1\nSTATUS=nothing is inspected: {error}")
        while _state(file) == seen:
            if hold.wait(_LOOK_SECONDS):
                return None
            notify("WATCHDOG=1")


def _prepared(file: Path, overrides: Sequence[str], bundle: Path | None, public_key: Path | None) -> PreparedLine:
    config = read_line(file, overrides)
    path = bundle or (Path(config.bundle) if config.bundle else None)
    if path is None:
        raise UsageError(f"{file} names no bundle. Add 'bundle: NAME.temper', or give it on the command line.")
    key = public_key or (Path(config.public_key) if config.public_key else None)
    with open_bundle(path, key) as opened:
        require_fitting(config, list(opened.manifest.labels))
    return PreparedLine(config, path, key)


def _state(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
