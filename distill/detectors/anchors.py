"""RetinaNet's anchors and which of them answer for which box, in NumPy.

The same numbers as PaddleDetection's anchor generator and assigner (tests hold them together), but made in
the loader's threads, once per picture, instead of in the training step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...detection.boxes import iou_matrix

ASPECT_RATIOS = (0.5, 1.0, 2.0)
SCALES_PER_OCTAVE = 3
#: An anchor with at least this IoU answers for a box; below the lower one it is background; between, ignored.
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
IGNORED = -1


@lru_cache(maxsize=16)
def anchor_grid(size: tuple[int, int], strides: tuple[int, ...], scale: float) -> NDArray[np.float32]:
    """All anchors of an input.

    Args:
        size: width and height of the network's input in pixels.
        strides: of the levels.
        scale: side of the smallest square anchor, as a multiple of the stride.

    Returns:
        float32 [A, 4], x1, y1, x2, y2; ordered by level, row, column, scale, aspect ratio.
    """
    levels = []
    for stride in strides:
        columns, rows = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        x, y = np.meshgrid(np.arange(columns) * stride, np.arange(rows) * stride)
        shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
        levels.append((shifts + _cell_anchors(stride, scale)[None]).reshape(-1, 4))
    grid = np.concatenate(levels).astype(np.float32)
    grid.setflags(write=False)
    return grid


def cell_sizes(stride: int, scale: float) -> NDArray[np.float32]:
    """Widths and heights float32 [K, 2] of the anchors of one place, in the order of :func:`anchor_grid`."""
    corners = _cell_anchors(stride, scale)
    return (corners[:, 2:] - corners[:, :2]).astype(np.float32)


def _cell_anchors(stride: int, scale: float) -> NDArray[np.float64]:
    cells = []
    for octave in range(SCALES_PER_OCTAVE):
        side = stride * scale * 2 ** (octave / SCALES_PER_OCTAVE)
        for ratio in ASPECT_RATIOS:
            width = math.sqrt(side**2 / ratio)
            height = ratio * width
            cells.append([-width / 2, -height / 2, width / 2, height / 2])
    return np.array(cells)


@dataclass(frozen=True, eq=False)
class Assignment:
    """Which anchors answer for what.

    Attributes:
        labels: int64 [A]: the class, ``classes`` for background, -1 for ignored.
        positives: int64 [P], the anchors that answer for a box.
        deltas: float32 [P, 4], what their regression should say.
    """

    labels: NDArray[np.int64]
    positives: NDArray[np.int64]
    deltas: NDArray[np.float32]


def assign(
    anchors: NDArray[np.float32], boxes: NDArray[np.float32], labels: NDArray[np.int32], classes: int
) -> Assignment:
    """Match anchors [A, 4] to boxes [N, 4] by IoU; the best anchors of every box always answer for it."""
    targets = np.full(len(anchors), classes, np.int64)
    if not len(boxes):
        return Assignment(targets, np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    iou = iou_matrix(boxes, anchors)
    matches = iou.argmax(axis=0)
    best = iou.max(axis=0)
    targets[best >= NEGATIVE_IOU] = IGNORED
    positive = (best >= POSITIVE_IOU) | ((iou > 0) & (iou == iou.max(axis=1, keepdims=True))).any(axis=0)
    positives = np.flatnonzero(positive)
    targets[positives] = labels[matches[positives]]
    return Assignment(targets, positives, encode(anchors[positives], boxes[matches[positives]]))


def encode(anchors: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Deltas [P, 4] that turn anchors [P, 4] into boxes [P, 4]: shift of the centre and log scale, by anchor size."""
    anchor_sizes = anchors[:, 2:] - anchors[:, :2]
    # an empty box has no logarithm; one pixel is the least a network of these strides can say anyway
    box_sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    shift = (boxes[:, :2] + 0.5 * box_sizes - anchors[:, :2] - 0.5 * anchor_sizes) / anchor_sizes
    return np.concatenate([shift, np.log(box_sizes / anchor_sizes)], axis=1).astype(np.float32)
