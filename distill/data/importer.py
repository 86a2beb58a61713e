"""Importing: Pascal VOC, COCO or an archive of either becomes a data set folder of Temper.

What is decided here, once: boxes that reach over the picture's edge are cut to it and exact duplicates of a box are
dropped, both counted; whatever else is wrong stops the import with the file, the entry and the value.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...core.files import atomic_folder
from ...detection.boxes import clip_boxes
from ...detection.dataset import MAX_LABEL_LENGTH, MAX_LABELS, SPLITS, DataSet, Sample, save_split
from .finding import Kind, refuse
from .folder import place_picture, require_apart, require_replaceable
from .likeness import alike_groups
from .picture_checks import check_origin, check_picture
from .pictures import PictureFacts, look_at_all
from .reader import opened, read_source
from .source import SourceData, SourcePicture
from .split import split_data

_FORMAT_NAMES = {"voc": "Pascal VOC", "coco": "COCO json", "temper": "a data set of Temper"}


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        format: that was read: ``"voc"``, ``"coco"`` or ``"temper"``.
        labels: the classes in the order of their index.
        pictures: of each split.
        boxes: of each class, over all splits.
        duplicates_dropped: boxes that were exactly another of the same picture and class.
        boxes_cut: boxes that reached over the picture's edge and were cut to it.
        split_made: whether the splits were made here; otherwise the data brought them.
        notes: sentences on what was left out or decided.
    """

    format: str
    labels: tuple[str, ...]
    pictures: dict[str, int]
    boxes: dict[str, int]
    duplicates_dropped: int
    boxes_cut: int
    split_made: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """What was done in a few sentences."""
        pictures = " and ".join(f"{count:,} {split}" for split, count in self.pictures.items())
        boxes = f"{sum(self.boxes.values()):,} boxes of {len(self.labels)} classes"
        sentences = [f"Imported {pictures} pictures with {boxes} from {_FORMAT_NAMES[self.format]}."]
        if self.duplicates_dropped:
            many = self.duplicates_dropped > 1
            boxes = f"{self.duplicates_dropped} boxes were exact duplicates" if many else "1 box was an exact duplicate"
            sentences.append(f"{boxes} of another and dropped.")
        if self.boxes_cut:
            boxes = "1 box" if self.boxes_cut == 1 else f"{self.boxes_cut} boxes"
            sentences.append(
                f"{boxes} reached over the picture's edge and lost what lay beyond ('temper data check' of the source "
                "names each)."
            )
        return " ".join([*sentences, *self.notes])


def import_data(
    source: Path,
    target: Path,
    *,
    split_ratio: Sequence[int] = (7, 2, 1),
    split_seed: int = 0,
    force: bool = False,
) -> ImportSummary:
    """Make a data set folder from a foreign data set.

    Args:
        source: a folder of Pascal VOC or COCO, a COCO json file, an archive of these, or a data set folder of Temper.
        target: the folder to make, whole or not at all.
        split_ratio: of train, val and test, where the data brings no split.
        split_seed: of that split.
        force: whether an older data set at the target is replaced; anything else never is.

    Returns:
        What was done.

    Raises:
        TemperError: naming the file and the entry that does not fit; or if the target is taken, or the disk is
            full.
    """
    require_apart(source, target)
    require_replaceable(target, force)
    with opened(source, target.absolute().parent) as place:
        found = read_source(place, partial(refuse, place if place.is_dir() else place.parent))
        if not found.pictures:
            raise TemperError(f"{source} holds no picture with an annotation.")
        if not found.labels:
            raise TemperError(f"{source} holds no box, and so no class to learn.")
        _require_labels_fit(source, found.labels)
        return _write(found, target, split_ratio, split_seed)


def _require_labels_fit(source: Path, labels: Sequence[str]) -> None:
    """Told before a training of hours, at whose end no bundle could hold them."""
    if len(labels) > MAX_LABELS:
        raise TemperError(
            f"{source} has {len(labels):,} classes, and a bundle holds {MAX_LABELS:,}. Join some of them."
        )
    longest = max(labels, key=len)
    if len(longest) > MAX_LABEL_LENGTH:
        raise TemperError(
            f"{source} has a class of {len(longest):,} characters, '{longest[:40]}…', and a bundle holds names of "
            f"{MAX_LABEL_LENGTH}. Rename it in the annotations."
        )


