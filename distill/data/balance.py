"""How many pictures and boxes a data set has of what, and where that is lopsided."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...detection.boxes import LARGE_AREA, SMALL_AREA
from .finding import Finding
from .source import Box, SourceData, SourcePicture

SIZES = ("small", "medium", "large")

#: The most frequent class has at least so many times the boxes of the rarest: lopsided.
MOST_TIMES = 10
#: A class with fewer boxes to train on is hardly learnt.
FEWEST_BOXES = 20
#: A class whose share of the boxes differs by this factor between two splits: they are not of one kind.
SHARE_FACTOR = 2.0


@dataclass(frozen=True)
class SplitFigures:
    """What one split holds.

    Attributes:
        pictures: how many.
        without_boxes: how many of them have none.
        boxes: of each class, in the order of the labels.
        sizes: boxes that are ``"small"`` (below 32 x 32 pixels), ``"medium"`` and ``"large"`` (above 96 x 96), as COCO
            counts them.
    """

    pictures: int
    without_boxes: int
    boxes: dict[str, int]
    sizes: dict[str, int]

    @property
    def all_boxes(self) -> int:
        """The number of boxes."""
        return sum(self.boxes.values())


def split_figures(data: SourceData) -> dict[str, SplitFigures]:
    """The figures of every split, training first; pictures without a split are under the empty name."""
    by_split: dict[str, list[SourcePicture]] = defaultdict(list)
    for picture in data.pictures:
        by_split[picture.split or ""].append(picture)
    return {
        split: _figures(by_split[split], data.labels) for split in ("train", "val", "test", "") if split in by_split
    }


def check_classes(data: SourceData) -> Iterator[Finding]:
    """Classes that only a part of the splits has, and names that may be one class."""
    figures = split_figures(data)
    for split, declared in data.split_labels.items():
        extra = [name for name in declared if name not in data.split_labels.get("train", declared)]
        if extra:
            message = f"The split declares classes that the training split does not: {', '.join(extra)}."
            yield Finding("unknown-class", "error", split, "", message)
    if "train" in figures:
        for split, of_split in figures.items():
            for name, boxes in of_split.boxes.items():
                if boxes and not figures["train"].boxes[name]:
                    has = "1 box" if boxes == 1 else f"{boxes} boxes"
                    message = f"'{name}' has {has} here and none in the training split."
                    yield Finding("unknown-class", "error", split, "", message)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in data.labels:
        # scratch, Scratch, scratches
        alike[re.sub(r"[\W_]+", "", name.casefold()).removesuffix("s").removesuffix("e")].append(name)
    for names in alike.values():
        if len(names) > 1:
            message = f"{', '.join(map(repr, names))} count as {len(names)} classes and may be meant as one."
            yield Finding("similar-classes", "warning", "", "", message)


def check_balance(figures: dict[str, SplitFigures]) -> Iterator[Finding]:
    """Classes and sizes that are rare, or whose shares differ between the splits."""
    first = "train" if "train" in figures else next(iter(figures), None)
    if first is None:
        return
    yield from _check_counts(first, figures[first])
    for split, of_split in figures.items():
        if of_split.without_boxes:
            have = "has" if of_split.without_boxes == 1 else "have"
            message = f"{of_split.without_boxes} of {of_split.pictures} pictures {have} no box."
            yield Finding("no-boxes", "info", split, "", message)
        if split != first:
            yield from _check_shares(split, of_split, figures[first])
        if split in ("val", "test"):
            for name, boxes in of_split.boxes.items():
                if not boxes and figures[first].boxes[name]:
                    message = f"There is no box of '{name}', so there will be no AP of it."
                    yield Finding("class-imbalance", "warning", split, "", message)
            for size in SIZES:
                if not of_split.sizes[size] and of_split.all_boxes:
                    message = f"There is no {size} box, so there will be no AP of {size} ones."
                    yield Finding("size-imbalance", "info", split, "", message)


def _figures(pictures: Sequence[SourcePicture], labels: Sequence[str]) -> SplitFigures:
    boxes = Counter(label for picture in pictures for label in picture.labels)
    sizes = Counter(_size_of(box) for picture in pictures for box in picture.boxes)
    return SplitFigures(
        len(pictures),
        sum(not picture.boxes for picture in pictures),
        {name: boxes[name] for name in labels},
        {size: sizes[size] for size in SIZES},
    )


def _size_of(box: Box) -> str:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return "small" if area < SMALL_AREA else "medium" if area < LARGE_AREA else "large"


def _check_counts(split: str, figures: SplitFigures) -> Iterator[Finding]:
    for name, boxes in figures.boxes.items():
        if boxes < FEWEST_BOXES:
            message = f"'{name}' has {boxes or 'no'} {'box' if boxes == 1 else 'boxes'} to train on."
            yield Finding("class-imbalance", "warning", split, "", message)
    there = {name: boxes for name, boxes in figures.boxes.items() if boxes}
    if there:
        most, least = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
        if there[most] >= MOST_TIMES * there[least]:
            message = f"'{most}' has {there[most]} boxes, '{least}' only {there[least]}."
            yield Finding("class-imbalance", "warning", split, "", message)
    for size, boxes in figures.sizes.items():
        if 0 < boxes < figures.all_boxes / 100:
            message = f"Only {boxes} of {figures.all_boxes} boxes {'is' if boxes == 1 else 'are'} {size}."
            yield Finding("size-imbalance", "info", split, "", message)


def _check_shares(split: str, figures: SplitFigures, first: SplitFigures) -> Iterator[Finding]:
    """Shares of classes and sizes that a split has and the training split has not."""
    if not figures.all_boxes or not first.all_boxes:
        return
    for kind, here, there in (
        ("class-imbalance", figures.boxes, first.boxes),
        ("size-imbalance", figures.sizes, first.sizes),
    ):
        for name, boxes in here.items():
            share, usual = boxes / figures.all_boxes, there[name] / first.all_boxes
            # with few boxes shares differ by chance
            expected = usual * figures.all_boxes
            if max(boxes, expected) >= FEWEST_BOXES and (share > SHARE_FACTOR * usual or usual > SHARE_FACTOR * share):
                message = f"{share:.1%} of the boxes are '{name}', against {usual:.1%} in training."
                yield Finding(kind, "warning", split, "", message)  # type: ignore[arg-type]
