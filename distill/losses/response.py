"""Response distillation: the teacher's answers as soft targets (Hinton et al., 2015, arXiv 1503.02531).

For a detector, whose places are nearly all background, each place counts by how far the two disagree (the quality focal
loss of Li et al., 2020, arXiv 2006.04388), and boxes are taken over where the teacher is sure of a defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import UsageError
from ..paddle_import import paddle
from .base import DistillationLoss, Lesson, NeckPair

if TYPE_CHECKING:
    from ..detectors.base import Detector, HeadOutputs
    from ..recipe_distillation import ResponseSection

F = paddle.nn.functional
#: The least disagreement that counts: a power of exactly 0 has no finite slope.
_LEAST_GAP = 1e-6


class ResponseLoss(DistillationLoss):
    """What the heads say, compared place by place.

    Each picture gives::

        (classification * T^2 * sum |q - p|^focus * BCE(q, p) + boxes * sum w * distance) / max(1, sum w)

    with p = sigmoid(teacher's logits / T), q the student's, w the teacher's best probability where it reaches
    ``min_score`` and 0 elsewhere; the distance of two boxes is L1 for deltas of anchors and 1 - GIoU for distances from
    a point, as the detectors are trained. The sums are over places; dividing by what the teacher finds makes the loss
    size-free.

    Args:
        necks: only named; the heads are compared.
        section: the two weights, temperature T, focus, min_score.
    """

    section: ResponseSection
    needs_head = True

    def __init__(self, necks: NeckPair, section: ResponseSection) -> None:
        super().__init__(necks, section)
        self._from_points = False

    def prepare(self, student: Detector, teacher: Detector) -> None:
        """See :class:`DistillationLoss`; refuses heads that answer at other places, or in another coding."""
        # any size tells: places and codings follow from the strides, so a small map for the largest stride will do
        side = 4 * max(*student.strides, *teacher.strides)
        own, wanted = student.box_coding((side, side)), teacher.box_coding((side, side))
        self._from_points = own.kind == "point_distances"
        differs = None
        if student.classes != teacher.classes:
            differs = f"the student tells {student.classes} classes apart and the teacher {teacher.classes}"
        elif own.kind != wanted.kind:
            names = [kind.replace("_", " ") for kind in (own.kind, wanted.kind)]
            differs = f"the student writes boxes as {names[0]} and the teacher as {names[1]}"
        elif own.references.shape != wanted.references.shape:
            counts = [len(coding.references) for coding in (own, wanted)]
            differs = (
                f"on {side} x {side} pixels the student answers at {counts[0]} places and the teacher at {counts[1]}"
            )
        elif not np.allclose(own.references, wanted.references, atol=1e-3):
            differs = "the places or anchors they answer for lie elsewhere"
        if differs is not None:
            raise UsageError(
                f"distillation.response compares the heads place by place, but {differs}. Set distillation.response to "
                "null, or give teacher and student the same kind of detector with the same strides and anchors."
            )

    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """See :class:`DistillationLoss`."""
        if lesson.student_outputs is None or lesson.teacher_outputs is None:
            raise ValueError("a lesson for the response loss has both heads' outputs in it")
        return self.of_outputs(lesson.student_outputs, lesson.teacher_outputs)

    def of_outputs(self, student: HeadOutputs, teacher: HeadOutputs) -> paddle.Tensor:
        """The weighted loss, a scalar; no gradient goes to the teacher's outputs."""
        section = self.section
        logits, regressions = teacher.logits.detach(), teacher.regressions.detach()
        sure = F.sigmoid(logits).amax(axis=-1)
        weights = sure * (sure >= section.min_score).astype(sure.dtype)
        findings = weights.sum(axis=1).clip(min=1.0)
        total = paddle.zeros([])
        if section.classification:
            total = total + section.classification * (self._classes(student.logits, logits) / findings).mean()
        if section.boxes:
            gaps = _giou_loss if self._from_points else _l1
            distances = (weights * gaps(student.regressions, regressions)).sum(axis=1)
            total = total + section.boxes * (distances / findings).mean()
        return total

    def _classes(self, student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
        """Of each picture, [B], from logits [B, A, classes]."""
        temperature = self.section.temperature
        scaled, wanted = student / temperature, F.sigmoid(teacher / temperature)
        gap = (F.sigmoid(scaled) - wanted).abs().clip(min=_LEAST_GAP) ** self.section.focus
        entropy = F.binary_cross_entropy_with_logits(scaled, wanted, reduction="none")
        return (gap * entropy).sum(axis=[1, 2]) * temperature**2

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        section = self.section
        distance = "(1 - GIoU)" if self._from_points else "L1"
        return (
            f"({section.classification:g} * sum |q - p|^{section.focus:g} * BCE(q, p) + {section.boxes:g} * sum w * "
            f"{distance}) / sum w, p the teacher's probabilities at T = {section.temperature:g}, w the best of a place "
            f"from {section.min_score:g}"
        )


def _l1(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Of regressions [B, A, 4] each: [B, A]."""
    return (student - teacher).abs().sum(axis=-1)


def _giou_loss(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """1 - GIoU (Rezatofighi et al., 2019, arXiv 1902.09630) of boxes around the same points, from 0 to 2.

    Args:
        student: left, top, right, bottom of each point, [B, A, 4].
        teacher: the same of the other.

    Returns:
        [B, A].
    """
    smaller, larger = paddle.minimum(student, teacher), paddle.maximum(student, teacher)
    overlap, hull = _area(smaller), _area(larger)
    union = _area(student) + _area(teacher) - overlap
    # distances below zero turn a box inside out; its area counts as none
    tiny = 1e-9
    return 1 - overlap / union.clip(min=tiny) + (hull - union) / hull.clip(min=tiny)


def _area(distances: paddle.Tensor) -> paddle.Tensor:
    sides = (distances[..., :2] + distances[..., 2:]).clip(min=0.0)
    return sides[..., 0] * sides[..., 1]
