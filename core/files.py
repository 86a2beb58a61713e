"""Writing files so that nobody ever sees half of one.

Every file that a later step reads is written under a temporary name in the same folder, flushed to the
disk and renamed; a reader meets the old content or the new, also after a power cut.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import TemperError
from .interruption import held_back

#: Longer JSON files are not read: the annotations of a million pictures have a third of it.
MAX_JSON_BYTES = 1 << 30
#: The same for what Temper writes of its own work.
MAX_RECORD_BYTES = 64 << 20

#: Marks what is still being written. Whatever carries it after a crash is rubbish and may be removed.
PARTIAL_SUFFIX = ".partial"
#: The same of the lock's file beside such a folder.
_PARTIAL_LOCK_SUFFIX = f".lock{PARTIAL_SUFFIX}"
#: What :func:`swap` leaves of the second name, beside the first, where it was killed and the file system cannot swap.
SWAP_SUFFIX = ".aside"
# of Linux's renameat2
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class TooLongError(TemperError):
    """A file has more bytes than any of its kind."""


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or a file in the way at ``path`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TemperError(
                f"No space left on the disk while writing {path}. Free some, or choose another place, and run the same "
                "command again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise TemperError(f"No permission to write {path}. Choose a folder you may write to.") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise TemperError(
                f"{path} cannot be made: a file stands where one of its folders would. Choose another place."
            ) from error
        if error.errno == errno.ENOENT and not path.parent.is_dir():  # in /proc, for one
            raise TemperError(
                f"{path} cannot be made: the system lets no folder be made there. Choose another place."
            ) from error
        raise


@contextlib.contextmanager
def atomic_writer(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under ``path`` whole or not at all.

    Args:
        path: where the file will stand; missing folders are made.
        mode: ``"wb"`` or ``"w"`` (text is written as UTF-8).

    Yields:
        The open temporary file.

    Raises:
        TemperError: if the disk is full or the place may not be written.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX)
        temporary = Path(name)
        try:
            with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, so that equal values are equal files."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """What :func:`write_json` writes."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8")


def walk_folder(
    root: Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """A folder and all below it, links followed, as :func:`os.walk` gives them.

    A link to a folder that it lies in is not followed; any other is, also when the same folder is reached twice.

    Args:
        root: where to begin.
        onerror: is told of a folder that cannot be read; None passes over it.
    """
    for folder, below, names in os.walk(root, followlinks=True, onerror=onerror):
        inside = [folder, *(str(parent) for parent in Path(folder).absolute().parents)]
        above = {os.path.realpath(path) for path in inside}
        below[:] = [
            name
            for name in below
            if not os.path.islink(link := os.path.join(folder, name)) or os.path.realpath(link) not in above
        ]
        yield folder, below, names


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file that is not longer than it may be.

    Args:
        path: of the file.
        most: length in bytes that is still read.

    Raises:
        OSError: if it is missing or unreadable.
        TooLongError: if it is longer.
    """
    length = path.stat().st_size
    if length <= most:
        with path.open("rb") as file:
            # what is no regular file, such as /dev/zero, says it has no length and may have no end
            content = file.read(length + 1 if length else most + 1)
        if len(content) <= most:
            return content
    raise TooLongError(f"{path} has more than {most:,} bytes, so it is not read. Give the right file.")


def read_json(path: Path, most: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file of at most ``most`` bytes.

    Raises:
        TemperError: if it is missing, unreadable, too long or not JSON.
    """
    try:
        return json.loads(read_bytes(path, most).decode("utf-8"))
    except FileNotFoundError as error:
        raise TemperError(f"There is no file {path}.") from error
    except OSError as error:
        raise TemperError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # also no UTF-8, and numbers of thousands of digits
        raise TemperError(f"{path} cannot be read as JSON: {error}.") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears under ``path`` whole or not at all; an older one there is replaced.

    Yields:
        A fresh temporary folder beside ``path``.

    Raises:
        TemperError: if the disk is full or the place may not be written.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # what goes under this name: an unfinished folder, or the one that was replaced
        with partial_folder(path.parent, f".{path.name}.") as temporary:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync_file(file)
            if path.is_symlink() or path.is_file():
                path.unlink()
            with held_back():
                _put_in_place(temporary, path)
            sync_folder(path.parent)


@contextlib.contextmanager
def partial_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A fresh folder in ``place`` for something unfinished, which goes with the block.

    What a killed process left there under ``prefix`` goes as well. Whether anybody is still at work in such a folder is
    told by a lock on a file beside it: it ends with its process, and is seen from other containers and hosts too.
    """
    for left in place.glob(f"{glob.escape(prefix)}*{_PARTIAL_LOCK_SUFFIX}"):
        _remove_if_left(left)
    handle, lock = _locked_file(place, prefix)
    try:
        folder = _folder_of(lock)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _folder_of(lock: Path) -> Path:
    return lock.with_name(lock.name.removesuffix(_PARTIAL_LOCK_SUFFIX) + PARTIAL_SUFFIX)


def _locked_file(place: Path, prefix: str) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(dir=place, prefix=prefix, suffix=_PARTIAL_LOCK_SUFFIX)
        with contextlib.suppress(OSError):  # without locks nobody can take one either, and nothing is ever removed
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # taken for one that was left, in the instant before it was locked


def _remove_if_left(lock: Path) -> None:
    """Remove a folder and its lock's file if nobody holds the lock."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or another user's
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(_folder_of(lock), ignore_errors=True)
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _put_in_place(folder: Path, path: Path) -> None:
    """Rename ``folder`` to ``path``; a folder that stood there takes the other name. As :func:`swap` does it."""
    if path.exists():
        swap(folder, path)
    else:
        os.replace(folder, path)


def swap(first: Path, second: Path) -> None:
    """Give two files or folders each other's names, in one step where the file system can.

    Where it cannot (NFS), the second has no place for an instant. A process that is killed just then leaves it beside
    the others, under the first's name with :data:`SWAP_SUFFIX` behind it.

    Raises:
        OSError: if they cannot be renamed; both have their names then.
    """
    if _exchange(first, second):
        return
    # else the second steps aside for an instant
    aside = first.with_name(f"{first.name}{SWAP_SUFFIX}")
    os.replace(second, aside)
    try:
        os.replace(first, second)
    except OSError:
        os.replace(aside, second)
        raise
    os.replace(aside, first)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step (Linux's renameat2); False where that cannot be done."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def remove_tree(path: Path) -> None:
    """Remove a file or folder at once: it is renamed first, so an interruption leaves no half of it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        doomed = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX))
        os.replace(path, doomed / path.name)
        shutil.rmtree(doomed)


def remove_partial(folder: Path) -> None:
    """Remove what an interrupted writer left below ``folder``."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob(f".*{PARTIAL_SUFFIX}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: if it is missing, unreadable or no regular file: a device has no end.
    """
    digest = hashlib.sha256()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON (sorted keys, no white space), in hexadecimal."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
