"""What the losses of detectors without anchors are made of: scores, overlaps and distributions of sides."""

from __future__ import annotations

from typing import NamedTuple

from ..paddle_import import paddle
from .points import PointGrid
from .ppdet_bridge import giou_loss

F = paddle.nn.functional

#: Names of the terms, in the order they are told.
TERMS = ("classification", "overlap", "distribution")
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


class Positives(NamedTuple):
    """The places of a batch that answer for a box.

    Attributes:
        places: int64 [P], into the flattened [B * A] places.
        boxes: [P, 4], which each answers for, in pixels.
        weights: [P], of their overlap and distribution.
    """

    places: paddle.Tensor
    boxes: paddle.Tensor
    weights: paddle.Tensor

    @classmethod
    def of(cls, labels: paddle.Tensor, classes: int, boxes: paddle.Tensor, weights: paddle.Tensor) -> Positives:
        """Those of labels [B, A] below ``classes``, with their boxes of [B, A, 4] and weights of [B, A]."""
        places = paddle.nonzero(labels.flatten() < classes).flatten()
        return cls(places, paddle.gather(boxes.reshape([-1, 4]), places), paddle.gather(weights.flatten(), places))


def varifocal_weight(scores: paddle.Tensor, wanted: paddle.Tensor, positive: paddle.Tensor) -> paddle.Tensor:
    """How much each score counts (Zhang et al., 2021, arXiv 2008.13367): all [B, A, classes]."""
    return _VARIFOCAL_ALPHA * scores.pow(2) * (1 - positive) + wanted * positive


def overlap_loss(boxes: paddle.Tensor, grid: PointGrid, positives: Positives, weight: float) -> paddle.Tensor:
    """The weighted sum of GIoU losses (Rezatofighi et al., 2019, arXiv 1902.09630), a scalar.

    Args:
        boxes: predicted, [B, A, 4] in pixels.
        grid: the places.
        positives: which of them count.
        weight: of this loss.
    """
    predicted = paddle.gather(boxes.reshape([-1, 4]), positives.places)
    strides = paddle.gather(paddle.to_tensor(grid.strides), positives.places % len(grid.points))
    loss: paddle.Tensor = giou_loss()(loss_weight=weight)(predicted / strides, positives.boxes / strides)
    return (loss.flatten() * positives.weights).sum()


def distribution_loss(
    distribution: paddle.Tensor, grid: PointGrid, positives: Positives, weight: float, margin: float
) -> paddle.Tensor:
    """The weighted sum of distribution focal losses (Li et al., 2020, arXiv 2006.04388), a scalar.

    Args:
        distribution: [B, A, 4 * bins], before the softmax.
        grid: the places.
        positives: which of them count.
        weight: of this loss.
        margin: the distance of a side is taken for at most so much below the last bin, in strides.
    """
    bins = distribution.shape[-1] // 4
    rows = positives.places % len(grid.points)
    points, strides = (paddle.gather(paddle.to_tensor(x), rows) for x in (grid.points, grid.strides))
    box = positives.boxes
    sides = paddle.concat([points - box[:, :2], box[:, 2:] - points], axis=-1) / strides
    sides = sides.clip(0, bins - 1 - margin).flatten()
    logits = paddle.gather(distribution.reshape([-1, 4 * bins]), positives.places).reshape([-1, bins])
    lower = sides.floor()
    below = F.cross_entropy(logits, lower.astype("int64"), reduction="none").flatten()
    above = F.cross_entropy(logits, lower.astype("int64") + 1, reduction="none").flatten()
    loss = below * (lower + 1 - sides) + above * (sides - lower)
    return (loss.reshape([-1, 4]).mean(axis=-1) * positives.weights).sum() * weight
