"""The data set folder that Temper writes: where it may stand, and how pictures get into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...core.errors import TemperError, UsageError
from ...core.files import atomic_folder, read_json
from ...detection.dataset import SPLITS, DataSet, Sample, load_split, save_split
from .likeness import alike_in
from .split import split_data

_SPLIT_FILES = frozenset(f"{split}.json" for split in SPLITS)
#: What a COCO file written by Temper has, and no other key.
_OWN_KEYS = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "bbox", "area", "iscrowd"},
    "categories": {"id", "name"},
}


def holds_data_set(folder: Path) -> bool:
    """Whether a folder looks like a data set of Temper: pictures, and COCO files that are all named after splits."""
    names = {path.name for path in (folder / "annotations").glob("*.json")}
    return (folder / "images").is_dir() and bool(names) and names <= _SPLIT_FILES


def require_replaceable(target: Path, force: bool = False) -> None:
    """Make sure that nothing is lost when ``target`` is written.

    Args:
        target: where a data set shall stand.
        force: whether an older data set there may be lost. Anything else may not.

    Raises:
        UsageError: if it is no place to put a folder, or something is there.
    """
    if Path.cwd().resolve().is_relative_to(target.resolve()):
        raise UsageError(f"{target} is the folder you are in. Give the data set one of its own, such as data/mine.")
    if target.is_mount():
        raise UsageError(f"{target} is a mounted disk, which cannot be replaced. Choose a folder in it.")
    if not target.is_dir():
        if target.exists():
            raise UsageError(f"{target} is a file. Choose a folder.")
        return
    there = {entry.name for entry in target.iterdir()}
    if not there:
        return
    stranger = min(there - {"annotations", "images"}, default=None)
    if stranger is None and not holds_data_set(target):
        stranger = "no annotations of any split"
    stranger = stranger or _foreign_part(target / "annotations")
    if stranger:
        raise UsageError(f"{target} holds something else than a data set ({stranger}). Choose another folder.")
    if not force:
        raise UsageError(f"{target} holds a data set already. Choose another folder, or replace it with --force.")


def require_apart(source: Path, target: Path) -> None:
    """Make sure that writing ``target`` cannot touch ``source``.

    Raises:
        UsageError: if one lies in the other.
    """
    here, there = source.resolve(), target.resolve()
    if here == there:
        raise UsageError(f"{target} is the source itself. Choose a target beside it.")
    if here in there.parents or there in here.parents:
        raise UsageError(f"{target} and {source} overlap. Choose a target beside the source.")


def place_picture(source: Path, target: Path) -> None:
    """Hard-link a picture into a data set, or copy it where the file system cannot link.

    Raises:
        TemperError: if the source cannot be read.
        OSError: if the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
        return
    except FileExistsError:
        if os.path.samefile(source, target):
            return
        raise TemperError(f"Two pictures would be called {target.name}: {source} is the second. Rename it.") from None
    except OSError:
        pass  # a file system without links, or another disk
    try:
        original = source.open("rb")
    except OSError as error:
        raise TemperError(f"The picture {source} cannot be read: {error.strerror}.") from error
    # "x": what stands there may be a link to somebody's own picture
    with original, target.open("xb") as copy:
        shutil.copyfileobj(original, copy)


def split_folder(
    folder: Path, ratio: Sequence[int], seed: int, out: Path | None = None, force: bool = False
) -> dict[str, DataSet]:
    """Split the pictures of a data set folder anew, whatever their splits were.

    Args:
        folder: a data set folder of Temper.
        ratio: of train, val and test.
        seed: the same seed splits the same pictures the same way. Pictures that are alike stay together.
        out: a folder to write the result to; without it the annotations of ``folder`` are replaced.
        force: whether an older data set at ``out`` is replaced.

    Returns:
        The new splits.

    Raises:
        TemperError: if it is no data set folder, its splits have different classes, or there are too few pictures.
    """
    if out is None:
        annotations = folder / "annotations"
        if annotations.is_dir() and (lost := _foreign_part(annotations)):
            raise TemperError(f"{annotations} holds {lost}, which would be lost. Write elsewhere with --out.")
    else:
        require_apart(folder, out)
        require_replaceable(out, force)
    whole = _pool(folder)
    splits = split_data(whole, ratio, seed, alike_in(whole))
    if out is None:
        with atomic_folder(annotations) as fresh:
            for split, data in splits.items():
                # save_split puts its file into annotations/ below what it is given
                save_split(data, fresh, split)
                os.replace(fresh / "annotations" / f"{split}.json", fresh / f"{split}.json")
            (fresh / "annotations").rmdir()
        return splits
    with atomic_folder(out) as fresh:
        for sample in whole.samples:
            place_picture(whole.image_path(sample), fresh / "images" / sample.file_name)
        for split, data in splits.items():
            save_split(data, fresh, split)
    return {split: replace(data, image_folder=out / "images") for split, data in splits.items()}


def _foreign_part(annotations: Path) -> str | None:
    """What a folder of annotations has that Temper does not write, as a reader of the message calls it.

    It would be lost if they were written anew: other files, segmentations, licences, crowds.
    """
    for entry in sorted(annotations.iterdir()):
        if entry.name not in _SPLIT_FILES:
            return entry.name
        content = read_json(entry)
        for part, values in content.items() if isinstance(content, dict) else ():
            if part not in _OWN_KEYS:
                return f"'{part}' in {entry.name}"
            for value in values if isinstance(values, list) else ():
                foreign = set(value) - _OWN_KEYS[part] if isinstance(value, dict) else {"entries of another kind"}
                if foreign or value.get("iscrowd"):
                    return f"'{min(foreign, default='iscrowd')}' in {entry.name}"
    return None


def _pool(folder: Path) -> DataSet:
    """All splits of a folder as one data set; a picture that is in two of them comes once."""
    there = [split for split in SPLITS if (folder / "annotations" / f"{split}.json").is_file()]
    if not there and folder.is_dir():
        raise TemperError(f"{folder} is no data set folder of Temper. Make one with 'temper data import'.")
    sets = [load_split(folder, split) for split in there or SPLITS[:1]]
    samples: dict[str, Sample] = {}
    for data in sets:
        if data.labels != sets[0].labels:
            raise TemperError(f"The splits of {folder} have different classes. Import the data again.")
        for sample in data.samples:
            samples.setdefault(sample.file_name, sample)
    return replace(sets[0], samples=tuple(samples.values()), name=folder.name)
