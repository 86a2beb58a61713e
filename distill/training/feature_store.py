"""A teacher's features on disk: float16, one entry per picture and flip, each with a checksum of its own.

Entries are read with ``pread`` instead of being mapped: mapped pages count as the process's memory, and a file that
someone cuts short would end the process instead of being noticed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...core.files import MAX_RECORD_BYTES, explain_os_errors, read_json, remove_tree, sha256_json, write_json

#: Raised when what is written changes its form, so that older files are not taken for new ones.
FORMAT = 1
#: Every store's folder begins with it, followed by the hash of its key.
FOLDER_PREFIX = "features-"
_ABOUT, _DATA, _CHECKS, _LOCK = "about.json", "features.f16", "checks.u64", "lock"
#: A checksum with this bit belongs to an entry that is there; nothing was written where the number is 0.
_PRESENT = 1 << 32
_CHECK_BYTES = 8


@dataclass(frozen=True)
class FeatureLayout:
    """What a store holds.

    Attributes:
        shapes: (C, H, W) of each level.
        entries: how many pictures and flips there are.
    """

    shapes: tuple[tuple[int, int, int], ...]
    entries: int

    @property
    def values(self) -> int:
        """Numbers in an entry."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def entry_bytes(self) -> int:
        """Bytes of an entry."""
        return self.values * np.dtype(np.float16).itemsize

    @property
    def total_bytes(self) -> int:
        """Bytes of all entries and their checksums."""
        return self.entries * (self.entry_bytes + _CHECK_BYTES)

    def levels(self, entries: NDArray[Any]) -> list[NDArray[Any]]:
        """Entries [B, values] as one array [B, C, H, W] per level."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(entries, ends, axis=1)
        return [part.reshape(len(entries), *shape) for part, shape in zip(parts, self.shapes, strict=True)]


def store_folder(place: Path, key: Mapping[str, Any]) -> Path:
    """Where below ``place`` the features with a key lie; another key, another folder."""
    return place / f"{FOLDER_PREFIX}{sha256_json({'format': FORMAT, **key})[:24]}"


def bytes_missing(folder: Path, layout: FeatureLayout) -> int:
    """Bytes of the disk that a store still needs to hold all of a layout; none where they are taken already."""
    try:
        data = (folder / _DATA).stat()
        taken = (data.st_blocks + (folder / _CHECKS).stat().st_blocks) * 512
        written = np.count_nonzero(np.fromfile(folder / _CHECKS, "<u8", layout.entries))
    except OSError:
        return layout.total_bytes
    if data.st_size == layout.entries * layout.entry_bytes:
        # a file system that compresses takes fewer blocks than there are bytes
        taken = max(taken, int(written) * (layout.entry_bytes + _CHECK_BYTES))
    return max(0, layout.total_bytes - taken)


class FeatureStore:
    """Features under one key; several processes may read and fill it at once.

    A checksum is written after its entry and looked at on every reading, so that an entry that was not finished, or was
    damaged later, is never taken for one.

    Args:
        place: folder of this and other stores; made where it is missing.
        key: all that the features depend on, as JSON values.
        layout: what is to be stored.

    Raises:
        TemperError: if the disk is too small, or the place may not be written.
    """

    def __init__(self, place: Path, key: Mapping[str, Any], layout: FeatureLayout) -> None:
        self.folder = store_folder(place, key)
        self.layout = layout
        with explain_os_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            with _locked(place / _LOCK):
                self._make({"format": FORMAT, "key": dict(key), "shapes": [list(s) for s in layout.shapes]})
            self._data = os.open(self.folder / _DATA, os.O_RDWR)
            self._checks = os.open(self.folder / _CHECKS, os.O_RDWR)
        self._close = weakref.finalize(self, _close_all, self._data, self._checks)

    def _make(self, about: dict[str, Any]) -> None:
        """Bring the files to their size, the disk's blocks included; begin afresh if they are not this key's."""
        try:
            stands = read_json(self.folder / _ABOUT, MAX_RECORD_BYTES) == about
        except TemperError:
            stands = False
        if not stands:
            remove_tree(self.folder)
            self.folder.mkdir()
        entries = self.layout.entries
        for name, size in ((_DATA, entries * self.layout.entry_bytes), (_CHECKS, entries * _CHECK_BYTES)):
            handle = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _reserve(handle, size)
            finally:
                os.close(handle)
        if not stands:
            write_json(self.folder / _ABOUT, about)

    def close(self) -> None:
        """Let go of the files; nothing can be read or written afterwards."""
        self._close()

    def has(self, first: int, count: int) -> bool:
        """Whether ``count`` entries from ``first`` on have been written; whether they can be read is another matter."""
        checks = os.pread(self._checks, count * _CHECK_BYTES, first * _CHECK_BYTES)
        return len(checks) == count * _CHECK_BYTES and bool(np.frombuffer(checks, "<u8").all())

    def read(self, entry: int, into: NDArray[np.float16]) -> bool:
        """Read an entry.

        Args:
            entry: its number.
            into: float16 [values], contiguous; gets the entry.

        Returns:
            False if it was never written, or is damaged; ``into`` then holds anything.
        """
        size = self.layout.entry_bytes
        try:
            check = os.pread(self._checks, _CHECK_BYTES, entry * _CHECK_BYTES)
            got = os.preadv(self._data, [into.data.cast("B")], entry * size)
        except OSError as error:
            if error.errno == errno.EIO:  # a bad block of the disk
                return False
            raise
        return got == size and check == _check_of(into)

    def write(self, first: int, entries: NDArray[np.float16]) -> None:
        """Write entries float16 [n, values] from number ``first`` on, and then their checksums.

        Raises:
            TemperError: if the disk does not take them.
        """
        with explain_os_errors(self.folder):
            _write_all(self._data, np.ascontiguousarray(entries).tobytes(), first * self.layout.entry_bytes)
            checks = b"".join(_check_of(np.ascontiguousarray(entry)) for entry in entries)
            _write_all(self._checks, checks, first * _CHECK_BYTES)

    @contextlib.contextmanager
    def reserved(self, first: int, count: int, *, wait: bool) -> Iterator[bool]:
        """Keep other processes from filling the same entries; a process that is killed holds nothing any more.

        Args:
            first: entry.
            count: of entries.
            wait: for whoever is at work on them.

        Yields:
            Whether they are this process's to fill; always True with ``wait``.
        """
        place = (count * _CHECK_BYTES, first * _CHECK_BYTES)
        try:
            fcntl.lockf(self._checks, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), *place)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._checks, fcntl.LOCK_UN, *place)


def _close_all(*handles: int) -> None:
    for handle in handles:
        os.close(handle)


def _check_of(entry: NDArray[np.float16]) -> bytes:
    return (_PRESENT | zlib.crc32(entry.data.cast("B"))).to_bytes(_CHECK_BYTES, "little")


def _write_all(handle: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(handle, left, offset)
        left, offset = left[written:], offset + written


def _reserve(handle: int, size: int) -> None:
    if not size:
        return
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.truncate(handle, size)  # a file system that promises no blocks: a full disk shows when it is written to


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
