"""A run's folder: which stages are done, under which key, and who is at work in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import TemperError
from ..core.files import explain_os_errors, read_json, remove_partial, remove_tree, write_json, write_text

#: Written when a stage begins: the key its half-done work belongs to.
KEY_NAME = "stage.key"
#: Written when a stage is done: its key, seconds and result.
DONE_NAME = "stage.json"
RECIPE_NAME = "recipe.json"
LOCK_NAME = ".lock"


@dataclass(frozen=True)
class StageRecord:
    """A finished stage.

    Attributes:
        key: hash of everything the stage's result depends on.
        seconds: it took, of the invocation that finished it.
        result: small facts for status and later stages (plain JSON values).
    """

    key: str
    seconds: float
    result: dict[str, Any]


class RunFolder:
    """``runs/NAME``: one folder per stage."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.path / name

    def record(self, name: str) -> StageRecord | None:
        """The record of a finished stage; None if it is not finished, or its record is damaged."""
        path = self.stage(name) / DONE_NAME
        if not path.is_file():
            return None
        try:
            value = read_json(path)
            return StageRecord(str(value["key"]), float(value["seconds"]), dict(value["result"]))
        except (TemperError, KeyError, TypeError, ValueError):
            return None

    def started_key(self, name: str) -> str | None:
        """The key under which a stage was begun, if it was."""
        try:
            return (self.stage(name) / KEY_NAME).read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def begin(self, name: str, key: str) -> Path:
        """Make the folder of a stage ready: kept if it was begun under the same key, else emptied."""
        folder = self.stage(name)
        if self.started_key(name) != key:
            remove_tree(folder)
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        (folder / DONE_NAME).unlink(missing_ok=True)
        remove_partial(folder)
        write_text(folder / KEY_NAME, key + "\n")
        return folder

    def finish(self, name: str, record: StageRecord) -> None:
        """Mark a stage as done; the last thing that is written of it."""
        write_json(
            self.stage(name) / DONE_NAME, {"key": record.key, "seconds": record.seconds, "result": record.result}
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's lock, so that two processes never write into one run.

        Raises:
            TemperError: if another process holds it.
        """
        with explain_os_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise TemperError(
                    f"Another temper (process {owner}) is at work in {self.path}. Wait for it, or stop it, and run this again."
                ) from error
            with explain_os_errors(self.path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)  # the kernel drops the lock with the handle, also when a process is killed

    def is_locked(self) -> bool:
        """Whether a process is at work in the run right now."""
        try:
            handle = os.open(self.path / LOCK_NAME, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError:
            return True
        finally:
            os.close(handle)
