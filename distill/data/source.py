"""A foreign data set as it was read, before anything is decided about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

Format = Literal["temper", "coco", "voc"]
Box = tuple[float, float, float, float]


def as_box(x1: float, y1: float, x2: float, y2: float) -> Box:
    """The edges as float32 holds them: what is equal or empty in a data set is so when it is read."""
    box: list[float] = np.array((x1, y1, x2, y2), np.float32).tolist()
    return box[0], box[1], box[2], box[3]


@dataclass(frozen=True)
class SourcePicture:
    """One picture of a foreign data set.

    Attributes:
        file: of the picture, relative to the data set's root.
        annotation: the file that describes it, likewise.
        split: ``"train"``, ``"val"`` or ``"test"`` where the data set says so.
        size: width and height in pixels as the annotation gives them, if it does.
        boxes: x1, y1, x2, y2 in pixels, continuous edges from 0, in float32's precision; with area, but possibly
            outside the picture.
        labels: the name of each box's class.
    """

    file: PurePosixPath
    annotation: PurePosixPath
    split: str | None
    size: tuple[int, int] | None
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]

    def in_split(self, split: str) -> SourcePicture:
        """The same picture in another split."""
        return replace(self, split=split)


@dataclass(frozen=True)
class SourceData:
    """A foreign data set.

    Attributes:
        format: it was read from.
        root: where ``SourcePicture.file`` starts from.
        labels: all classes, in the order their index will have.
        pictures: all of them.
        notes: sentences on what was left out.
        split_labels: the classes that each split declares, where the format declares them; the key is empty
            without a split.
    """

    format: Format
    root: Path
    labels: tuple[str, ...]
    pictures: tuple[SourcePicture, ...]
    notes: tuple[str, ...] = ()
    split_labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
