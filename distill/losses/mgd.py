"""Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529).

For each level of the neck, a share of the student's positions is hidden, and a small generator, trained with
the student and thrown away at export, has to make the teacher's whole feature from what is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..paddle_import import paddle
from .base import DistillationLoss, Lesson, NeckPair, power
from .foreground import inside_boxes
from .generator import MaskedGenerator

if TYPE_CHECKING:
    from ..recipe_distillation import MgdSection

F = paddle.nn.functional


def draw_masks(
    shapes: Sequence[tuple[int, int]],
    samples: Sequence[int],
    epoch: int,
    seed: int,
    ratio: float,
    *,
    inside: Sequence[NDArray[np.float32]] | None = None,
    focus: float = 0.0,
) -> list[NDArray[np.float32]]:
    """Which positions the student keeps.

    A sample's mask depends on the seed, the epoch and the sample alone (and, with a focus, its boxes), so that batches,
    processes and an interruption make no difference to it.

    Args:
        shapes: height and width of each level.
        samples: index of each sample of the batch in its data set.
        epoch: counted from 0.
        seed: of the run.
        ratio: probability of hiding a position (lambda).
        inside: per level [B, 1, H, W], 1 inside a true box; needed for a focus.
        focus: see :func:`hiding_probabilities`.

    Returns:
        Per level float32 [B, 1, H, W]: 0 hidden, 1 kept.
    """
    masks = [np.empty((len(samples), 1, height, width), np.float32) for height, width in shapes]
    for row, sample in enumerate(samples):
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, sample], np.uint64), counter=epoch << 64))
        for level, mask in enumerate(masks):
            drawn = generator.random(mask.shape[2:], dtype=np.float32)
            own = inside[level][row, 0] if inside is not None and focus else None
            mask[row, 0] = drawn >= (ratio if own is None else hiding_probabilities(own, ratio, focus))
    return masks


def hiding_probabilities(inside: NDArray[np.float32], ratio: float, focus: float) -> NDArray[np.float32]:
    """The probability of hiding each position of one level of one picture, [H, W], which averages ``ratio``.

    Args:
        inside: [H, W], 1 inside a true box.
        ratio: share of positions that is hidden.
        focus: 0 hides alike inside and outside of boxes; at 1 as many of the hidden positions lie inside as can, at -1
            as few; between, in proportion.
    """
    share = float(inside.mean())
    if share in (0.0, 1.0):
        return np.full(inside.shape, ratio, np.float32)
    extreme = min(1.0, ratio / share) if focus > 0 else max(0.0, (ratio - (1 - share)) / share)
    within = ratio + abs(focus) * (extreme - ratio)
    return np.where(inside > 0, within, (ratio - share * within) / (1 - share)).astype(np.float32)


class MaskedGenerativeLoss(DistillationLoss):
    """The loss of one pair of necks.

    With ``alpha_form`` "sum" it is the paper's alpha * sum((G - T)^2) / N, which grows with the feature map (2e-5
    was tuned at about 800 x 1333 pixels); with "mean" it is alpha * mean((G - T)^2), the same at any size; with
    "relative" each picture's mean is divided by that of T^2, so that a G of zeros gives alpha whatever the size of the
    teacher's numbers. All add up over the levels. Beyond the paper, alpha may change over the training, and true boxes
    may draw more of the mask or of the weight of the squares.

    Args:
        necks: what is compared; a 1x1 convolution aligns the student's channels where they differ.
        section: alpha, its form, and the share of positions that is hidden.
    """

    section: MgdSection

    def __init__(self, necks: NeckPair, section: MgdSection) -> None:
        super().__init__(necks, section)
        self.align = necks.align_layers()
        self.generate = paddle.nn.LayerList([MaskedGenerator(channels) for channels in necks.teacher_channels])

    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """See :class:`DistillationLoss`."""
        section = self.section
        student, teacher = self._compared(lesson)
        shapes = [(feature.shape[2], feature.shape[3]) for feature in student]
        inside = None
        if section.mask_focus or section.box_weight != 1:
            levels = zip(self.necks.strides, shapes, strict=True)
            inside = [inside_boxes(lesson.boxes, stride, shape) for stride, shape in levels]
        masks = draw_masks(
            shapes,
            lesson.samples,
            lesson.epoch,
            lesson.seed,
            section.mask_ratio,
            inside=inside,
            focus=section.mask_focus,
        )
        weights = None
        if inside is not None and section.box_weight != 1:
            weights = [paddle.to_tensor(square_weights(own, section.box_weight)) for own in inside]
        tensors = [paddle.to_tensor(mask) for mask in masks]
        return self.of_masked(student, teacher, tensors, weights, lesson.progress)

    def _compared(self, lesson: Lesson) -> tuple[Sequence[paddle.Tensor], Sequence[paddle.Tensor]]:
        return lesson.student, lesson.teacher

    def of_masked(
        self,
        student: Sequence[paddle.Tensor],
        teacher: Sequence[paddle.Tensor],
        masks: Sequence[paddle.Tensor],
        weights: Sequence[paddle.Tensor] | None = None,
        progress: float = 0.0,
    ) -> paddle.Tensor:
        """The weighted loss, a scalar.

        Args:
            student: per level [B, C, H, W].
            teacher: per level [B, C', H, W]; no gradient goes there.
            masks: per level [B, 1, H, W], 0 where the student is hidden.
            weights: per level [B, 1, H, W], of the squared errors; None for 1 everywhere.
            progress: share of the training that is done.
        """
        total = paddle.zeros([])
        for level, (feature, target, mask) in enumerate(zip(student, teacher, masks, strict=True)):
            generated = self.generate[level](self.align[level](feature), mask)
            weight = None if weights is None else weights[level]
            if self.section.alpha_form == "relative":
                weight = (1 if weight is None else weight) / power(target)
            if weight is None:
                squares = F.mse_loss(generated, target.detach(), reduction="sum")
            else:
                squares = ((generated - target.detach()) ** 2 * weight).sum()
            count = target.shape[0] if self.section.alpha_form == "sum" else target.size
            total = total + squares / count
        return total * self.alpha(progress)

    def alpha(self, progress: float) -> float:
        """The weight of the loss when a share ``progress`` of the training is done."""
        first, last = self.section.alpha, self.section.alpha_end
        if last is None:
            return first
        return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        section = self.section
        levels = ", ".join(str(stride) for stride in self.necks.strides)
        square = "(G(mask * S) - T)^2"
        if section.box_weight != 1:
            square = f"w * {square}"
        forms = {"sum": "sum({}) / N", "mean": "mean({})", "relative": "mean({}) / mean(T^2)"}
        norm = forms[section.alpha_form].format(square)
        text = f"{section.alpha:g} * {norm} over strides {levels}, mask hides {section.mask_ratio:.0%}"
        if section.alpha_end is not None:
            text += f", alpha ends at {section.alpha_end:g}"
        if section.mask_focus:
            text += f", focus on boxes {section.mask_focus:g}"
        if section.box_weight != 1:
            text += f", w inside boxes {section.box_weight:g} times that outside"
        return text


class BackboneGenerativeLoss(MaskedGenerativeLoss):
    """The same for a pair of backbones: what feeds the necks is made from what feeds the student's."""

    needs_backbone = True

    def _compared(self, lesson: Lesson) -> tuple[Sequence[paddle.Tensor], Sequence[paddle.Tensor]]:
        return lesson.student_backbone, lesson.teacher_backbone

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        return f"{super().formula()}, of the backbones"


def square_weights(inside: NDArray[np.float32], box_weight: float) -> NDArray[np.float32]:
    """Weights [B, 1, H, W] of the squared errors, ``box_weight`` times as much inside; each picture's average 1."""
    weights = np.where(inside > 0, box_weight, 1.0)
    return (weights / weights.mean(axis=(1, 2, 3), keepdims=True)).astype(np.float32)
