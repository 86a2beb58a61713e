"""Detectors without anchors: every place of a grid says how far it is to the four sides of the box it lies in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detection.decode import BoxCoding
from ..paddle_import import paddle
from .base import Detector, Targets

F = paddle.nn.functional


@dataclass(frozen=True, eq=False)
class PointGrid:
    """The places that predict.

    Attributes:
        points: float32 [A, 2], x and y in pixels of the input; ordered by level, row, column.
        strides: float32 [A, 1], of each point's level.
        counts: points of each level.
    """

    points: NDArray[np.float32]
    strides: NDArray[np.float32]
    counts: tuple[int, ...]


@lru_cache(maxsize=32)
def point_grid(shapes: tuple[tuple[int, int], ...], strides: tuple[int, ...]) -> PointGrid:
    """The centres of the cells of every level.

    Args:
        shapes: rows and columns of each level.
        strides: of the levels.
    """
    points, widths = [], []
    for (rows, columns), stride in zip(shapes, strides, strict=True):
        x, y = np.meshgrid((np.arange(columns) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
        points.append(np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32))
        widths.append(np.full((rows * columns, 1), stride, np.float32))
    grid = PointGrid(np.concatenate(points), np.concatenate(widths), tuple(map(len, points)))
    grid.points.setflags(write=False)
    grid.strides.setflags(write=False)
    return grid


def grid_of(features: Sequence[paddle.Tensor], strides: tuple[int, ...]) -> PointGrid:
    """The grid of a neck's features [B, C, H, W]."""
    return point_grid(tuple((int(f.shape[2]), int(f.shape[3])) for f in features), strides)


def joined(levels: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """The answers of all levels, [B, A, N] from [B, N, H, W] each; in float32, whatever the levels are in."""
    return paddle.concat([level.flatten(2).transpose([0, 2, 1]).astype("float32") for level in levels], axis=1)


def distances(distribution: paddle.Tensor, bins: paddle.Tensor, grid: PointGrid) -> paddle.Tensor:
    """Expected distances to left, top, right and bottom in pixels (Li et al., 2020, arXiv 2006.04388).

    Args:
        distribution: [B, A, 4 * bins], before the softmax over each side's bins.
        bins: [bins], what each bin stands for, in strides.
        grid: the places.

    Returns:
        [B, A, 4].
    """
    count = bins.shape[0]
    shares = F.softmax(distribution.reshape([0, len(grid.points), 4, count]), axis=-1)
    return (shares * bins).sum(axis=-1) * paddle.to_tensor(grid.strides)


def boxes_of(regressions: paddle.Tensor, grid: PointGrid) -> paddle.Tensor:
    """Boxes [B, A, 4] in pixels from distances [B, A, 4] in pixels."""
    points = paddle.to_tensor(grid.points)
    return paddle.concat([points - regressions[..., :2], points + regressions[..., 2:]], axis=-1)


class PointDetector(Detector):
    """What detectors of this kind share: targets are the boxes themselves, regressions are distances in pixels."""

    def targets(self, boxes: NDArray[np.float32], labels: NDArray[np.int32], size: tuple[int, int]) -> Targets:
        """See :class:`Detector`; which place answers for which box depends on what the head says, so not here."""
        return {"boxes": boxes, "labels": labels}

    def collate(self, targets: list[Targets]) -> Targets:
        """Boxes float32 [B, n, 4], labels int64 [B, n, 1] and mask float32 [B, n, 1], n of the picture with most."""
        most = max(1, *(len(one["labels"]) for one in targets))
        batch: dict[str, Any] = {
            "boxes": np.zeros((len(targets), most, 4), np.float32),
            "labels": np.zeros((len(targets), most, 1), np.int64),
            "mask": np.zeros((len(targets), most, 1), np.float32),
        }
        for row, one in enumerate(targets):
            count = len(one["labels"])
            batch["boxes"][row, :count] = one["boxes"]
            batch["labels"][row, :count, 0] = one["labels"]
            batch["mask"][row, :count] = 1
        return batch

    def box_coding(self, size: tuple[int, int]) -> BoxCoding:
        """See :class:`Detector`."""
        shapes = tuple((math.ceil(size[1] / stride), math.ceil(size[0] / stride)) for stride in self.strides)
        return BoxCoding("point_distances", point_grid(shapes, self.strides).points)
