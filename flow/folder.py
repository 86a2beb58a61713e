"""A run's folder: which stages are done, under which key, and who is at work in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..core.errors import TemperError, UsageError
from ..core.files import (
    MAX_RECORD_BYTES,
    PARTIAL_SUFFIX,
    explain_os_errors,
    read_json,
    remove_partial,
    remove_tree,
    write_json,
    write_text,
)

#: Written when a stage begins: the key its half-done work belongs to.
KEY_NAME = "stage.key"
#: Written when a stage is done: its key, seconds and result.
DONE_NAME = "stage.json"
RECIPE_NAME = "recipe.json"
#: The file by which a folder is known: what it was last started with.
SWEEP_NAME, COMPARISON_NAME = "sweep.json", "comparison.json"
_KINDS = {RECIPE_NAME: "run", SWEEP_NAME: "sweep", COMPARISON_NAME: "comparison"}
LOCK_NAME = ".lock"
#: Written when a stage has failed: why, in a sentence; gone when it begins again.
FAILED_NAME = "stage.failed"
#: Stages that were to be done again, until all of them are done.
AGAIN_NAME = "again.json"
#: Pictures of a data set: too many to look at one by one, and a missing one is told of when it is read.
_UNWATCHED = "images"
#: 'temper status' holds the lock for an instant; after this many tries it is another run.
_LOCK_TRIES, _LOCK_PAUSE = 5, 0.05


@dataclass(frozen=True)
class StageRecord:
    """A finished stage.

    Attributes:
        key: hash of everything the stage's result depends on.
        seconds: it took; for a training over all interruptions.
        result: small facts for status and later stages (plain JSON values).
        finished_at: when, UTC, in ISO 8601.
        files: sizes in bytes of the files it made, by their path below the stage's folder.
        sources: what it read from outside the run, by the recipe's field; see :mod:`known_sources`.
    """

    key: str
    seconds: float
    result: dict[str, Any]
    finished_at: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="microseconds"))
    files: dict[str, int] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What the process that holds a run's lock is doing.

    Attributes:
        process: its id.
        stage: at work on; empty before the first.
        seconds: for so long.
    """

    process: str
    stage: str
    seconds: float


