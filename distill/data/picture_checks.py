"""What is wrong with one picture and its boxes. An import stops at the errors; a check lists everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from .finding import Finding
from .pictures import PictureFacts
from .source import Box, SourcePicture

#: A box may reach this far over the edge in pixels; rounding does as much.
EDGE_TOLERANCE = 0.01


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
        if overhang > EDGE_TOLERANCE:
            count += 1
            worst = max(worst, (overhang, box), key=lambda pair: pair[0])
    if count:
        boxes = "1 box reaches" if count == 1 else f"{count} boxes reach"
        message = f"{boxes} over its edge, by up to {worst[0]:g} pixels; an import cuts them."
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
