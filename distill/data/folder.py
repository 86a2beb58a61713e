"""The data set folder that Temper writes: where it may stand, and how pictures get into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...core.errors import TemperError, UsageError
from ...core.files import atomic_folder, explain_os_errors
from ...detection.dataset import SPLITS, DataSet, Sample, load_split, save_split
from .likeness import alike_groups
from .pictures import look_at_all
from .split import split_data


def require_replaceable(target: Path) -> None:
    """Make sure that nothing but an older data set is lost when ``target`` is written.

    Raises:
        TemperError: if it is a file or holds something else than a data set.
    """
    if target.is_dir():
        strangers = sorted({entry.name for entry in target.iterdir()} - {"annotations", "images"})
        if strangers:
            raise TemperError(f"{target} holds something else than a data set ({strangers[0]}). Choose another folder.")
    elif target.exists():
        raise TemperError(f"{target} is a file. Choose a folder.")


def require_apart(source: Path, target: Path) -> None:
    """Make sure that writing ``target`` cannot touch ``source``.

    Raises:
        UsageError: if one lies in the other.
    """
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UsageError(f"{target} and {source} lie in one another. Choose a target beside the source.")


def place_picture(source: Path, target: Path) -> None:
    """Hard-link a picture into a data set, or copy it where the file system cannot link."""
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)


def split_folder(folder: Path, ratio: Sequence[int], seed: int, out: Path | None = None) -> dict[str, DataSet]:
    """Split the pictures of a data set folder anew, whatever their splits were.

    Args:
        folder: a data set folder of Temper.
        ratio: of train, val and test.
        seed: the same seed splits the same pictures the same way. Pictures that are alike stay together.
        out: a folder to write the result to; without it the annotations of ``folder`` are replaced.

    Returns:
        The new splits.

    Raises:
        TemperError: if it is no data set folder, its splits have different classes, or there are too few pictures.
    """
    whole = _pool(folder)
    facts = look_at_all([whole.image_path(sample) for sample in whole.samples])
    alike = alike_groups({sample.file_name: fact for sample, fact in zip(whole.samples, facts, strict=True)})
    splits = split_data(whole, ratio, seed, alike)
    if out is None:
        annotations = folder / "annotations"
        strangers = sorted({entry.name for entry in annotations.iterdir()} - {f"{split}.json" for split in SPLITS})
        if strangers:
            raise TemperError(f"{annotations} holds {strangers[0]}, which would be lost. Write elsewhere with --out.")
        with atomic_folder(annotations) as fresh:
            for split, data in splits.items():
                # save_split puts its file into annotations/ below what it is given
                save_split(data, fresh, split)
                os.replace(fresh / "annotations" / f"{split}.json", fresh / f"{split}.json")
            (fresh / "annotations").rmdir()
        return splits
    require_apart(folder, out)
    require_replaceable(out)
    with atomic_folder(out) as fresh:
        for sample in whole.samples:
            place_picture(whole.image_path(sample), fresh / "images" / sample.file_name)
        for split, data in splits.items():
            save_split(data, fresh, split)
    return {split: replace(data, image_folder=out / "images") for split, data in splits.items()}


def _pool(folder: Path) -> DataSet:
    """All splits of a folder as one data set; a picture that is in two of them comes once."""
    there = [split for split in SPLITS if (folder / "annotations" / f"{split}.json").is_file()]
    sets = [load_split(folder, split) for split in there or SPLITS[:1]]
    samples: dict[str, Sample] = {}
    for data in sets:
        if data.labels != sets[0].labels:
            raise TemperError(f"The splits of {folder} have different classes. Import the data again.")
        for sample in data.samples:
            samples.setdefault(sample.file_name, sample)
    return replace(sets[0], samples=tuple(samples.values()), name=folder.name)