class RunFolder:
    """``runs/NAME``: one folder per stage.

    Args:
        path: of the folder.
        mark: the file by which it is known for what it is: a run, a sweep or a comparison.
    """

    def __init__(self, path: Path, mark: str = RECIPE_NAME) -> None:
        self.path, self.mark = path, mark

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.path / name

    def record(self, name: str) -> StageRecord | None:
        """The record of a finished stage; None if it is not finished, damaged, or misses files it made."""
        path = self.stage(name) / DONE_NAME
        if not path.is_file():
            return None
        try:
            value = read_json(path, MAX_RECORD_BYTES)
            files = {str(file): int(size) for file, size in value["files"].items()}
            result, sources = dict(value["result"]), dict(value.get("sources", {}))
            record = StageRecord(
                str(value["key"]), float(value["seconds"]), result, str(value["finished_at"]), files, sources
            )
        except (TemperError, KeyError, TypeError, ValueError, AttributeError):
            return None
        return record if all(_size(self.stage(name) / file) == size for file, size in files.items()) else None

    def started_key(self, name: str) -> str | None:
        """The key under which a stage was begun, if it was."""
        try:
            return (self.stage(name) / KEY_NAME).read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def can_go_on(self, name: str, key: str) -> bool:
        """Whether a stage was begun under this key and never finished, so that it goes on where it stopped."""
        return self.started_key(name) == key and not (self.stage(name) / DONE_NAME).exists()

    def failure(self, name: str) -> str | None:
        """Why a stage has failed, if it has and was not begun again since."""
        try:
            return (self.stage(name) / FAILED_NAME).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None

    def fail(self, name: str, why: str) -> None:
        """Leave the reason for a stage's failure for ``temper status``."""
        write_text(self.stage(name) / FAILED_NAME, why + "\n")

    def forgotten(self) -> frozenset[str]:
        """The stages of the last :meth:`forget`, unless all of them were done since."""
        return frozenset(self._again())

    def left_anew(self) -> frozenset[str]:
        """Those of :meth:`forgotten` that were not done since."""
        return frozenset(name for name, done in self._again().items() if not done)

    def done_anew(self, name: str) -> None:
        """Note that a forgotten stage is done."""
        noted = self._again()
        if name in noted:
            write_json(self.path / AGAIN_NAME, {**noted, name: True})

    def _again(self) -> dict[str, bool]:
        try:
            return {str(name): bool(done) for name, done in read_json(self.path / AGAIN_NAME, MAX_RECORD_BYTES).items()}
        except (TemperError, AttributeError):
            return {}

    def forget(self, names: Collection[str]) -> None:
        """Let stages count as never begun; what lies in their folders goes when they begin."""
        for name in names:
            for file in (DONE_NAME, KEY_NAME):
                remove_tree(self.stage(name) / file)
        # after it: a process killed in between would otherwise have noted what it has not done
        write_json(self.path / AGAIN_NAME, dict.fromkeys(sorted(names), False))

    def remember(self) -> None:
        """All forgotten stages are done: to do them again is a new wish from now on."""
        remove_tree(self.path / AGAIN_NAME)

    def begin(self, name: str, key: str) -> Path:
        """Make the folder of a stage ready: kept if its work :meth:`can_go_on`, else emptied."""
        folder = self.stage(name)
        if not self.can_go_on(name, key):
            remove_tree(folder)
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
        remove_tree(folder / FAILED_NAME)
        write_text(folder / KEY_NAME, key + "\n")
        return folder

    def finish(self, name: str, record: StageRecord) -> None:
        """Mark a stage as done, with the files that are there now; the last thing that is written of it."""
        folder = self.stage(name)
        files = {path.relative_to(folder).as_posix(): size for path, size in _watched_files(folder)}
        write_json(
            folder / DONE_NAME,
            {
                "key": record.key,
                "seconds": record.seconds,
                "result": record.result,
                "finished_at": record.finished_at,
                "files": files,
                "sources": record.sources,
            },
        )

    def require_usable(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            UsageError: if it is the folder of another kind of work: a run, a sweep or a comparison.
            TemperError: if it is there, is not empty, and is none of Temper's.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UsageError(f"{self.path} is there and is not a folder. Choose another place with --runs.")
        names = set(os.listdir(self.path))
        if self.mark in names:
            return
        kind = _KINDS[self.mark]
        for mark, other in _KINDS.items():
            if mark in names:
                raise UsageError(
                    f"{self.path} is the folder of a {other}, and this {kind} would lie there. Choose another name "
                    "with --set name=NAME, or another place with --runs."
                )
        # all that is there of one that was killed before it wrote its mark
        if any(name != LOCK_NAME and not name.endswith(PARTIAL_SUFFIX) for name in names):
            raise UsageError(
                f"{self.path} is there and does not belong to a {kind} of Temper. Choose another place with --runs, or "
                "another name with --set name=NAME."
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
            self._lock(handle)
            self.tell("")
            yield
        finally:
            os.close(handle)  # the kernel drops the lock with the handle, also when a process is killed

    def _lock(self, handle: int) -> None:
        for attempt in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if attempt == _LOCK_TRIES - 1:
                    owner = _read_lock(self.path)[0] or "unknown"
                    raise TemperError(
                        f"Another temper (process {owner}) is at work in {self.path}. Wait for it or stop it, "
                        "then give this command again."
                    ) from error
                time.sleep(_LOCK_PAUSE)
            except OSError as error:
                raise TemperError(
                    f"{self.path} is on a file system without locks ({error.strerror}). Choose a local disk with "
                    "--runs."
                ) from error

    def tell(self, stage: str) -> None:
        """Leave word for ``temper status``: this process, and the stage it is at. To be called under the lock."""
        with explain_os_errors(self.path):
            # in place: the lock is on this very file
            (self.path / LOCK_NAME).write_text(f"{os.getpid()} {stage}\n", encoding="utf-8")

    def work(self) -> Work | None:
        """What the process at work in the run does right now; None if there is none."""
        try:
            handle = os.open(self.path / LOCK_NAME, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except OSError:
            process, stage = _read_lock(self.path)
            return Work(process, stage, max(0.0, time.time() - os.fstat(handle).st_mtime))
        finally:
            os.close(handle)


def _read_lock(folder: Path) -> tuple[str, str]:
    try:
        process, _, stage = (folder / LOCK_NAME).read_text(encoding="utf-8").strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        return "", ""
    return process, stage


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _watched_files(folder: Path) -> Iterator[tuple[Path, int]]:
    for place, folders, names in os.walk(folder):
        if _UNWATCHED in folders:
            folders.remove(_UNWATCHED)
        for name in sorted(names):
            path = Path(place, name)
            if path not in (folder / KEY_NAME, folder / DONE_NAME):
                yield path, path.stat().st_size
