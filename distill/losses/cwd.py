"""Channel-wise Distillation (Shu et al., ICCV 2021, arXiv 2011.13256).

Each channel's map becomes a probability distribution over the positions, and the student's is pulled towards the
teacher's: where a channel looks counts, how strongly it answers does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..paddle_import import paddle
from .base import DistillationLoss, Lesson, NeckPair, power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..recipe_distillation import CwdSection

F = paddle.nn.functional


class ChannelWiseLoss(DistillationLoss):
    """alpha * T^2 * mean over pictures and channels of KL(softmax(teacher / T) || softmax(student / T)).

    The softmax is over the positions of a level; the levels add up. A distribution sums to one on a map of any size,
    so the loss does not grow with it. With ``form`` "relative", both features are divided by the root mean square of
    the teacher's first, so that a temperature means the same for any teacher.

    Args:
        necks: what is compared; a 1x1 convolution aligns the student's channels where they differ.
        section: alpha and the temperature T.
    """

    section: CwdSection

    def __init__(self, necks: NeckPair, section: CwdSection) -> None:
        super().__init__(necks, section)
        # the softmax takes no notice of what is added to a whole channel
        self.align = necks.align_layers(bias=False)

    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """See :class:`DistillationLoss`."""
        return self.of_features(lesson.student, lesson.teacher)

    def of_features(self, student: Sequence[paddle.Tensor], teacher: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The weighted loss, a scalar.

        Args:
            student: per level [B, C, H, W].
            teacher: per level [B, C', H, W]; no gradient goes there.
        """
        temperature = self.section.temperature
        total = paddle.zeros([])
        for level, (feature, target) in enumerate(zip(student, teacher, strict=True)):
            spread = power(target).sqrt().flatten(2) if self.section.form == "relative" else 1.0
            own = F.log_softmax(self.align[level](feature).flatten(2) / (temperature * spread), axis=-1)
            wanted = F.log_softmax(target.detach().flatten(2) / (temperature * spread), axis=-1)
            divergence = (wanted.exp() * (wanted - own)).sum()
            total = total + divergence / (target.shape[0] * target.shape[1])
        return total * (self.section.alpha * temperature**2)

    def formula(self) -> str:
        """See :class:`DistillationLoss`."""
        levels = ", ".join(str(stride) for stride in self.necks.strides)
        unit = " rms" if self.section.form == "relative" else ""
        return (
            f"{self.section.alpha:g} * T^2 * mean over channels of KL(softmax(teacher / T) || softmax(S / T)) over "
            f"strides {levels}, T = {self.section.temperature:g}{unit}"
        )
