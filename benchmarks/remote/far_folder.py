"""The folder on the other machine and the lock in it; the standard library alone, sent with ``far_side.py``."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = b"@temper "
#: In the folder, so that nobody else's is ever cleaned.
OURS = ".temper-remote"
BLOCK = 1 << 20


class Refusal(Exception):
    """Why a request is not done: a word that the other side has a sentence for, and what belongs into it."""

    def __init__(self, kind: str, **data: Any) -> None:
        super().__init__(kind)
        self.kind, self.data = kind, data


def say(**data: Any) -> None:
    """Send one answer."""
    sys.stdout.buffer.write(MARK + json.dumps(data).encode("ascii") + b"\n")
    sys.stdout.buffer.flush()


def own_folder(folder: Path) -> Path:
    """The folder, made and marked where it is not there.

    Raises:
        Refusal: if it is somebody else's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid() or (not (folder / OURS).exists() and any(folder.iterdir())):
        raise Refusal("foreign_folder", path=str(folder))
    (folder / OURS).touch()
    return folder


def free_bytes(folder: Path) -> int:
    """What an ordinary user can still write where the folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def inside(folder: Path, relative: str) -> Path:
    """A path below the folder.

    Raises:
        Refusal: if it leads out of it.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in relative:
        raise Refusal("system", path=relative, reason="it leads out of the folder")
    return folder.joinpath(*parts)


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    """What a file says; None if there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def take_lock(folder: Path, job: str) -> int:
    """Hold the folder's lock for this process and those that get its descriptor; gives the descriptor.

    Raises:
        Refusal: if something is at work there.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + 2
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # a short look of another may be in the way
            if time.monotonic() > until:
                raise Refusal("busy", job=holder(folder)) from None
            time.sleep(0.05)
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, job.encode(), 0)
            return handle


def holder(folder: Path) -> str | None:
    """The job that holds the lock; None if nothing does."""
    try:
        handle = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.pread(handle, 200, 0).decode(errors="replace")
    finally:
        os.close(handle)
    return None


def stored_file(folder: Path, sha256: str) -> Path:
    """Where a file lies by its content."""
    return inside(folder, f"files/{sha256[:2]}/{sha256}")


def place_file(stored: Path, target: Path) -> None:
    """Link a stored file to where it is wanted; a copy where the file system has no links."""
    if target.exists() and target.samefile(stored):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name[:100]}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(stored, partial)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.copyfile(stored, partial)
    os.replace(partial, target)


def regular_files(top: Path) -> Iterator[Path]:
    """The regular files below a folder, in order; links and hidden files (a lock, what is unfinished) are left out."""
    for folder, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                yield path
