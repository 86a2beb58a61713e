"""Tells the format of a data set and reads it, from a folder, a COCO json file or an archive."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

from ...core.errors import TemperError, UsageError
from ...core.files import PARTIAL_SUFFIX, explain_os_errors, read_json
from ...detection.dataset import SPLITS
from .archive import is_archive, unpack
from .coco import find_coco, is_coco, read_coco
from .finding import Complain
from .listing import list_files
from .source import SourceData
from .voc import read_voc

#: Folders of annotations; the pictures of a COCO file in one of them lie beside it.
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels")


def detect_format(source: Path) -> Literal["archive", "temper", "coco", "voc"]:
    """What a path holds: an archive, a data set folder of Temper, COCO json or Pascal VOC.

    Raises:
        TemperError: if it is not there or is none of these.
    """
    _require_there(source)
    if source.is_file():
        if source.suffix.lower() == ".json":
            return "coco"
        return "archive" if is_archive(source) else _give_up(source)
    if _is_temper(source):
        return "temper"
    listing = list_files(source)
    if find_coco(listing):
        return "coco"
    return "voc" if listing.annotations else _give_up(source)


@contextlib.contextmanager
def opened(source: Path, workplace: Path | None = None) -> Iterator[Path]:
    """The folder or json file to read; an archive is unpacked, and what was unpacked is removed afterwards.

    Args:
        source: a folder, a COCO json file or an archive.
        workplace: where to unpack; the system's temporary folder by default.

    Raises:
        TemperError: if it is not there, or the archive is damaged or unsafe, or the disk is full.
    """
    _require_there(source)
    if source.is_file() and is_archive(source):
        with contextlib.ExitStack() as stack:
            with explain_os_errors(workplace or Path(tempfile.gettempdir())):
                if workplace is not None:
                    workplace.mkdir(parents=True, exist_ok=True)
                unpacked = tempfile.TemporaryDirectory(dir=workplace, prefix=".unpacked.", suffix=PARTIAL_SUFFIX)
            folder = Path(stack.enter_context(unpacked))
            unpack(source, folder)
            yield folder
    else:
        yield source


def read_source(source: Path, complain: Complain) -> SourceData:
    """Read a data set of any known format.

    Args:
        source: a folder or a COCO json file; for archives see :func:`opened`.
        complain: told of every entry that cannot be taken; if it returns, the entry is left out.

    Raises:
        TemperError: if nothing there is of a known format.
    """
    _require_there(source)
    if source.is_file():
        return _read_json_file(source, complain)
    listing = list_files(source)
    if _is_temper(source):
        own = [path for split in SPLITS if (source / (path := PurePosixPath("annotations", f"{split}.json"))).is_file()]
        files = {path: _read_coco_json(source / path) for path in own}
        # annotations/ may hold pictures of something else, images/ is where file names start from
        listing = replace(listing, pictures=tuple(p for p in listing.pictures if p.parts[0] == "images"))
        return replace(read_coco(listing, files, complain), format="temper")
    if files := find_coco(listing):
        return read_coco(listing, files, complain)
    if listing.annotations:
        return read_voc(listing, complain)
    for path in listing.jsons[:1]:
        _read_coco_json(source / path)
    return _give_up(source)


def _read_json_file(source: Path, complain: Complain) -> SourceData:
    if source.suffix.lower() != ".json":
        _give_up(source)
    content = _read_coco_json(source)
    root = source.parent.parent if source.parent.name.lower() in _ANNOTATION_FOLDERS else source.parent
    return read_coco(list_files(root), {PurePosixPath(source.relative_to(root).as_posix()): content}, complain)


def _read_coco_json(path: Path) -> object:
    content = read_json(path)
    if not is_coco(content):
        raise TemperError(
            f"{path} is not a COCO detection file: it has to hold the lists images, annotations and categories."
        )
    return content


def _is_temper(folder: Path) -> bool:
    annotations = folder / "annotations"
    return (folder / "images").is_dir() and any((annotations / f"{split}.json").is_file() for split in SPLITS)


def _require_there(source: Path) -> None:
    if not source.exists():
        raise TemperError(f"There is no data at {source}. Give a folder, a COCO json file or an archive that is there.")


def _give_up(source: Path) -> NoReturn:
    raise UsageError(
        f"{source} holds no data set that can be read: looked for Pascal VOC (XML files and pictures), COCO (json and "
        "pictures), and archives of these (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz)."
    )
