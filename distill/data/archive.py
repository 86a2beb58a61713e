"""Unpacking archives that may come from anywhere: nothing leaves the folder, nothing but plain files comes out."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from ...core.errors import TemperError
from ...core.files import explain_os_errors
from .listing import ENDINGS

#: Pictures hardly compress: what swells more than this, and beyond the allowance, is a bomb.
MAX_SWELLING = 100
ALLOWANCE_BYTES = 1 << 30
MAX_MEMBERS = 5_000_000

_BLOCK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar (plain, gzip, bzip2, xz), by its content."""
    with explain_os_errors(path):
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


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
        for number, (name, content) in enumerate(_members(archive)):
            if number >= MAX_MEMBERS:
                raise TemperError(f"{archive} has more than {MAX_MEMBERS:,} members and was not unpacked.")
            relative = _safe_path(name, archive)
            if relative.suffix.lower() not in ENDINGS or content is None:
                continue
            with content:
                budget -= _copy(content, target / relative, budget, archive)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every plain file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unsafe(archive, entry.filename, "is a link or device")
                if entry.flag_bits & 0x1:
                    raise TemperError(f"{archive} is encrypted. Unpack it yourself and import the folder.")
                if not entry.is_dir():
                    yield entry.filename, zipped.open(entry)
    else:
        # as a stream: a damaged or endless header is met where it stands, and nothing is read twice
        with tarfile.open(archive, "r|*") as tarred:
            for member in tarred:
                if not (member.isreg() or member.isdir()):
                    raise _unsafe(archive, member.name, "is a link or device")
                if member.isreg():
                    yield member.name, tarred.extractfile(member)


def _safe_path(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise _unsafe(archive, name, "would be written outside the folder")
    return path


def _copy(content: IO[bytes], path: Path, budget: int, archive: Path) -> int:
    """Write a member and give its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("wb") as file:
        while block := content.read(_BLOCK):
            size += len(block)
            if size > budget:
                raise TemperError(
                    f"{archive} swells to more than {MAX_SWELLING} times its size and was not unpacked. If it is "
                    "sound, unpack it yourself and import the folder."
                )
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
        raise
