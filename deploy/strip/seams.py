"""One picture's detections from those on its tiles: what is seen twice counts once, what a seam cuts is whole again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...detection.detections import Detections
from .linking import components, links
from .tiles import Tiles

#: Pixels by which a box may miss the edge of its tile and still count as cut there.
TOLERANCE_PX = 2.0


def merge(found: Detections, tile_of: NDArray[np.int64], tiles: Tiles) -> Detections:
    """Join what is one defect.

    Args:
        found: detections on all tiles, boxes in pixels of the picture.
        tile_of: int64 [N], the tile that each was found on.
        tiles: how the picture was cut.

    Returns:
        Highest score first. A defect that was seen on several tiles has the box around all of its parts and the
        highest of their scores. What was seen on one tile alone stays as it is.
    """
    if len(tiles) == 1 or len(found) < 2:
        return found
    boxes = found.boxes.astype(np.float64)
    # only what reaches into a part that tiles have in common can be seen by two of them
    shared = np.flatnonzero(_reaches_out(boxes, tile_of, tiles))
    group = np.arange(len(found))
    if len(shared) > 1:
        windows = tiles.boxes[tile_of[shared]]
        pairs = links(boxes[shared], windows, boxes[shared], windows, TOLERANCE_PX)
        labels, tile = found.labels[shared][pairs], tile_of[shared][pairs]
        pairs = pairs[(labels[:, 0] == labels[:, 1]) & (tile[:, 0] != tile[:, 1])]
        group[shared] = shared[components(len(shared), pairs)]
    return _joined(found, boxes, group)


def _reaches_out(boxes: NDArray[np.float64], tile_of: NDArray[np.int64], tiles: Tiles) -> NDArray[np.bool_]:
    """Bool [N]: whether a box, a little larger, is not inside the part of its tile that no other tile sees."""
    x_starts, y_starts = (np.unique(tiles.offsets[:, axis]) for axis in (0, 1))
    inner = np.empty((len(tiles), 4))
    for axis, starts in enumerate((x_starts, y_starts)):
        place = np.searchsorted(starts, tiles.offsets[:, axis])
        side = tiles.tile[axis]
        before = np.where(place > 0, starts[place - 1] + side, -np.inf)
        after = np.where(place < len(starts) - 1, starts[np.minimum(place + 1, len(starts) - 1)], np.inf)
        inner[:, axis], inner[:, axis + 2] = before, after
    own = inner[tile_of]
    low = (boxes[:, :2] - TOLERANCE_PX <= own[:, :2]).any(axis=1)
    high = (boxes[:, 2:] + TOLERANCE_PX >= own[:, 2:]).any(axis=1)
    return np.asarray(low | high)


def _joined(found: Detections, boxes: NDArray[np.float64], group: NDArray[np.int64]) -> Detections:
    names, index = np.unique(group, return_inverse=True)
    if len(names) == len(found):
        return found
    low = np.full((len(names), 2), np.inf)
    high = np.full((len(names), 2), -np.inf)
    score = np.full(len(names), -np.inf, np.float32)
    np.minimum.at(low, index, boxes[:, :2])
    np.maximum.at(high, index, boxes[:, 2:])
    np.maximum.at(score, index, found.scores)
    order = np.argsort(-score, kind="stable")
    return Detections(
        np.concatenate([low, high], axis=1).astype(np.float32)[order],
        score[order],
        found.labels[names][order],
        found.image_size,
        found.source,
    )
