"""The loss of the older PicoDet: SimOTA assigns places to boxes (Ge et al., 2021, arXiv 2107.08430).

The same numbers as the loss of PaddleDetection's PicoHead; tests hold them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...detection.boxes import aligned_iou
from ..paddle_import import paddle
from ..ranks import shared_normaliser
from .base import Targets
from .point_losses import TERMS, HeadAnswer, Positives, distribution_loss, overlap_loss, varifocal_weight
from .points import boxes_of
from .ppdet_bridge import picodet_parts

F = paddle.nn.functional

_OVERLAP_WEIGHT, _DISTRIBUTION_WEIGHT = 2.0, 0.25
_IOU_WEIGHT = 6


@dataclass(frozen=True)
class SimOtaLoss:
    """The loss of one head.

    Attributes:
        classes: how many there are.
        side_margin: targets of a side end so far below the last bin, in strides.
    """

    classes: int
    side_margin: float

    def __call__(self, logits: paddle.Tensor, answer: HeadAnswer, targets: Targets) -> dict[str, paddle.Tensor]:
        """The weighted terms of a batch, scalars, under the names ``TERMS``.

        Args:
            logits: [B, A, classes]; ``answer.scores`` are their sigmoids.
            answer: of the head.
            targets: boxes, labels and mask, as ``PointDetector.collate`` gives them.
        """
        boxes = boxes_of(answer.regressions, answer.grid)
        labels, found, count = self._assign(answer, boxes, targets)
        # what a place says of itself weighs its box
        positives = Positives.of(labels, self.classes, found, answer.scores.detach().max(axis=-1))
        weights = shared_normaliser(positives.weights.sum())
        if len(positives.places):
            overlap = overlap_loss(boxes, answer.grid, positives, _OVERLAP_WEIGHT) / weights
            sides = (answer.distribution, answer.grid, positives, _DISTRIBUTION_WEIGHT, self.side_margin)
            distribution = distribution_loss(*sides) / weights
        else:
            overlap, distribution = answer.regressions.sum() * 0.0, answer.distribution.sum() * 0.0
        wanted = self._wanted(labels, boxes, positives)
        weight = varifocal_weight(answer.scores, wanted, (wanted > 0).astype("float32"))
        entropy = F.binary_cross_entropy_with_logits(logits, wanted, weight=weight, reduction="sum")
        terms = (entropy / shared_normaliser(float(count)), overlap, distribution)
        return dict(zip(TERMS, terms, strict=True))

    def _assign(
        self, answer: HeadAnswer, boxes: paddle.Tensor, targets: Targets
    ) -> tuple[paddle.Tensor, paddle.Tensor, int]:
        """Classes [B, A], boxes [B, A, 4] in pixels, and how many places answer for a box."""
        assigner = picodet_parts().simota_assigner(num_classes=self.classes, iou_weight=_IOU_WEIGHT)
        grid = answer.grid
        centres = paddle.to_tensor(np.concatenate([grid.points, grid.strides, grid.strides], axis=1))
        labels, found, total = [], [], 0
        for row in range(boxes.shape[0]):
            real = int(targets["mask"][row].sum())
            truth = (paddle.to_tensor(targets[name][row, :real]) for name in ("boxes", "labels"))
            count, its_labels, _, its_boxes = assigner(
                answer.scores[row].detach(), centres, boxes[row].detach(), *truth
            )
            labels.append(its_labels)
            found.append(np.asarray(its_boxes, np.float32).reshape(-1, 4))
            total += int(count)
        return paddle.to_tensor(np.stack(labels)), paddle.to_tensor(np.stack(found)), total

    def _wanted(self, labels: paddle.Tensor, boxes: paddle.Tensor, positives: Positives) -> paddle.Tensor:
        """The scores [B, A, classes] that are aimed at: at a place that answers, the overlap of its box."""
        places = positives.places.numpy()
        wanted = np.zeros((labels.size, self.classes), np.float32)
        predicted = boxes.detach().reshape([-1, 4]).numpy()[places]
        wanted[places, labels.flatten().numpy()[places]] = aligned_iou(predicted, positives.boxes.numpy())
        return paddle.to_tensor(wanted).reshape([*labels.shape, self.classes])
