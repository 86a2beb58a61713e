"""A folder that another program writes pictures into: each is inspected once it is whole."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.errors import TemperError
from ...detection.images import Channels, read_image
from ..frames import Cause, Frame
from ..sources import PICTURE_SUFFIXES, readable
from .base import CameraLost, CameraMisconfigured, CameraUnavailable

Afterwards = Literal["keep", "move", "delete"]
#: Where inspected files go with ``move``, below the watched folder.
DONE = "inspected"
#: How often the folder is looked at. Looking works on every file system; being told does not on network shares.
_LOOK_SECONDS = 0.1


@dataclass
class _Seen:
    """A file that is there and was not taken yet."""

    size: int
    modified: int
    since: float
    first: float


class FolderCamera:
    """Watches a folder; see ``base.Camera``.

    A file is taken when its size and time have stood still for ``settle_seconds`` and it can be decoded. One that
    stands still and still cannot be decoded is given ``give_up_seconds`` from when it was first seen, then it is an
    error. Files that are there when watching begins are taken too, oldest first, by time of change and name.

    Args:
        name: of the camera in frames and messages.
        folder: watched; without its subfolders.
        channels: what the bundle takes.
        settle_seconds: that a file must stand still.
        give_up_seconds: that a file may take to become readable.
        afterwards: what becomes of a file that was taken. With ``keep`` it is remembered as long as this connection
            stands.
        after: files changed at or before this moment, seconds of UTC, count as taken: by an earlier process.

    Raises:
        CameraUnavailable: if the folder is not there.
        CameraMisconfigured: if it is no folder or may not be read.
    """

    wrap = None

    def __init__(
        self,
        name: str,
        folder: Path,
        channels: Channels,
        settle_seconds: float = 0.5,
        give_up_seconds: float = 10.0,
        afterwards: Afterwards = "keep",
        after: float | None = None,
    ) -> None:
        self._name, self._folder, self._channels = name, folder, channels
        self._settle, self._give_up, self._afterwards = settle_seconds, give_up_seconds, afterwards
        self._after_ns = None if after is None else int(after * 1e9)
        self._seen: dict[str, _Seen] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        self._ripe: deque[tuple[str, _Seen]] = deque()
        if not folder.exists():
            raise CameraUnavailable(f"The folder {folder} of the camera {name} is not there.")
        if not folder.is_dir():
            raise CameraMisconfigured(f"{folder} of the camera {name} is not a folder.")
        if afterwards == "move":
            self._make_done()
        self._look()

    @property
    def facts(self) -> dict[str, str]:
        """The folder."""
        return {"folder": readable(str(self._folder))}

    def grab(self, timeout: float) -> Frame | None:
        """The next file that is whole; see ``base.Camera.grab``."""
        until = time.monotonic() + timeout
        while True:
            while self._ripe:
                frame = self._take(*self._ripe.popleft())
                if frame is not None:
                    return frame
            if time.monotonic() >= until:
                return None
            time.sleep(min(_LOOK_SECONDS, max(0.0, until - time.monotonic())))
            self._look()

    def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> None:
        """Note what is there, and which of it stands still."""
        now = time.monotonic()
        there: dict[str, os.stat_result] = {}
        try:
            for entry in self._entries():
                with contextlib.suppress(FileNotFoundError):  # moved away between the two calls
                    there[entry.name] = entry.stat()
        except PermissionError as error:
            raise CameraMisconfigured(f"The folder {self._folder} may not be read: {error.strerror}.") from error
        except OSError as error:
            raise CameraLost(f"The folder {self._folder} is gone: {error.strerror}.") from error
        for gone in set(self._seen) - set(there):
            del self._seen[gone]
        for gone in set(self._taken) - set(there):
            del self._taken[gone]
        ripe = []
        for name, stat in there.items():
            state = (stat.st_size, stat.st_mtime_ns)
            if self._taken.get(name) == state or (self._after_ns is not None and stat.st_mtime_ns <= self._after_ns):
                continue
            seen = self._seen.get(name)
            if seen is None or (seen.size, seen.modified) != state:
                self._seen[name] = _Seen(*state, since=now, first=seen.first if seen else now)
            elif now - seen.since >= self._settle:
                ripe.append((seen.modified, name, seen))
        waiting = {name for name, _ in self._ripe}
        self._ripe.extend(
            (name, seen) for _, name, seen in sorted(ripe, key=lambda one: one[:2]) if name not in waiting
        )

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".")
                if not hidden and os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES and entry.is_file():
                    yield entry

    def _take(self, name: str, seen: _Seen) -> Frame | None:
        """The file as a frame; None if it may still become one."""
        path = self._folder / name
        arrived = time.monotonic()
        started = time.perf_counter()
        cause = detail = image = None
        try:
            image = read_image(path, self._channels)
        except TemperError as error:
            if not path.exists():
                self._seen.pop(name, None)
                return None
            if arrived - seen.first < self._give_up:
                seen.since = arrived  # looked at again when it has stood still for as long once more
                return None
            cause, detail = Cause.ERROR, readable(str(error))
        decode_ms = 1000 * (time.perf_counter() - started)
        self._seen.pop(name, None)
        self._put_away(path, seen)
        exposed = seen.modified / 1e9
        return Frame(
            self._name, readable(name), image, cause, detail, exposed=exposed, arrived=arrived, decode_ms=decode_ms
        )

    def _put_away(self, path: Path, seen: _Seen) -> None:
        try:
            if self._afterwards == "delete":
                path.unlink(missing_ok=True)
            elif self._afterwards == "move":
                os.replace(path, self._folder / DONE / path.name)
            else:
                self._taken[path.name] = (seen.size, seen.modified)
        except OSError as error:
            raise CameraMisconfigured(f"The inspected file {path} cannot be put away: {error.strerror}.") from error

    def _make_done(self) -> None:
        try:
            (self._folder / DONE).mkdir(exist_ok=True)
        except OSError as error:
            raise CameraMisconfigured(f"{self._folder / DONE} cannot be made: {error.strerror}.") from error
