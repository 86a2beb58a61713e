"""Focal and Global Distillation (Yang et al., CVPR 2022, arXiv 2111.11837).

The focal part compares features apart inside and outside of the true boxes, weighted by where and in which channels the
teacher's attention lies, and the attention itself. The global part compares features once each has been related to the
whole picture by a context block (GcBlock, Cao et al., 2019, arXiv 1904.11492).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..paddle_import import paddle
from .base import DistillationLoss, Lesson, NeckPair, power
from .foreground import scale_of_boxes

if TYPE_CHECKING:
    from ..recipe_distillation import FgdSection

F = paddle.nn.functional


class FocalTerms(NamedTuple):
    """The four parts of the loss over all levels, unweighted scalars."""

    foreground: paddle.Tensor
    background: paddle.Tensor
    attention: paddle.Tensor
    relation: paddle.Tensor


class FocalGlobalLoss(DistillationLoss):
    """The loss of one pair of necks.

    With ``form`` "sum" it is the paper's, of which the attention and global parts grow with the feature map and all but
    the spatial attention with its channels. With "relative" both features are divided by the root mean square of the
    teacher's first, so that the temperature means the same for any teacher, and sums over channels and positions become
    means. The foreground part is a sum over boxes of means over their positions in either form.

    Args:
        necks: what is compared; a 1x1 convolution aligns the student's channels where they differ.
        section: the four weights, their form, the temperature.
    """

    section: FgdSection

    def __init__(self, necks: NeckPair, section: FgdSection) -> None:
        super().__init__(necks, section)
        self.align = necks.align_layers()
        layers = paddle.nn.LayerList
        self.student_context = layers([ContextBlock(channels) for channels in necks.teacher_channels])
        self.teacher_context = layers([ContextBlock(channels) for channels in necks.teacher_channels])

    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """See :class:`DistillationLoss`."""
        return self.of_features(lesson.student, lesson.teacher, lesson.boxes)

    def of_features(
        self,
        student: Sequence[paddle.Tensor],
        teacher: Sequence[paddle.Tensor],
        boxes: Sequence[NDArray[np.float32]],
    ) -> paddle.Tensor:
        """The weighted loss, a scalar.

        Args:
            student: per level [B, C, H, W].
            teacher: per level [B, C', H, W]; no gradient goes there.
            boxes: of each picture float32 [N, 4] in pixels of the network's input.
        """
        total = paddle.zeros([])
        for level, (feature, target) in enumerate(zip(student, teacher, strict=True)):
            aligned, wanted = self.align[level](feature), target.detach()
            if self.section.form == "relative":
                spread = power(wanted).sqrt()
                aligned, wanted = aligned / spread, wanted / spread
            terms = self._level(level, aligned, wanted, boxes)
            for weight, term in zip(self.section.weights(), terms, strict=True):
                if weight:
                    total = total + weight * term
        return total

    def _level(
        self, level: int, feature: paddle.Tensor, target: paddle.Tensor, boxes: Sequence[NDArray[np.float32]]
    ) -> FocalTerms:
        batch, channels, height, width = target.shape
        foreground, background = _focal_weights(boxes, self.necks.strides[level], (height, width))
        (wanted_where, wanted_what), (where, what) = (
            _attention(x, self.section.temperature) for x in (target, feature)
        )
        by_position = ((feature - target) ** 2 * wanted_what).sum(axis=1, keepdim=True) * wanted_where
        related = self.student_context[level](feature) - self.teacher_context[level](target)
        is_sum = self.section.form == "sum"
        features, positions = (1, 1) if is_sum else (channels, height * width)
        attention = (where - wanted_where).abs().sum() / positions + (what - wanted_what).abs().sum() / features
        return FocalTerms(
            (by_position * paddle.to_tensor(foreground)).sum() / (batch * features),
            (by_position * paddle.to_tensor(background)).sum() / (batch * features),
            attention / batch,
            (related**2).sum() / (batch * features * positions),
        )

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        foreground, background, attention, relation = self.section.weights()
        levels = ", ".join(str(stride) for stride in self.necks.strides)
        form = "sums" if self.section.form == "sum" else "means, relative to the teacher,"
        return (
            f"{foreground:g} * foreground + {background:g} * background + {attention:g} * attention + {relation:g} * "
            f"relation ({form} over strides {levels}), T = {self.section.temperature:g}"
        )


class ContextBlock(paddle.nn.Layer):
    """Adds to every position one vector made of the whole map; starts as the identity.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        zero = paddle.nn.initializer.Constant(0.0)
        # a bias would be lost in the softmax
        self.attend = paddle.nn.Conv2D(channels, 1, 1, bias_attr=False)
        self.transform = paddle.nn.Sequential(
            paddle.nn.Linear(channels, hidden),
            paddle.nn.LayerNorm(hidden),
            paddle.nn.ReLU(),
            paddle.nn.Linear(hidden, channels, weight_attr=zero, bias_attr=zero),
        )

    def forward(self, feature: paddle.Tensor) -> paddle.Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        weights = F.softmax(self.attend(feature).flatten(1), axis=-1)
        context = (feature.flatten(2) * weights.unsqueeze(1)).sum(axis=-1)
        return feature + self.transform(context).unsqueeze(-1).unsqueeze(-1)


def _attention(feature: paddle.Tensor, temperature: float) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Where, [B, 1, H, W], and in which channels, [B, C, 1, 1], a feature answers strongly; each averages 1."""
    batch, channels, height, width = feature.shape
    strength = feature.abs()
    where = F.softmax(strength.mean(axis=1).flatten(1) / temperature, axis=-1) * (height * width)
    what = F.softmax(strength.mean(axis=[2, 3]) / temperature, axis=-1) * channels
    return where.reshape([batch, 1, height, width]), what.reshape([batch, channels, 1, 1])


def _focal_weights(
    boxes: Sequence[NDArray[np.float32]], stride: int, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of the positions inside and outside of boxes, [B, 1, H, W] each; the outside of a picture sums to 1."""
    foreground = scale_of_boxes(boxes, stride, shape)
    outside = (foreground == 0).astype(np.float32)
    # where boxes cover everything there is no background, and nothing to divide
    return foreground, outside / np.maximum(outside.sum(axis=(1, 2, 3), keepdims=True), 1)
