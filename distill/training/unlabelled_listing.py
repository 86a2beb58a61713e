"""Which unlabelled pictures a distillation is on: listed when it begins, kept, the same to its end.

The folder may be an archive that grows by the minute. A training that listed it anew at every start would shuffle other
pictures after an interruption, and ranks that each listed it would not agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import TemperError, UsageError
from ...core.files import read_json, sha256_file, write_text
from ...detection.dataset import DataSet, Sample
from ...detection.images import ResizeRule
from .. import ranks
from ..data.listing import list_files

#: Beside the results of a distillation, where it shares the list with no other: the names of its unlabelled pictures.
LISTING_NAME = "unlabelled.json"


def unlabelled_pictures(folder: Path, judged: Sequence[DataSet], rule: ResizeRule) -> DataSet:
    """The pictures that lie below a folder now, as a data set without boxes.

    Args:
        folder: looked through with all folders in it.
        judged: pictures that results are judged on; files with the same content are left out.
        rule: its size stands for the pictures' own, which are only known once they are read.

    Raises:
        UsageError: if the folder is not there, or has no pictures.
    """
    return _data_set(folder, _list(folder, judged), judged[0].labels, rule)


def kept_pictures(
    path: Path, folder: Path, judged: Sequence[DataSet], rule: ResizeRule, warn: Callable[[str], None]
) -> DataSet:
    """The pictures that a training began with; the first call for a list makes it. Rank 0 looks, all hear.

    Args:
        path: of the list, which belongs to this very ``folder`` of pictures and these ``judged`` ones.
        folder: see :func:`unlabelled_pictures`.
        judged: see there.
        rule: see there.
        warn: is told a sentence if some of them are gone.

    Returns:
        As many as in the beginning: where one is gone, another takes its place and all others keep theirs.

    Raises:
        UsageError: if there are none, or none any more.
        TemperError: if the listing is damaged.
    """
    mine = b""
    if ranks.rank() == 0:
        if path.is_file():
            names = _present(folder, _read(path), warn)
        else:
            names = _list(folder, judged)
            # escaped, since a file's name need not be UTF-8
            write_text(path, json.dumps({"pictures": names}, indent=0) + "\n")
        mine = json.dumps(names).encode("ascii")
    return _data_set(folder, json.loads(ranks.share_bytes(mine)), judged[0].labels, rule)


def _list(folder: Path, judged: Sequence[DataSet]) -> list[str]:
    if not folder.is_dir():
        raise UsageError(
            f"The recipe's data.unlabelled is '{folder}', which is no folder. Give one with pictures in it, or set it "
            "to null."
        )
    contents: dict[int, set[str]] = {}
    for path in (data.image_path(sample) for data in judged for sample in data.samples):
        # one that is not there has no copies; reading it tells
        if (length := _bytes(path)) >= 0:
            contents.setdefault(length, set()).add(sha256_file(path))
    names = []
    for name in list_files(folder).pictures:
        path = folder / name
        # most files are told apart by their length alone
        if (length := _bytes(path)) not in contents or sha256_file(path) not in contents[length]:
            names.append(name.as_posix())
    if not names:
        raise UsageError(
            f"The recipe's data.unlabelled is '{folder}', which has no pictures (but such as are judged on). Give "
            "another folder, or set it to null."
        )
    return names


def _present(folder: Path, names: list[str], warn: Callable[[str], None]) -> list[str]:
    """The names, those of files that are gone each replaced by another."""
    gone = {name for name in names if _bytes(folder / name) < 0 and not (folder / name).is_symlink()}
    if not gone:
        return names
    left = [name for name in names if name not in gone]
    first = next(name for name in names if name in gone)
    if not left:
        raise UsageError(
            f"None of the {len(names):,} unlabelled pictures that this distillation began with is in {folder} any more "
            f"(the first was {first}). Put them back, or name another folder as data.unlabelled to begin afresh."
        )
    warn(
        f"{len(gone):,} of the {len(names):,} unlabelled pictures that this distillation began with are no longer in "
        f"{folder} (the first was {first}). Others take their places, so its numbers will differ from those of an "
        "undisturbed one."
    )
    instead = {name: left[place % len(left)] for place, name in enumerate(sorted(gone))}
    return [instead.get(name, name) for name in names]


def _read(path: Path) -> list[str]:
    try:
        found: Any = read_json(path)["pictures"]
    except (TemperError, KeyError, TypeError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise TemperError(
            f"{path}, the list of the unlabelled pictures, is damaged. Remove the folder {path.parent} to begin afresh."
        )
    return found


def _data_set(folder: Path, names: Sequence[str], labels: tuple[str, ...], rule: ResizeRule) -> DataSet:
    blank = Sample("", rule.width, rule.height, np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    samples = tuple(replace(blank, file_name=name) for name in names)
    return DataSet(labels, samples, folder, f"{folder.name}/unlabelled")


def _bytes(path: Path) -> int:
    """How long a file is; -1 for one that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
