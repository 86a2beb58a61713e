"""The loss of PP-YOLOE and PicoDet: places are assigned to boxes by what the head says of them.

For a first share of the training ATSS (Zhang et al., 2020, arXiv 1912.02424) assigns by the geometry alone, then the
task-aligned assigner (Feng et al., 2021, arXiv 2108.07755) by score and overlap together. Scores are pulled towards
the overlap of their place's box. The same numbers as the loss of PaddleDetection's heads; tests hold them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..paddle_import import paddle
from ..ranks import shared_normaliser
from .base import Targets
from .point_losses import TERMS, HeadAnswer, Positives, distribution_loss, overlap_loss, varifocal_weight
from .points import boxes_of
from .ppdet_bridge import assigners

F = paddle.nn.functional

#: ATSS gives every point a square of so many strides, and looks at so many of the nearest on each level.
_CELL_STRIDES, _ATSS_NEAREST = 5.0, 9
#: The task-aligned assigner looks at so many of the best places of a box.
_ALIGNED_BEST = 13
_OVERLAP_WEIGHT, _DISTRIBUTION_WEIGHT = 2.5, 0.5


class _Assigned(NamedTuple):
    """For every place: class [B, A] (``classes`` for background), box [B, A, 4] in pixels, score [B, A, classes]."""

    labels: paddle.Tensor
    boxes: paddle.Tensor
    scores: paddle.Tensor


@dataclass(frozen=True)
class TaskAlignedLoss:
    """The loss of one head.

    Attributes:
        classes: how many there are.
        atss_share: share of the training in which ATSS assigns.
        side_margin: targets of a side end so far below the last bin, in strides.
        by_label: a place with a box but without overlap is no background (PP-YOLOE), or is (PicoDet).
    """

    classes: int
    atss_share: float
    side_margin: float
    by_label: bool

    def __call__(self, answer: HeadAnswer, targets: Targets, progress: float) -> dict[str, paddle.Tensor]:
        """The weighted terms of a batch, scalars, under the names :data:`TERMS`.

        Args:
            answer: of the head.
            targets: boxes, labels and mask, as ``PointDetector.collate`` gives them.
            progress: share of the training that is done.
        """
        boxes = boxes_of(answer.regressions, answer.grid)
        found = self._assign(answer, boxes, targets, by_geometry=progress < self.atss_share)
        normaliser = shared_normaliser(found.scores.sum())
        positives = Positives.of(found.labels, self.classes, found.boxes, found.scores.sum(axis=-1))
        if len(positives.places):
            overlap = overlap_loss(boxes, answer.grid, positives, _OVERLAP_WEIGHT)
            distribution = distribution_loss(
                answer.distribution, answer.grid, positives, _DISTRIBUTION_WEIGHT, self.side_margin
            )
        else:  # nothing answers for anything, but every parameter still takes part
            overlap, distribution = answer.regressions.sum() * 0.0, answer.distribution.sum() * 0.0
        terms = (self._classification(answer.scores, found), overlap, distribution)
        return {name: term / normaliser for name, term in zip(TERMS, terms, strict=True)}

    def _assign(self, answer: HeadAnswer, boxes: paddle.Tensor, targets: Targets, *, by_geometry: bool) -> _Assigned:
        grid = answer.grid
        points, counts = paddle.to_tensor(grid.points), list(grid.counts)
        truth = [paddle.to_tensor(targets[name]) for name in ("labels", "boxes", "mask")]
        if by_geometry:
            halves = paddle.to_tensor(grid.strides * (_CELL_STRIDES / 2))
            cells = paddle.concat([points - halves, points + halves], axis=-1)
            assigner = assigners().atss(_ATSS_NEAREST, num_classes=self.classes)
            labels, found, scores, _ = assigner(
                cells, counts, *truth, bg_index=self.classes, pred_bboxes=boxes.detach()
            )
        else:
            assigner = assigners().task_aligned(_ALIGNED_BEST)
            labels, found, scores, _ = assigner(
                answer.scores.detach(), boxes.detach(), points, counts, *truth, bg_index=self.classes
            )
        return _Assigned(labels, found, scores.detach())

    def _classification(self, scores: paddle.Tensor, found: _Assigned) -> paddle.Tensor:
        wanted = found.scores
        if self.by_label:
            positive = F.one_hot(found.labels, self.classes + 1)[..., :-1]
        else:
            positive = (wanted > 0).astype("float32")
        weight = varifocal_weight(scores, wanted, positive)
        return F.binary_cross_entropy(scores, wanted, weight=weight, reduction="sum")
