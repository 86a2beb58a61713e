"""A bundle as one zip file: packed so that equal bundles are equal files, unpacked with care.

Of a zip only what the manifest names is unpacked, only as much as it says, only where it belongs.
"""

from __future__ import annotations

import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from ..core.errors import TemperError
from ..core.files import explain_os_errors
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SIGNATURE_NAME, Manifest

#: A zip file with more entries than this is not a bundle.
MAX_ENTRIES = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20
#: A signature is shorter by far.
_MOST_SIGNATURE_BYTES = 64 << 10
#: The directory of a zip is read in one piece, which is not longer than this.
_MOST_AT_ONCE = 2 << 20
#: Graphs and pictures hardly shrink; what unpacks to more than this many times its length was made to fill a disk.
_MOST_EXPANSION = 200
_EPOCH = (1980, 1, 1, 0, 0, 0)


class _BoundedFile(io.FileIO):
    """A file of which nobody reads much at once: ``zipfile`` takes a directory of any length into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As usual, but for a limit.

        Raises:
            BadZipFile: if more is asked for.
        """
        if size is None or size < 0:
            place = self.tell()
            size = self.seek(0, io.SEEK_END) - place
            self.seek(place)
        if size > _MOST_AT_ONCE:
            raise zipfile.BadZipFile("its directory is longer than a bundle's")
        return super().read(size) or b""


def write_archive(folder: Path, manifest: Manifest, target: IO[bytes]) -> None:
    """Pack a bundle: stored, in one order, with one time and one mode, so that equal bundles are equal bytes.

    Args:
        folder: of a bundle that was checked.
        manifest: of that bundle.
        target: an empty file that can be sought in.
    """
    names = [MANIFEST_NAME, *([SIGNATURE_NAME] if (folder / SIGNATURE_NAME).is_file() else [])]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in names + sorted(one.file for one in manifest.files()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, wherever it is made
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, _BLOCK)


def require_packed_form(archive: Path, folder: Path, manifest: Manifest, scratch: Path) -> None:
    """Check that a zip is, byte for byte, what :func:`write_archive` makes of its content.

    Args:
        archive: the zip.
        folder: its content, unpacked and checked.
        manifest: of that.
        scratch: a path for a temporary file.

    Raises:
        TemperError: if it is not.
    """
    with explain_os_errors(scratch), scratch.open("w+b") as again, archive.open("rb") as given:
        write_archive(folder, manifest, again)
        again.seek(0)
        same = True
        while same and (block := again.read(_BLOCK)):
            same = given.read(len(block)) == block
        same = same and not given.read(1)
    scratch.unlink()
    if not same:
        raise TemperError(
            f"The bundle {archive} was changed, or was not packed by 'temper bundle pack', and a signed file is taken "
            "only as that command wrote it. Pack the bundle's folder with that command."
        )


def extract_bundle(
    archive: Path,
    folder: Path,
    referenced: Callable[[bytes, Path], dict[str, int]],
    admit: Callable[[], object] = lambda: None,
) -> None:
    """Unpack a bundle.

    Args:
        archive: a zip file with ``manifest.json`` at its top, or in the one folder at its top.
        folder: an empty folder of the caller's.
        referenced: gives the names and sizes of the files that a manifest's bytes speak of; nothing else is written.
        admit: called when manifest and signature lie in ``folder`` and nothing else does; what it raises ends it there.

    Raises:
        TemperError: if the file is not a zip of a bundle, or an entry is a link, climbs, stands twice, is encrypted,
            or is not as long as it says.
    """
    try:
        with (
            _BoundedFile(str(archive)) as file,
            zipfile.ZipFile(file) as opened,
            explain_os_errors(folder),
        ):
            entries = _entries(opened, archive)
            manifest = _small_entry(opened, entries[MANIFEST_NAME], MAX_MANIFEST_BYTES, "manifest", archive)
            (folder / MANIFEST_NAME).write_bytes(manifest)
            if SIGNATURE_NAME in entries:
                signature = _small_entry(opened, entries[SIGNATURE_NAME], _MOST_SIGNATURE_BYTES, "signature", archive)
                (folder / SIGNATURE_NAME).write_bytes(signature)
            admit()
            for name, size in referenced(manifest, archive).items():
                if name not in entries:
                    raise TemperError(
                        f"The bundle {archive} has no file {name}, which its manifest names. "
                        "Copy or export the bundle again."
                    )
                _extract(opened, entries[name], folder / name, size, archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,  # UnicodeDecodeError, and offsets before the beginning
        OverflowError,
        struct.error,
    ) as error:
        raise TemperError(
            f"{archive} is damaged or not a bundle: it is neither a folder nor a whole zip file ({error}). Give "
            "the NAME.temper that an export wrote, or that 'temper bundle pack' made of it."
        ) from error
    except OSError as error:
        raise TemperError(f"The bundle {archive} cannot be unpacked: {error.strerror or error}.") from error


def _entries(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of the archive by their path in the bundle."""
    infos = opened.infolist()
    if len(infos) > MAX_ENTRIES:
        raise TemperError(f"{archive} is not a bundle: it has {len(infos)} entries, more than {MAX_ENTRIES}.")
    files: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if not name:  # or one that begins with a zero byte, where zipfile cuts it off
            raise TemperError(f"The bundle {archive} was not opened: an entry of it has no name.")
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise TemperError(f"The bundle {archive} was not opened: its entry '{name[:80]}' would leave its folder.")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise TemperError(f"The bundle {archive} was not opened: its entry '{name[:80]}' is a link or a device.")
        if info.is_dir():
            continue
        if name in files:
            raise TemperError(f"The bundle {archive} was not opened: its entry '{name[:80]}' stands twice.")
        files[name] = info
    if MANIFEST_NAME in files:
        return files
    tops = {name.split("/", 1)[0] for name in files}
    top = next(iter(tops)) if len(tops) == 1 else ""
    if f"{top}/{MANIFEST_NAME}" not in files:
        raise TemperError(f"{archive} is not a Temper bundle: it has no {MANIFEST_NAME}.")
    return {name.split("/", 1)[1]: info for name, info in files.items()}


def _small_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, what: str, archive: Path) -> bytes:
    _require_readable(info, archive)
    with opened.open(info) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TemperError(f"The {what} of {archive} has more than {most:,} bytes.")
    return content


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, size: int, archive: Path) -> None:
    """Write one entry; never more than ``size`` bytes, whatever the archive says of itself."""
    _require_readable(info, archive)
    if size > _BLOCK and size > _MOST_EXPANSION * info.compress_size:
        raise TemperError(
            f"The bundle {archive} was not opened: its entry '{info.filename[:80]}' would unpack to more than "
            f"{_MOST_EXPANSION} times its length."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    left = size
    with opened.open(info) as file, target.open("xb") as out:
        while block := file.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            out.write(block)
    if left != 0:
        raise TemperError(
            f"The bundle {archive} was not opened: its entry '{info.filename[:80]}' has another length than the "
            "manifest says."
        )


def _require_readable(info: zipfile.ZipInfo, archive: Path) -> None:
    if info.flag_bits & 0x1:
        raise TemperError(f"The bundle {archive} is encrypted; Temper reads plain zip files.")
    if info.compress_type not in _METHODS:
        raise TemperError(
            f"The bundle {archive} is packed by a method Temper does not read; use a plain zip (deflate)."
        )
