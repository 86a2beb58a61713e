"""Which positions of a feature map lie inside a true box, in NumPy.

A position at row i and column j of a level with stride s stands for the s x s pixels from (j * s, i * s). It is inside
a box if the two share any area; a box without area still has the one position it lies in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def covered_cells(boxes: NDArray[np.float32], stride: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    """The rectangle of positions that each box covers.

    Args:
        boxes: float32 [N, 4], x1, y1, x2, y2 in pixels of the network's input.
        stride: of the level.
        shape: height and width of the level.

    Returns:
        int64 [N, 4]: first column, first row, and the column and row after the last; at least one position each.
    """
    limits = np.array([shape[1], shape[0]])
    first = np.clip(np.floor(boxes[:, :2] / stride).astype(np.int64), 0, limits - 1)
    last = np.clip(np.ceil(boxes[:, 2:] / stride).astype(np.int64), first + 1, limits)
    return np.concatenate([first, last], axis=1)


def inside_boxes(boxes: Sequence[NDArray[np.float32]], stride: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Where the boxes of each picture are.

    Args:
        boxes: of each picture, as in :func:`covered_cells`.
        stride: of the level.
        shape: height and width of the level.

    Returns:
        float32 [B, 1, H, W]: 1 inside a box, 0 outside.
    """
    inside = np.zeros((len(boxes), 1, *shape), np.float32)
    for row, own in enumerate(boxes):
        for left, top, right, bottom in covered_cells(own, stride, shape).tolist():
            inside[row, 0, top:bottom, left:right] = 1
    return inside


def scale_of_boxes(boxes: Sequence[NDArray[np.float32]], stride: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """One over the number of positions of the box that a position lies in: large and small boxes weigh the same.

    Of several boxes the smallest counts (Yang et al., CVPR 2022, arXiv 2111.11837, equation 4). Arguments as in
    :func:`inside_boxes`.

    Returns:
        float32 [B, 1, H, W]: 0 outside all boxes.
    """
    scale = np.zeros((len(boxes), 1, *shape), np.float32)
    for row, own in enumerate(boxes):
        for left, top, right, bottom in covered_cells(own, stride, shape).tolist():
            region = scale[row, 0, top:bottom, left:right]
            np.maximum(region, np.float32(1 / region.size), out=region)
    return scale
