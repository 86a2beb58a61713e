"""Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529).

For each level of the neck, a share of the student's positions is hidden, and a small generator, trained with
the student and thrown away at export, has to make the teacher's whole feature from what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..paddle_import import paddle
from .base import DistillationLoss, Lesson, NeckPair

if TYPE_CHECKING:
    from ..recipe_distillation import MgdSection

F = paddle.nn.functional


def draw_masks(
    shapes: Sequence[tuple[int, int]], samples: Sequence[int], epoch: int, seed: int, ratio: float
) -> list[NDArray[np.float32]]:
    """Which positions the student keeps.

    A sample's mask depends on the seed, the epoch and the sample alone, so that batches, processes and an
    interruption make no difference to it.

    Args:
        shapes: height and width of each level.
        samples: index of each sample of the batch in its data set.
        epoch: counted from 0.
        seed: of the run.
        ratio: probability of hiding a position (lambda).

    Returns:
        Per level float32 [B, 1, H, W]: 0 hidden, 1 kept.
    """
    masks = [np.empty((len(samples), 1, height, width), np.float32) for height, width in shapes]
    for row, sample in enumerate(samples):
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, sample], np.uint64), counter=epoch << 64))
        for mask in masks:
            mask[row, 0] = generator.random(mask.shape[2:], dtype=np.float32) >= ratio
    return masks


class MaskedGenerativeLoss(DistillationLoss):
    """The loss of one pair of necks.

    With ``alpha_form`` "sum" it is the paper's alpha * sum((G - T)^2) / N, which grows with the feature map (2e-5
    was tuned at about 800 x 1333 pixels); with "mean" it is alpha * mean((G - T)^2), the same at any size. Both add up
    over the levels.

    Args:
        necks: what is compared; a 1x1 convolution aligns the student's channels where they differ.
        section: alpha, its form, and the share of positions that is hidden.
    """

    def __init__(self, necks: NeckPair, section: MgdSection) -> None:
        super().__init__()
        self.necks, self.section = necks, section
        self.align = necks.align_layers()
        self.generate = paddle.nn.LayerList([_generator(channels) for channels in necks.teacher_channels])

    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """See :class:`DistillationLoss`."""
        shapes = [(feature.shape[2], feature.shape[3]) for feature in lesson.student]
        masks = draw_masks(shapes, lesson.samples, lesson.epoch, lesson.seed, self.section.mask_ratio)
        return self.of_masked(lesson.student, lesson.teacher, [paddle.to_tensor(mask) for mask in masks])

    def of_masked(
        self, student: Sequence[paddle.Tensor], teacher: Sequence[paddle.Tensor], masks: Sequence[paddle.Tensor]
    ) -> paddle.Tensor:
        """The weighted loss, a scalar.

        Args:
            student: per level [B, C, H, W].
            teacher: per level [B, C', H, W]; no gradient goes there.
            masks: per level [B, 1, H, W], 0 where the student is hidden.
        """
        total = paddle.zeros([])
        for level, (feature, target, mask) in enumerate(zip(student, teacher, masks, strict=True)):
            generated = self.generate[level](self.align[level](feature) * mask)
            squares = F.mse_loss(generated, target.detach(), reduction="sum")
            count = target.shape[0] if self.section.alpha_form == "sum" else target.size
            total = total + squares / count
        return total * self.section.alpha

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        levels = ", ".join(str(stride) for stride in self.necks.strides)
        norm = "sum((G(mask * S) - T)^2) / N" if self.section.alpha_form == "sum" else "mean((G(mask * S) - T)^2)"
        return f"{self.section.alpha:g} * {norm} over strides {levels}, mask hides {self.section.mask_ratio:.0%}"


def _generator(channels: int) -> paddle.nn.Sequential:
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(channels, channels, 3, padding=1),
        paddle.nn.ReLU(),
        paddle.nn.Conv2D(channels, channels, 3, padding=1),
    )
