"""What is known of a watched folder's files: which have their verdict, and what becomes of them then."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from ...core.errors import TemperError
from ...core.files import sync_folder
from ..frames import FileState

Afterwards = Literal["keep", "move", "delete"]
#: Where inspected files go with ``move``, below the watched folder.
DONE = "inspected"
#: How often it is looked for files that are gone, and tried again to put away what could not be.
TIDY_SECONDS = 5.0
#: Files that are gone may be remembered up to this many, or as many as were ever there.
MOST_GONE = 200_000
#: Files that are forgotten at once: whoever stores verdicts waits for as long as that takes.
_SLICE = 1000


class FolderFiles:
    """The files of one camera's folder that were taken; it outlives every connection to the folder.

    A file is known by its name, size and time of change, so neither clocks nor the order of times matter. It is put
    away only once its verdict is stored, and then only if it still is the file that was inspected. One that has its
    verdict and still lies there, as the program was ended in between, is put away without being inspected again.

    A file that is gone is forgotten, in the store too, once another that is known is there: a folder with none of them
    is most likely a share that is not mounted.

    Args:
        folder: that is watched.
        afterwards: what becomes of a file that has its verdict.
        known: files that have one from an earlier process.
        forget: makes the store forget files; may raise a :class:`TemperError`, and is then called again.
    """

    def __init__(
        self,
        folder: Path,
        afterwards: Afterwards = "keep",
        known: Iterable[FileState] = (),
        forget: Callable[[Sequence[FileState]], None] = lambda files: None,
    ) -> None:
        self._folder, self._afterwards, self._forget = folder, afterwards, forget
        self._known = {file.name: (file.size, file.modified_ns) for file in known}
        self._under_way: dict[str, tuple[int, int]] = {}
        self._left: dict[str, FileState] = {}
        self._put: set[str] = set()
        self._most = len(self._known)
        self._trouble: str | None = None
        self._changing = threading.Lock()
        self._tidied = time.monotonic()

    def make_place(self) -> None:
        """Make the folder that inspected files are moved to, if they are.

        Raises:
            OSError: if it cannot be made.
        """
        if self._afterwards == "move":
            (self._folder / DONE).mkdir(exist_ok=True)

    def is_taken(self, file: FileState) -> bool:
        """Whether a file that is there was taken already; one that has its verdict is put away if that is due."""
        state = (file.size, file.modified_ns)
        with self._changing:
            if self._under_way.get(file.name) == state:
                return True
            if self._known.get(file.name) != state:
                return False
            due = self._afterwards != "keep" and file.name not in self._left
        if due:
            self._put_away(file)
        return True

    def take(self, file: FileState) -> None:
        """Note that a file goes to its verdict."""
        with self._changing:
            self._under_way[file.name] = (file.size, file.modified_ns)

    def release(self, files: Iterable[FileState]) -> None:
        """Note that files will not get a verdict in this way: they may be taken again."""
        with self._changing:
            for file in files:
                self._under_way.pop(file.name, None)

    def settle(self, files: Iterable[FileState]) -> None:
        """Put files away, or remember that they are to stay, as their verdicts are stored now. For any thread."""
        for file in files:
            state = (file.size, file.modified_ns)
            with self._changing:
                self._known[file.name] = state
                self._put.discard(file.name)
                if self._under_way.get(file.name) == state:
                    del self._under_way[file.name]
            if self._afterwards != "keep":
                self._put_away(file)

    def trouble(self) -> str | None:
        """Why a file cannot be put away, once for all that cannot be until none is left; else None."""
        with self._changing:
            told, self._trouble = self._trouble, None
        return told

    def tidy(self, there: Container[str]) -> None:
        """Forget files that are gone, and try again what could not be put away; a little, and only now and then.

        Args:
            there: the names in the folder.
        """
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return
        for file in list(islice(self._left.values(), _SLICE)):
            self._put_away(file)
        gone = self._gone(there)
        if gone and self._afterwards != "keep":
            # what comes back after a power cut must still be known
            with contextlib.suppress(OSError):
                sync_folder(self._folder)
        self._tidied = time.monotonic()
        try:
            if gone:
                self._forget(gone)
        except TemperError:  # the store says so itself, where verdicts cannot be stored
            return
        with self._changing:
            for file in gone:
                if self._known.get(file.name) == (file.size, file.modified_ns):
                    del self._known[file.name]
                    self._put.discard(file.name)
                    self._left.pop(file.name, None)

    def _gone(self, there: Container[str]) -> list[FileState]:
        """What may be forgotten now, the longest known first."""
        with self._changing:
            gone = [name for name in self._known if name not in there]
            here = len(self._known) - len(gone)
            self._most = max(self._most, here)
            if here:
                for name in [name for name in self._under_way if name not in there]:
                    del self._under_way[name]
                chosen = gone
            else:
                surplus = max(0, len(gone) - max(self._most, MOST_GONE))
                chosen = [name for place, name in enumerate(gone) if place < surplus or name in self._put]
            return [FileState(name, *self._known[name]) for name in chosen[:_SLICE]]

    def _put_away(self, file: FileState) -> None:
        path = self._folder / file.name
        try:
            stat = path.stat()
            if (stat.st_size, stat.st_mtime_ns) != (file.size, file.modified_ns):
                self._is_away(file)
                return  # it is another one by now, that comes in its turn
            if self._afterwards == "delete":
                path.unlink()
            else:
                self.make_place()
                os.replace(path, self._folder / DONE / file.name)
        except FileNotFoundError:
            pass
        except OSError as error:
            with self._changing:
                if not self._left:
                    self._trouble = (
                        f"The inspected file {path} cannot be put away ({error.strerror}): it stays and is not "
                        "inspected again; mend the rights to it, or take away what is in its way."
                    )
                self._left[file.name] = file
            return
        self._is_away(file)

    def _is_away(self, file: FileState) -> None:
        with self._changing:
            self._put.add(file.name)
            if self._left.get(file.name) == file:
                del self._left[file.name]
