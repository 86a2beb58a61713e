"""Synthetic hot-rolled steel with defects whose boxes are exact.

A picture depends on the seed, the split and its own number alone: asking for more pictures leaves the first
ones as they are, and the same seed gives the same pixels and boxes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError
from ...core.files import atomic_folder
from ...detection.dataset import DataSet, Sample, save_split
from .defects import DEFECTS, Defect
from .stream import Stream
from .texture import UNITS, Surface, draw_surface

#: The classes, in the order of their label.
LABELS = tuple(DEFECTS)
#: The smallest width and height of a picture in pixels.
SMALLEST_PICTURE = 64
#: The largest; steel is drawn at several times this in memory.
LARGEST_PICTURE = 8192
#: Raised whenever the same seed gives other pictures than before.
GENERATION = 1

#: Pictures of this area carry one helping of defects; larger ones carry as many more as they are larger.
_HELPING_AREA = 200 * 200
#: A changed pixel counts as drawn from this many grey levels on; fainter ones stay as they were.
_VISIBLE = 5
#: The shortest side of a box in pixels.
_SHORTEST_SIDE = 8
#: Pixels between the boxes of two defects.
_GAP = 10
_ATTEMPTS = 40


@dataclass(frozen=True)
class Difficulty:
    """How hard the pictures are.

    Attributes:
        contrast: weakest and strongest change of brightness by a defect, in grey levels.
        side: smallest and largest nominal side of a defect in pixels (classes scale and stretch it).
        defects: fewest and most defects per 200 x 200 pixels.
        grain: lowest and highest roughness of the steel, in grey levels (standard deviation).
        mixed_share: share of further defects in a picture that may be of another class than its first.
        horizontal_share: share of pictures on which the strip runs along x instead of y.
        defect_free_share: share of pictures without any defect.
    """

    contrast: tuple[float, float] = (36.0, 90.0)
    side: tuple[float, float] = (38.0, 150.0)
    defects: tuple[int, int] = (1, 4)
    grain: tuple[float, float] = (1.5, 7.0)
    mixed_share: float = 0.4
    horizontal_share: float = 0.2
    defect_free_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings under which a defect could not be drawn or seen."""
        limits = {"contrast": (20, 160), "side": (20, 400), "defects": (1, 50), "grain": (0, 30)}
        for name, (least, most) in limits.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise UsageError(f"{name} is {low} to {high}; it has to rise and lie within {least} and {most}.")
        for name in ("mixed_share", "horizontal_share", "defect_free_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; a share lies within 0 and 1.")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what was drawn into it.

    Attributes:
        image: uint8 [H, W].
        clean: uint8 [H, W], the same steel without the defects.
        boxes: float32 [N, 4], x1, y1, x2, y2: the tightest around the pixels that differ. They do not overlap.
        labels: int32 [N], index into ``LABELS``.
    """

    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class _Frame:
    """A place of a defect: the plane's corner and sides, possibly jutting out of the picture."""

    left: int
    top: int
    width: int
    height: int

    def inside(self, width: int, height: int) -> tuple[slice, slice]:
        """The rows and columns of a picture that it covers."""
        rows = slice(max(0, self.top), min(height, self.top + self.height))
        return rows, slice(max(0, self.left), min(width, self.left + self.width))


def draw_picture(
    seed: int, split: str, number: int, size: tuple[int, int] = (200, 200), difficulty: Difficulty | None = None
) -> Picture:
    """Draw one picture.

    Args:
        seed: of the data set.
        split: name of the split; each has pictures of its own.
        number: of the picture in the split, from 0.
        size: width and height in pixels, each from ``SMALLEST_PICTURE`` to ``LARGEST_PICTURE``.
        difficulty: how hard; the default is tuned for small models trained in minutes.

    Returns:
        The picture, with and without its defects, and their boxes.

    Raises:
        UsageError: if the size is too small or too large.
    """
    width, height = size
    if min(size) < SMALLEST_PICTURE:
        raise UsageError(
            f"Pictures of {width} x {height} pixels are too small for defects; ask for at least "
            f"{SMALLEST_PICTURE} x {SMALLEST_PICTURE}."
        )
    if max(size) > LARGEST_PICTURE:
        raise UsageError(
            f"Pictures of {width} x {height} pixels are too large; ask for at most "
            f"{LARGEST_PICTURE} x {LARGEST_PICTURE}."
        )
    level = difficulty or Difficulty()
    stream = Stream("temper-steel", GENERATION, seed, split, number)
    turned = stream.chance(level.horizontal_share)
    if turned:
        width, height = height, width
    surface = draw_surface(stream, width, height, level.grain)
    clean = surface.photograph()
    image = clean.copy()
    boxes, labels = _draw_defects(stream, surface, image, number, level)
    if turned:
        image, clean = np.ascontiguousarray(image.T), np.ascontiguousarray(clean.T)
        boxes = [(y1, x1, y2, x2) for x1, y1, x2, y2 in boxes]
    return Picture(image, clean, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int32))


def make_split(
    count: int, width: int, height: int, seed: int, *, split: str = "train", difficulty: Difficulty | None = None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]]:
    """Draw the pictures of one split, one after the other.

    Args:
        count: number of pictures.
        width: of a picture in pixels.
        height: of a picture in pixels.
        seed: of the data set.
        split: name of the split; each has pictures of its own.
        difficulty: see :class:`Difficulty`.

    Yields:
        image uint8 [H, W], boxes float32 [N, 4] (x1, y1, x2, y2) and labels int32 [N], index into ``LABELS``.

    Raises:
        UsageError: if the size is too small.
    """
    for number in range(count):
        picture = draw_picture(seed, split, number, (width, height), difficulty)
        yield picture.image, picture.boxes, picture.labels