def _write(found: SourceData, target: Path, ratio: Sequence[int], seed: int) -> ImportSummary:
    found, left_out = _without_strays(found)
    names = _target_names(found)
    counts: Counter[Kind] = Counter()
    files = sorted(names)
    facts = dict(zip(files, look_at_all([found.root / file for file in files]), strict=True))
    samples = _make_samples(found, names, facts, counts)
    splits, how = _make_splits(found, samples, alike_groups({names[file]: facts[file] for file in files}), ratio, seed)
    notes = [*found.notes, *left_out, *how, *(finding.message for finding in check_origin(found, facts))]
    if not how:
        notes += _note_leaks(found.pictures, facts)
    with atomic_folder(target) as folder:
        (folder / "images").mkdir()
        for file, name in names.items():
            place_picture(Path(found.root / file), folder / "images" / name)
        for split, data in splits.items():
            save_split(replace(data, image_folder=folder / "images"), folder, split)
    boxes = Counter(label for data in splits.values() for sample in data.samples for label in sample.labels.tolist())
    return ImportSummary(
        found.format,
        found.labels,
        {split: len(data) for split, data in splits.items()},
        {name: boxes[label] for label, name in enumerate(found.labels)},
        counts["duplicate-box"],
        counts["box-outside"],
        bool(how),
        tuple(notes),
    )


def _without_strays(found: SourceData) -> tuple[SourceData, list[str]]:
    """Without the pictures of no split, where the data brings splits to train and to judge on; and a note on it."""
    splits = {picture.split for picture in found.pictures}
    if None not in splits or not ("train" in splits and splits & {"val", "test"}):
        return found, []
    strays = [picture.file for picture in found.pictures if picture.split is None]
    kept = tuple(picture for picture in found.pictures if picture.split is not None)
    many = "1 picture is" if len(strays) == 1 else f"{len(strays):,} pictures are"
    return replace(found, pictures=kept), [f"{many} in no split and stayed out, such as {strays[0]}."]


def _note_leaks(pictures: Sequence[SourcePicture], facts: dict[PurePosixPath, PictureFacts]) -> list[str]:
    """Whether splits that the data brings have pictures in common."""
    first: dict[str, str | None] = {}
    leaks = [p.file for p in pictures if first.setdefault(facts[p.file].sha256, p.split) != p.split]
    if not leaks:
        return []
    many = "1 picture is" if len(leaks) == 1 else f"{len(leaks):,} pictures are"
    return [
        f"{many} in two splits, such as {leaks[0]}: see 'temper data check', or part them with 'temper data split'."
    ]


def _target_names(found: SourceData) -> dict[PurePosixPath, str]:
    """What each picture is called below images/: its bare name, or with its folders where bare names collide."""
    files = sorted({picture.file for picture in found.pictures})
    for file in files:
        try:
            file.as_posix().encode("utf-8")
        except UnicodeEncodeError as error:
            written = os.fsencode(found.root / file).decode("utf-8", "backslashreplace")
            raise TemperError(f"The name of the picture {written} is not UTF-8. Rename it.") from error
    if len({file.name.lower() for file in files}) == len(files):
        return {file: file.name for file in files}
    shared = os.path.commonpath([file.parent.as_posix() or "." for file in files])
    return {file: file.relative_to(shared).as_posix() for file in files}


def _make_samples(
    found: SourceData, names: dict[PurePosixPath, str], facts: dict[PurePosixPath, PictureFacts], counts: Counter[Kind]
) -> list[tuple[SourcePicture, Sample]]:
    index = {name: label for label, name in enumerate(found.labels)}
    made = []
    for picture in found.pictures:
        for finding in check_picture(picture, facts[picture.file]):
            if finding.severity == "error":
                refuse(found.root, finding)
            counts[finding.kind] += finding.count
        size = facts[picture.file].size
        assert size is not None  # otherwise it was an error
        kept = list(dict.fromkeys(zip(picture.boxes, picture.labels, strict=True)))
        boxes = clip_boxes(np.array([box for box, _ in kept], np.float32).reshape(-1, 4), size)
        labels = np.array([index[label] for _, label in kept], np.int32)
        made.append((picture, Sample(names[picture.file], *size, boxes, labels)))
    return made


def _make_splits(
    found: SourceData,
    made: Sequence[tuple[SourcePicture, Sample]],
    alike: Sequence[Sequence[str]],
    ratio: Sequence[int],
    seed: int,
) -> tuple[dict[str, DataSet], list[str]]:
    """The splits that the data brings; made here where there are none, or nothing to judge on."""
    by_split: dict[str | None, list[Sample]] = defaultdict(list)
    for picture, sample in made:
        by_split[picture.split].append(sample)
    name = found.root.name
    brought = {
        split: DataSet(found.labels, tuple(by_split[split]), Path("images"), f"{name}/{split}")
        for split in SPLITS
        if split in by_split
    }
    if {"train", "val"} <= brought.keys():
        return brought, []
    if brought.keys() == {"train", "test"}:
        if len(ratio) > 1 and ratio[1] == 0:
            return brought, []
        taken = split_data(brought["train"], ratio[:2], seed, alike)
        note = f"The data brings no validation split; it was taken from the training split, {ratio[0]}:{ratio[1]}."
        return {**taken, "test": brought["test"]}, [note]
    everything = DataSet(found.labels, tuple(sample for _, sample in made), Path("images"), name)
    return split_data(everything, ratio, seed, alike), [
        f"The data brings no training and validation split; it was split {':'.join(map(str, ratio))} with seed {seed}."
    ]
