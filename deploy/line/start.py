"""Before a line starts: its configuration and bundle are held against one another; a mistake is told, or waited out."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bundle.loader import open_bundle
from ...core.errors import TemperError, UsageError
from ...core.files import explain_os_errors
from ...core.locks import held_file
from ..publish.health import HeldServer
from ..publish.settings import MetricsSettings
from ..supervision.safe_state import FileState, state_of
from ..supervision.safe_state import hold as hold_safely
from .build import require_fitting
from .config import LineConfig, read_line, read_metrics
from .libraries import require_libraries
from .service import LOCK_NAME, SERVICE_FOLDER

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
            looks again when it, the bundle or the key changes, until this is set. None raises instead.

    Returns:
        What was prepared; None if ``hold`` was set first.

    Raises:
        TemperError: if something is wrong and ``hold`` is None.
    """
    while True:
        asked = _Asked(file, overrides, bundle, public_key)
        try:
            return asked.prepare()
        except TemperError as error:
            if hold is None:
                raise
            if not asked.wait(f"nothing is inspected: {error}", hold):
                return None


class _Asked:
    """One look at what a line needs; it remembers which files it looked at."""

    def __init__(self, file: Path, overrides: Sequence[str], bundle: Path | None, public_key: Path | None) -> None:
        self._file, self._overrides, self._bundle, self._key = file, overrides, bundle, public_key
        self._seen: list[tuple[Path, FileState]] = []
        self._folder: Path | None = None

    def prepare(self) -> PreparedLine:
        self._look_at(self._file)
        config = read_line(self._file, self._overrides)
        self._folder = Path(config.results.folder) / SERVICE_FOLDER
        path = self._bundle or (Path(config.bundle) if config.bundle else None)
        if path is None:
            raise UsageError(
                f"{self._file} names no bundle. Add 'bundle: NAME.temper', or give it on the command line."
            )
        key = self._key or (Path(config.public_key) if config.public_key else None)
        # a bundle that comes later mends it as well
        self._look_at(path)
        if key is not None:
            self._look_at(key)
        with open_bundle(path, key) as opened:
            require_fitting(config, list(opened.manifest.labels))
        require_libraries(config)
        return PreparedLine(config, path, key)

    def wait(self, reason: str, stop: threading.Event) -> bool:
        """Stay in the safe state until one of the files changes; False if ``stop`` is set first."""
        with contextlib.ExitStack() as stack:
            folder = self._folder
            if folder is not None:
                try:
                    with explain_os_errors(folder):
                        folder.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(held_file(folder / LOCK_NAME, "in use"))
                except (TemperError, OSError):  # another service's state is not to be written over
                    folder = None
            return hold_safely(reason, self._seen, stop, folder=folder, show=_Health(self._file, self._overrides).show)

    def _look_at(self, file: Path) -> None:
        self._seen.append((file, state_of(file)))


class _Health:
    """The health endpoint of a line that is held, at the place where it would be if the line ran."""

    def __init__(self, file: Path, overrides: Sequence[str]) -> None:
        self._file, self._overrides = file, overrides
        self._server: HeldServer | None = None

    def show(self, reason: str | None) -> None:
        """Answer with a reason; None ends that."""
        if self._server is not None:
            self._server.close()
            self._server = None
        section = None if reason is None else read_metrics(self._file, self._overrides)
        if reason is not None and section is not None:
            try:
                self._server = HeldServer(reason, MetricsSettings(section.address, section.port))
            except TemperError as error:  # that line is held all the same
                log.warning("%s", error)
