"""A folder that another program writes pictures into: each is inspected once it is whole."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import TemperError
from ...detection.images import Channels, read_image
from ..frames import Cause, FileState, Frame
from ..sources import PICTURE_SUFFIXES, readable
from .base import CameraLost, CameraMisconfigured, CameraUnavailable
from .folder_files import DONE, FolderFiles

#: How often the folder is looked at. Looking works on every file system; being told does not on network shares.
_LOOK_SECONDS = 0.1
#: Listing a folder may take a tenth of the time, and a fiftieth while its own time says that nothing came or went.
_REST, _TRUST = 9.0, 49.0
#: Looking whether a file that was there already has other content may take this long in each look.
_CHECK_SECONDS = 0.003


@dataclass
class _Seen:
    """A file that is there and was not taken yet."""

    file: FileState
    since: float
    first: float


class FolderCamera:
    """Watches a folder; see ``base.Camera``.

    A file is taken when its size and time have stood still for ``settle_seconds`` and it can be decoded. One that
    stands still and still cannot be decoded is given ``give_up_seconds`` from when it was first seen, then it is an
    error. Files that are there when watching begins are taken too, oldest first, by time of change and name.

    A look costs little however many files lie there: names are listed, those that are new are looked at, and of the
    others some in each look, in turn, as one may be written over in its place.

    Args:
        name: of the camera in frames and messages.
        folder: watched; without its subfolders.
        channels: what the bundle takes.
        settle_seconds: that a file must stand still.
        give_up_seconds: that a file may take to become readable.
        files: what is known of the folder's files from earlier connections and processes; None knows nothing, and
            keeps every file.

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
        files: FolderFiles | None = None,
    ) -> None:
        self._name, self._folder, self._channels = name, folder, channels
        self._settle, self._give_up = settle_seconds, give_up_seconds
        self._files = files or FolderFiles(folder)
        self._prefix = os.path.join(folder, "")
        self._seen: dict[str, _Seen] = {}
        self._ripe: deque[_Seen] = deque()
        self._there: dict[str, int] = {}
        self._turn: Iterator[str] = iter(())
        self._modified = -1
        self._rest_until = self._trust_until = float("-inf")
        if not folder.exists():
            raise CameraUnavailable(f"The folder {folder} of the camera {name} is not there.")
        if not folder.is_dir():
            raise CameraMisconfigured(f"{folder} of the camera {name} is not a folder.")
        try:
            self._files.make_place()
        except OSError as error:
            raise CameraMisconfigured(f"{folder / DONE} cannot be made: {error.strerror}.") from error
        self._look()

    @property
    def facts(self) -> dict[str, str]:
        """The folder."""
        return {"folder": readable(str(self._folder))}

    def grab(self, timeout: float) -> Frame | None:
        """The next file that is whole; see ``base.Camera.grab``."""
        until = time.monotonic() + timeout
        while True:
            if (trouble := self._files.trouble()) is not None:
                raise CameraLost(trouble)
            while self._ripe:
                frame = self._take(self._ripe.popleft())
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
        with self._explained():
            new = self._list()
            now = time.monotonic()
            for name in (*self._seen, *new):
                self._note(name, now)
            until = now + _CHECK_SECONDS
            for name in self._turn:
                self._note(name, now)
                if time.monotonic() > until:
                    break
            else:
                self._turn = iter(tuple(self._there))
            self._files.tidy(self._there)
        ripe = [seen for seen in self._seen.values() if now - seen.since >= self._settle]
        self._ripe.extend(sorted(ripe, key=lambda seen: (seen.file.modified_ns, seen.file.name)))

    def _list(self) -> list[str]:
        """Bring the names up to date, where that is due; gives those that are new or stand for another file."""
        started = time.monotonic()
        modified = self._folder.stat().st_mtime_ns
        if started < (self._trust_until if modified == self._modified else self._rest_until):
            return []
        there: dict[str, int] = {}
        new = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name, number = entry.name, entry.inode()
                if self._there.get(name) != number:
                    if not _is_picture(entry):
                        continue
                    new.append(name)
                there[name] = number
        self._there, self._modified = there, modified
        for gone in [name for name in self._seen if name not in there]:
            del self._seen[gone]
        ended = time.monotonic()
        took = ended - started
        self._rest_until, self._trust_until = ended + _REST * took, ended + _TRUST * took
        return new

    def _note(self, name: str, now: float) -> None:
        """Look at one file: whether it is to be taken, and since when it stands still."""
        file = self._state(name)
        if file is None or self._files.is_taken(file):
            self._seen.pop(name, None)
            return
        seen = self._seen.get(name)
        if seen is None or seen.file != file:
            self._seen[name] = _Seen(file, since=now, first=seen.first if seen else now)

    def _state(self, name: str) -> FileState | None:
        """The file of a name as it is; None if it is gone."""
        try:
            stat = os.stat(self._prefix + name)
        except FileNotFoundError:
            return None
        return FileState(name, stat.st_size, stat.st_mtime_ns)

    def _take(self, seen: _Seen) -> Frame | None:
        """The file as a frame; None if it may still become one."""
        file = seen.file
        name, path = file.name, self._folder / file.name
        arrived = time.monotonic()
        started = time.perf_counter()
        cause = detail = image = None
        try:
            image = read_image(path, self._channels)
        except TemperError as error:
            if arrived - seen.first < self._give_up:
                seen.since = arrived  # looked at again when it has stood still for as long once more
                return None
            cause, detail = Cause.ERROR, readable(str(error))
        decode_ms = 1000 * (time.perf_counter() - started)
        with self._explained():
            if self._state(name) != file:
                return None  # what was read is not what was seen: the next look sees it
        del self._seen[name]
        self._files.take(file)
        exposed = file.modified_ns / 1e9
        return Frame(
            self._name,
            readable(name),
            image,
            cause,
            detail,
            exposed=exposed,
            arrived=arrived,
            decode_ms=decode_ms,
            files=(file,),
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise CameraMisconfigured(f"The folder {self._folder} may not be read: {error.strerror}.") from error
        except OSError as error:
            raise CameraLost(f"The folder {self._folder} is gone: {error.strerror}.") from error


def _is_picture(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in PICTURE_SUFFIXES:
        return False
    return entry.is_file()