def write_data_set(
    folder: Path,
    *,
    train: int,
    val: int,
    width: int,
    height: int,
    seed: int,
    difficulty: Difficulty | None = None,
) -> None:
    """Write a data set folder of synthetic steel: PNG pictures, COCO json for ``train`` and ``val``.

    Args:
        folder: where it will stand, whole or not at all; an older one there is replaced.
        train: number of pictures to train on.
        val: number of pictures to judge on; a split of 0 pictures is left out.
        width: of a picture in pixels.
        height: of a picture in pixels.
        seed: of the data set.
        difficulty: see :class:`Difficulty`.

    Raises:
        UsageError: if the size is too small.
        TemperError: if the folder cannot be written.
    """
    with atomic_folder(folder) as target:
        (target / "images").mkdir()
        for split, count in (("train", train), ("val", val)):
            if count == 0:
                continue
            samples = []
            pictures = make_split(count, width, height, seed, split=split, difficulty=difficulty)
            for number, (image, boxes, labels) in enumerate(pictures):
                name = f"{split}_{number:05d}.png"
                encoded, content = cv2.imencode(".png", image)
                if not encoded:
                    raise TemperError(f"A picture of {width} x {height} pixels cannot be written as PNG; ask for less.")
                (target / "images" / name).write_bytes(content.tobytes())
                samples.append(Sample(name, width, height, boxes, labels))
            save_split(DataSet(LABELS, tuple(samples), target / "images", f"{folder.name}/{split}"), target, split)


Box = tuple[int, int, int, int]


def _draw_defects(
    stream: Stream, surface: Surface, image: NDArray[np.uint8], number: int, level: Difficulty
) -> tuple[list[Box], list[int]]:
    """Draw into ``image``, in place; returns the boxes and labels."""
    boxes: list[Box] = []
    labels: list[int] = []
    if stream.chance(level.defect_free_share):
        return boxes, labels
    helping = stream.integer(level.defects[0], level.defects[1] + 1)
    wanted = max(1, helping * image.size // _HELPING_AREA)
    # The first defect goes round the classes, so that even a small data set has them all.
    first = number % len(LABELS)
    for place in range(wanted):
        other = place > 0 and stream.chance(level.mixed_share)
        label = stream.integer(0, len(LABELS)) if other else first
        box = _place_defect(stream, surface, image, DEFECTS[LABELS[label]], boxes, level)
        if box is not None:
            boxes.append(box)
            labels.append(label)
    return boxes, labels


def _place_defect(
    stream: Stream,
    surface: Surface,
    image: NDArray[np.uint8],
    defect: Defect,
    taken: list[Box],
    level: Difficulty,
) -> Box | None:
    """Find room for one defect and draw it; None if there is none left."""
    height, width = image.shape
    for _ in range(_ATTEMPTS):
        frame = _choose_frame(stream, defect, width, height, level)
        rows, columns = frame.inside(width, height)
        place = columns.start, rows.start, columns.stop, rows.stop
        if any(_closer_than_gap(place, other) for other in taken):
            continue
        plane = defect.draw(stream, frame.width, frame.height)
        strength = stream.between(*level.contrast) * defect.strength * UNITS
        change = np.floor(plane * strength + 0.5).astype(np.int32)
        change = change[rows.start - frame.top : rows.stop - frame.top, columns.start - frame.left :]
        change = change[:, : columns.stop - columns.start]
        bare = image[rows, columns]
        marked = surface.photograph(rows, columns, change)
        drawn = np.abs(marked.astype(np.int16) - bare) >= _VISIBLE
        box = _tight_box(drawn, columns.start, rows.start)
        if box is not None and min(box[2] - box[0], box[3] - box[1]) >= _SHORTEST_SIDE:
            np.copyto(bare, marked, where=drawn)
            return box
    return None


def _choose_frame(stream: Stream, defect: Defect, width: int, height: int, level: Difficulty) -> _Frame:
    """A size and place for a defect; up to a tenth of it may lie outside the picture on each side."""
    low, high = (math.sqrt(side) for side in level.side)
    root = stream.between(low, high)  # small sides come more often than large ones
    stretch = math.sqrt(stream.between(*defect.aspect))
    side = root * root * defect.scale
    along = min(height, max(_SHORTEST_SIDE + 6, int(side * stretch)))
    # Where the picture cuts the length short, the width follows, so that a streak stays a streak.
    across = min(width, max(_SHORTEST_SIDE + 6, min(int(side / stretch), int(along / defect.aspect[0]))))
    left = stream.integer(-across // 10, width - across + across // 10 + 1)
    top = stream.integer(-along // 10, height - along + along // 10 + 1)
    return _Frame(left, top, across, along)


def _closer_than_gap(first: Box, second: Box) -> bool:
    return (
        first[0] < second[2] + _GAP
        and second[0] < first[2] + _GAP
        and first[1] < second[3] + _GAP
        and second[1] < first[3] + _GAP
    )


def _tight_box(drawn: NDArray[np.bool_], left: int, top: int) -> Box | None:
    """The tightest box around the true pixels, moved by the corner; None if there are none."""
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if len(rows) == 0:
        return None
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1
