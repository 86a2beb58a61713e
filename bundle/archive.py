"""Unpacking a zipped bundle: only what the manifest names, only as much as it says, only where it belongs."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..core.errors import TemperError
from ..core.files import explain_os_errors
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES

#: A zip file with more entries than this is not a bundle.
MAX_ENTRIES = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20


def extract_bundle(archive: Path, folder: Path, referenced: Callable[[bytes, Path], dict[str, int]]) -> None:
    """Unpack a bundle.

    Args:
        archive: a zip file with ``manifest.json`` at its top, or in the one folder at its top.
        folder: an empty folder of the caller's.
        referenced: gives the names and sizes of the files that a manifest's bytes speak of; nothing else is written.

    Raises:
        TemperError: if the file is not a zip of a bundle, or an entry is a link, climbs, stands twice, is encrypted,
            or is not as long as it says.
    """
    try:
        with zipfile.ZipFile(archive) as opened, explain_os_errors(folder):
            entries = _entries(opened, archive)
            manifest = _manifest_bytes(opened, entries, archive)
            (folder / MANIFEST_NAME).write_bytes(manifest)
            for name, size in referenced(manifest, archive).items():
                if name not in entries:
                    raise TemperError(
                        f"The bundle {archive} has no file {name}, which its manifest names. "
                        "Copy or export the bundle again."
                    )
                _extract(opened, entries[name], folder / name, size, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise TemperError(
            f"{archive} is not a bundle: it is neither a folder nor a readable zip file ({error})."
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


def _manifest_bytes(opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], archive: Path) -> bytes:
    _require_readable(entries[MANIFEST_NAME], archive)
    with opened.open(entries[MANIFEST_NAME]) as file:
        content = file.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise TemperError(f"The manifest of {archive} has more than {MAX_MANIFEST_BYTES:,} bytes.")
    return content


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, size: int, archive: Path) -> None:
    """Write one entry; never more than ``size`` bytes, whatever the archive says of itself."""
    _require_readable(info, archive)
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
