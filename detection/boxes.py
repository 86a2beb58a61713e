"""Geometry of boxes: float32 [N, 4] arrays of x1, y1, x2, y2 with continuous edges from 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: COCO's limits between small, medium and large boxes, in square pixels.
SMALL_AREA = 32.0**2
LARGE_AREA = 96.0**2


def areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area of each box in square pixels, [N]; an inverted box has area 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return (sides[:, 0] * sides[:, 1]).astype(np.float32)


def iou_matrix(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every pair, [N, M]; 0 where both boxes are empty."""
    upper_left = np.maximum(first[:, None, :2], second[None, :, :2])
    lower_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(lower_right - upper_left, 0, None)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas(first)[:, None] + areas(second)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def aligned_iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each box [N, 4] with the one at the same place, [N]; 0 where both are empty."""
    upper_left, lower_right = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    intersection = areas(np.concatenate([upper_left, lower_right], axis=1))
    union = areas(first) + areas(second) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def clip_boxes(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes cut to a picture of ``size`` (width, height)."""
    return np.clip(boxes, 0, np.array([*size, *size], np.float32)).astype(np.float32)


def from_voc(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A Pascal VOC box (1-based, inclusive pixels) as continuous 0-based edges: 1..200 becomes 0..200."""
    x1, y1, x2, y2 = box
    return x1 - 1, y1 - 1, x2, y2
