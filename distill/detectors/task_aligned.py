"""The loss of PP-YOLOE and PicoDet: places are assigned to boxes by what the head says of them.

For a first share of the training ATSS (Zhang et al., 2020, arXiv 1912.02424) assigns by the geometry alone, then the
task-aligned assigner (Feng et al., 2021, arXiv 2108.07755) by score and overlap together. Scores are pulled towards
the overlap of their place's box (varifocal loss, Zhang et al., 2021, arXiv 2008.13367), boxes by GIoU, and the
distributions of their sides by distribution focal loss (Li et al., 2020, arXiv 2006.04388). The same numbers as the
loss of PaddleDetection's heads; tests hold them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..paddle_import import paddle
from .base import Targets
from .points import PointGrid, boxes_of
from .ppdet_bridge import assigners, giou_loss

F = paddle.nn.functional

#: Names of the terms, in the order they are told.
TERMS = ("classification", "overlap", "distribution")
#: ATSS gives every point a square of so many strides, and looks at so many of the nearest on each level.
_CELL_STRIDES, _ATSS_NEAREST = 5.0, 9
#: The task-aligned assigner looks at so many of the best places of a box.
_ALIGNED_BEST = 13
_OVERLAP_WEIGHT, _DISTRIBUTION_WEIGHT = 2.5, 0.5
_VARIFOCAL_ALPHA = 0.75


class HeadAnswer(NamedTuple):
    """What a head says of a batch, as the loss needs it.

    Attributes:
        scores: [B, A, classes], from 0 to 1.
        regressions: [B, A, 4], distances in pixels.
        distribution: [B, A, 4 * bins], before the softmax.
        grid: the places.
    """

    scores: paddle.Tensor
    regressions: paddle.Tensor
    distribution: paddle.Tensor
    grid: PointGrid


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
        answer = answer._replace(
            scores=answer.scores.astype("float32"),
            regressions=answer.regressions.astype("float32"),
            distribution=answer.distribution.astype("float32"),
        )
        boxes = boxes_of(answer.regressions, answer.grid)
        found = self._assign(answer, boxes, targets, by_geometry=progress < self.atss_share)
        normaliser = found.scores.sum().clip(min=1.0)
        places = paddle.nonzero(found.labels.flatten() < self.classes).flatten()
        if len(places):
            weights = paddle.gather(found.scores.sum(axis=-1).flatten(), places)
            overlap = self._overlap(boxes, found, answer.grid, places, weights)
            distribution = self._distribution(answer, found, places, weights)
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
        weight = _VARIFOCAL_ALPHA * scores.pow(2) * (1 - positive) + wanted * positive
        return F.binary_cross_entropy(scores, wanted, weight=weight, reduction="sum")

    def _overlap(
        self, boxes: paddle.Tensor, found: _Assigned, grid: PointGrid, places: paddle.Tensor, weights: paddle.Tensor
    ) -> paddle.Tensor:
        strides = paddle.to_tensor(grid.strides)
        predicted, wanted = (paddle.gather((b / strides).reshape([-1, 4]), places) for b in (boxes, found.boxes))
        loss: paddle.Tensor = giou_loss()(loss_weight=_OVERLAP_WEIGHT)(predicted, wanted)
        return (loss.flatten() * weights).sum()

    def _distribution(
        self, answer: HeadAnswer, found: _Assigned, places: paddle.Tensor, weights: paddle.Tensor
    ) -> paddle.Tensor:
        bins = answer.distribution.shape[-1] // 4
        grid, (batch, count) = answer.grid, found.labels.shape
        rows = places % count
        points, strides = (paddle.gather(paddle.to_tensor(x), rows) for x in (grid.points, grid.strides))
        box = paddle.gather(found.boxes.reshape([batch * count, 4]), places)
        sides = paddle.concat([points - box[:, :2], box[:, 2:] - points], axis=-1) / strides
        sides = sides.clip(0, bins - 1 - self.side_margin).flatten()
        logits = paddle.gather(answer.distribution.reshape([batch * count, 4 * bins]), places).reshape([-1, bins])
        lower = sides.floor()
        below = F.cross_entropy(logits, lower.astype("int64"), reduction="none").flatten()
        above = F.cross_entropy(logits, lower.astype("int64") + 1, reduction="none").flatten()
        loss = below * (lower + 1 - sides) + above * (sides - lower)
        return (loss.reshape([-1, 4]).mean(axis=-1) * weights).sum() * _DISTRIBUTION_WEIGHT
