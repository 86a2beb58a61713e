"""Masked Generative Distillation (Yang et al., ECCV 2022, arXiv 2205.01529).

For each level of the neck, a share of the student's positions is hidden, and a small generator, trained with
the student and thrown away at export, has to make the teacher's whole feature from what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError
from ..paddle_import import paddle

F = paddle.nn.functional

AlphaForm = Literal["sum", "mean"]


def common_strides(student: Sequence[int], teacher: Sequence[int]) -> tuple[int, ...]:
    """The strides both necks have, ascending.

    Raises:
        UsageError: if there is none.
    """
    shared = tuple(sorted(set(student) & set(teacher)))
    if not shared:
        raise UsageError(
            f"The student's neck has strides {list(student)} and the teacher's {list(teacher)}: none in common, so "
            "there is nothing to distil. Give both recipes sections strides that overlap."
        )
    return shared


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


class MaskedGenerativeLoss(paddle.nn.Layer):
    """The loss of one pair of necks, with the layers it trains.

    Args:
        student_channels: of every level of the student's neck.
        teacher_channels: of every level of the teacher's neck.
        levels: how many levels are compared.
        alpha: weight of the loss.
        alpha_form: ``"sum"`` is the paper's alpha * sum((G - T)^2) / N, which grows with the feature map (2e-5 was
            tuned at about 800 x 1333 pixels); ``"mean"`` is alpha * mean((G - T)^2), the same at any size. Both
            add up over the levels.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, levels: int, *, alpha: float, alpha_form: AlphaForm
    ) -> None:
        super().__init__()
        self.alpha, self.alpha_form = alpha, alpha_form
        layers = paddle.nn.LayerList
        self.align = (
            layers([paddle.nn.Conv2D(student_channels, teacher_channels, 1) for _ in range(levels)])
            if student_channels != teacher_channels
            else None
        )
        self.generate = layers([_generator(teacher_channels) for _ in range(levels)])

    def forward(
        self, student: Sequence[paddle.Tensor], teacher: Sequence[paddle.Tensor], masks: Sequence[paddle.Tensor]
    ) -> paddle.Tensor:
        """The weighted loss, a scalar.

        Args:
            student: per level [B, student_channels, H, W].
            teacher: per level [B, teacher_channels, H, W]; no gradient goes there.
            masks: per level [B, 1, H, W], 0 where the student is hidden.
        """
        total = paddle.zeros([])
        for level, (feature, target, mask) in enumerate(zip(student, teacher, masks, strict=True)):
            aligned = feature if self.align is None else self.align[level](feature)
            generated = self.generate[level](aligned * mask)
            squares = F.mse_loss(generated, target.detach(), reduction="sum")
            count = target.shape[0] if self.alpha_form == "sum" else target.size
            total = total + squares / count
        return total * self.alpha


def _generator(channels: int) -> paddle.nn.Sequential:
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(channels, channels, 3, padding=1),
        paddle.nn.ReLU(),
        paddle.nn.Conv2D(channels, channels, 3, padding=1),
    )


def formula(strides: Sequence[int], *, alpha: float, alpha_form: AlphaForm, ratio: float) -> str:
    """The loss in one readable line, for logs and reports."""
    levels = ", ".join(str(s) for s in strides)
    norm = "sum((G(mask * S) - T)^2) / N" if alpha_form == "sum" else "mean((G(mask * S) - T)^2)"
    return f"{alpha:g} * {norm} over strides {levels}, mask hides {ratio:.0%}"
