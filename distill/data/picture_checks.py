"""What is wrong with pictures and their boxes. An import stops at the errors; a check lists everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath

from .finding import Finding
from .pictures import PictureFacts
from .source import Box, SourceData, SourcePicture

#: A box may reach this far over the edge in pixels; rounding does as much.
EDGE_TOLERANCE = 0.01
#: So many boxes that begin at exactly 1, and none before, are no chance.
FEWEST_AT_ONE = 10


def check_picture(picture: SourcePicture, facts: PictureFacts) -> Iterator[Finding]:
    """Compare a picture with its annotation.

    Args:
        picture: as its annotation describes it.
        facts: what its file really is.

    Yields:
        Findings with the picture's file; one for all boxes of a kind, or one for each box that is an error.
    """
    finding = partial(Finding, split=picture.split or "", file=picture.file.as_posix())
    if facts.size is None:
        yield finding("unreadable-picture", "error", message=f"It {facts.problem}.")
        return
    if facts.mislabelled:
        yield finding("mislabelled-picture", "warning", message=f"It is a {facts.format}, whatever its ending says.")
    width, height = facts.size
    if picture.size is not None and picture.size != facts.size:
        given = f"{picture.size[0]} x {picture.size[1]}"
        message = f"It has {width} x {height} pixels, but {picture.annotation} says {given}."
        yield finding("size-differs", "error", message=message)
        return
    yield from _check_edges(picture, facts.size, finding)
    yield from _check_repeats(picture, finding)


def check_origin(data: SourceData, facts: Mapping[PurePosixPath, PictureFacts]) -> Iterator[Finding]:
    """Whether a COCO data set counts pixels from 1, as converters leave it that forget Pascal VOC's convention.

    Nothing else tells of it: all boxes lie inside their pictures, only a pixel too narrow and too low.

    Args:
        data: as it was read.
        facts: of every picture's file.

    Yields:
        One finding about the whole data set, or none.
    """
    if data.format == "voc":
        return
    at_one = at_end = 0
    for picture in data.pictures:
        size = facts[picture.file].size
        if size is None:
            continue
        for x1, y1, x2, y2 in picture.boxes:
            if min(x1, y1) < 1:
                return
            at_one += min(x1, y1) == 1
            at_end += x2 == size[0] or y2 == size[1]
    if at_one >= FEWEST_AT_ONE and at_end:
        message = (
            f"{at_one} boxes begin at 1 and none before, while {at_end} end at the edge of their picture: it seems "
            "that pixels are counted from 1 where COCO counts from 0, so that boxes lack a pixel at their left and top."
        )
        yield Finding("counted-from-one", "warning", "", "", message, count=at_one)


def _check_edges(picture: SourcePicture, size: tuple[int, int], finding: partial[Finding]) -> Iterator[Finding]:
    worst: tuple[float, Box | None] = (0.0, None)
    count = 0
    for box, label in zip(picture.boxes, picture.labels, strict=True):
        if min(box[2], size[0]) - max(box[0], 0) <= 0 or min(box[3], size[1]) - max(box[1], 0) <= 0:
            edges = ", ".join(f"{edge:g}" for edge in box)
            message = (
                f"Its box of '{label}' in {picture.annotation} (x1, y1, x2, y2 = {edges}) lies outside the picture of "
                f"{size[0]} x {size[1]} pixels."
            )
            yield finding("box-outside", "error", message=message, box=box)
            continue
        overhang = max(-box[0], -box[1], box[2] - size[0], box[3] - size[1])
        if overhang > max(size):
            edges = ", ".join(f"{edge:g}" for edge in box)
            message = (
                f"Its box of '{label}' in {picture.annotation} (x1, y1, x2, y2 = {edges}) reaches {overhang:g} pixels "
                f"over the edge of a picture of {size[0]} x {size[1]}, so it is no box of this picture."
            )
            yield finding("box-outside", "error", message=message, box=box)
            continue
        if overhang > EDGE_TOLERANCE:
            count += 1
            worst = max(worst, (overhang, box), key=lambda pair: pair[0])
    if count:
        boxes, them = ("1 box reaches", "it") if count == 1 else (f"{count} boxes reach", "them")
        message = f"{boxes} over its edge, by up to {worst[0]:g} pixels; an import cuts {them}."
        yield finding("box-outside", "warning", message=message, box=worst[1], count=count)


def _check_repeats(picture: SourcePicture, finding: partial[Finding]) -> Iterator[Finding]:
    entries = Counter(zip(picture.boxes, picture.labels, strict=True))
    repeats = sum(entries.values()) - len(entries)
    if repeats:
        (box, label), _ = entries.most_common(1)[0]
        message = f"A box of '{label}' is there {entries[box, label]} times over; an import keeps one."
        yield finding("duplicate-box", "warning", message=message, box=box, count=repeats)
    classes: dict[Box, list[str]] = {}
    for box, label in entries:
        classes.setdefault(box, []).append(label)
    for box, labels in classes.items():
        if len(labels) > 1:
            message = f"One box has several classes: {', '.join(labels)}."
            yield finding("two-classes", "warning", message=message, box=box)
