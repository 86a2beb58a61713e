"""Unpacking archives that may come from anywhere: nothing leaves the folder, nothing but plain files comes out."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...core.errors import TemperError
from ...core.files import explain_os_errors
from .listing import ENDINGS

#: Pictures hardly compress: what swells more than this, and beyond the allowance, is a bomb.
MAX_SWELLING = 100
ALLOWANCE_BYTES = 1 << 30
MAX_MEMBERS = 5_000_000

#: Endings of the names of archives.
ARCHIVE_ENDINGS = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz"})

#: Tar keeps long names in blocks that are read into memory as a whole; a name has not a megabyte.
_MAX_HEADER_BYTES = 1 << 20
_HEADER_TYPES = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_BLOCK = 1 << 20
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RecursionError,  # headers that announce headers without end
)
_IMPOSSIBLE_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


_COMPRESSIONS: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)


class _HugeHeaderError(tarfile.TarError):
    """A header that would fill the memory."""


class _TarInfo(tarfile.TarInfo):
    """A member whose header is what it should be; ``tarfile`` takes a broken one for the end and says nothing."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarInfo:
        """Read one header block; see the base class."""
        with _told_headers(buf):
            return _of_sound_length(super().frombuf(buf, encoding, errors))

    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **options: Any) -> _TarInfo:
        # what Python's patch releases since late 2025 read a header by
        with _told_headers(buf):
            header: _TarInfo = super()._frombuf(buf, encoding, errors, **options)  # type: ignore[misc]
        return _of_sound_length(header)


@contextmanager
def _told_headers(buf: bytes | bytearray) -> Iterator[None]:
    """Tell of a header that is cut short or broken; an empty one is the end mark."""
    if len(buf) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut short")
    try:
        yield
    except tarfile.HeaderError as error:
        if not any(buf):
            raise
        raise tarfile.ReadError(f"one of its headers is broken ({error})") from error


def _of_sound_length(header: _TarInfo) -> _TarInfo:
    if header.type in _HEADER_TYPES and not 0 <= header.size <= _MAX_HEADER_BYTES:
        raise _HugeHeaderError(f"one of its headers has {header.size:,} bytes")
    return header


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar (plain, gzip, bzip2, xz), by its content.

    Raises:
        TemperError: if it cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            return True
        with _open_tar(path):
            return True
    except _HugeHeaderError:
        return True  # a tar, and unpacking it will say what is wrong with it
    except OSError as error:
        if error.errno is not None:
            raise TemperError(f"{path} cannot be read: {error.strerror}.") from error
    except _DAMAGED:
        pass
    return False


def unpack(archive: Path, target: Path) -> None:
    """Unpack pictures and annotations below an empty folder; other members are passed over.

    Args:
        archive: a zip or tar file.
        target: an existing, empty folder.

    Raises:
        TemperError: if the archive is damaged, encrypted or swells beyond measure, if a member would leave the folder
            or is a link or device, or if the disk is full.
    """
    budget = max(ALLOWANCE_BYTES, MAX_SWELLING * archive.stat().st_size)
    with explain_os_errors(target), _explain_damage(archive):
        for number, (name, size, content) in enumerate(_members(archive)):
            if number >= MAX_MEMBERS:
                raise TemperError(f"{archive} has more than {MAX_MEMBERS:,} members and was not unpacked.")
            relative = _safe_path(name, archive)
            if relative.suffix.lower() in ENDINGS and content is not None:
                with content:
                    budget -= _copy(content, target / relative, budget)
            else:
                budget -= size
            if budget < 0:
                raise TemperError(
                    f"{archive} swells to more than {MAX_SWELLING} times its size and was not unpacked. If it is "
                    "sound, unpack it yourself and import the folder."
                )


@contextmanager
def _open_tar(archive: Path) -> Iterator[tuple[tarfile.TarFile, IO[bytes]]]:
    """Open a tar as a stream: a damaged or endless header is met where it stands, and nothing is read twice.

    Yields:
        The tar, and the plain bytes that it reads.
    """
    with archive.open("rb") as file:
        signature = file.read(6)
        file.seek(0)
        # tarfile would open these itself, but check no checksum
        openers = [opener for mark, opener in _COMPRESSIONS if signature.startswith(mark)]
        with (
            openers[0](file) if openers else nullcontext(file) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_TarInfo) as tarred,
        ):
            yield tarred, stream


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Name and content of every plain file, and how many bytes passing it over costs."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unsafe(archive, entry.filename, "is a link or device")
                if entry.flag_bits & 0x1:
                    raise TemperError(f"{archive} is encrypted. Unpack it yourself and import the folder.")
                if not entry.is_dir():
                    yield entry.filename, 0, zipped.open(entry)
    else:
        with _open_tar(archive) as (tarred, stream):
            for member in tarred:
                if not (member.isreg() or member.isdir()):
                    raise _unsafe(archive, member.name, "is a link or device")
                if member.isreg():
                    # a stream is unpacked to be passed over
                    yield member.name, member.size, tarred.extractfile(member)
            # what follows the end mark is little, and behind it stands the checksum, compared when nothing is left
            stream.read(_BLOCK)
            stream.read(_BLOCK)


def _safe_path(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise _unsafe(archive, name, "would be written outside the folder")
    return path


def _copy(content: IO[bytes], path: Path, budget: int) -> int:
    """Write a member, but no more than a block beyond ``budget`` bytes of it, and give the size of what was read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("wb") as file:
        while size <= budget and (block := content.read(_BLOCK)):
            size += len(block)
            file.write(block)
    return size


def _unsafe(archive: Path, name: str, reason: str) -> TemperError:
    return TemperError(f"{archive} was not unpacked: its member '{name[:200]}' {reason}.")


@contextmanager
def _explain_damage(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise TemperError(f"The archive {archive} is damaged: {error or type(error).__name__}.") from error
    except (ValueError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise TemperError(f"The archive {archive} has members that contradict each other: {error}.") from error
    except OSError as error:
        # gzip tells of damage by an OSError without number; those with one are the disk's
        if error.errno is None:
            raise TemperError(f"The archive {archive} is damaged: {error}.") from error
        if error.errno in _IMPOSSIBLE_NAME:
            raise TemperError(
                f"The archive {archive} has a member whose name no file can have here: {error.strerror}."
            ) from error
        raise
