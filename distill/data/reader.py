"""Tells the format of a data set and reads it, from a folder, a COCO json file or an archive."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ...core.errors import TemperError, UsageError
from ...core.files import explain_os_errors, partial_folder, read_json
from ...detection.dataset import SPLITS
from .archive import ARCHIVE_ENDINGS, is_archive, unpack
from .coco import find_coco, read_coco, require_coco
from .finding import Complain
from .folder import holds_data_set
from .listing import list_files, split_of_name
from .source import SourceData
from .voc import read_voc

#: Folders of annotations; the pictures of a COCO file in one of them lie beside it.
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels")


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
                folder = stack.enter_context(partial_folder(workplace or Path(tempfile.gettempdir()), ".unpacked."))
            unpack(source, folder)
            try:
                yield folder
            except TemperError as error:
                # where it was unpacked to is gone when the message is read
                raise type(error)(str(error).replace(str(folder), str(source))) from error
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
    if holds_data_set(source):
        own = [path for split in SPLITS if (source / (path := PurePosixPath("annotations", f"{split}.json"))).is_file()]
        files = {path: _read_coco_json(source / path) for path in own}
        # annotations/ may hold pictures of something else, images/ is where file names start from
        listing = replace(listing, pictures=tuple(p for p in listing.pictures if p.parts[0] == "images"))
        return replace(read_coco(listing, files, complain), format="temper")
    if files := find_coco(listing):
        return read_coco(listing, files, complain)
    if listing.annotations:
        return read_voc(listing, complain)
    for path in listing.jsons if len(listing.jsons) == 1 else filter(split_of_name, listing.jsons):
        _read_coco_json(source / path)  # says what it lacks
    return _give_up(source)


def _read_json_file(source: Path, complain: Complain) -> SourceData:
    if source.suffix.lower() != ".json":
        _give_up(source)
    content = _read_coco_json(source)
    root = source.parent.parent if source.parent.name.lower() in _ANNOTATION_FOLDERS else source.parent
    return read_coco(list_files(root), {PurePosixPath(source.relative_to(root).as_posix()): content}, complain)


def _read_coco_json(path: Path) -> object:
    content = read_json(path)
    require_coco(content, path)
    return content


def _require_there(source: Path) -> None:
    if not source.exists():
        raise UsageError(f"There is no data at {source}. Give a folder, a COCO json file or an archive that is there.")


def _give_up(source: Path) -> NoReturn:
    if source.suffix.lower() in ARCHIVE_ENDINGS:
        raise TemperError(f"{source} is no archive that can be read: it may be damaged or cut short. Fetch it again.")
    raise UsageError(
        f"{source} holds no data set that can be read: looked for Pascal VOC (XML files and pictures), COCO (json and "
        "pictures), and archives of these (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz)."
    )
