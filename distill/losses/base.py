"""What every distillation loss is given, and what it gives: the seam for adding another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..detectors.base import Detector, HeadOutputs


@dataclass(frozen=True)
class NeckPair:
    """The necks (or backbones) that are compared.

    Attributes:
        strides: that both have, ascending.
        student_channels: of the student's neck, one number per stride.
        teacher_channels: of the teacher's neck, one number per stride.
    """

    strides: tuple[int, ...]
    student_channels: tuple[int, ...]
    teacher_channels: tuple[int, ...]

    def align_layers(self, *, bias: bool | None = None) -> paddle.nn.LayerList:
        """Fresh layers that give the student's features the teacher's channels, one per stride.

        A 1x1 convolution where the channels differ, nothing where they are the same; ``bias`` False leaves it without
        one.
        """
        channels = zip(self.student_channels, self.teacher_channels, strict=True)
        return paddle.nn.LayerList(
            [
                paddle.nn.Identity() if own == wanted else paddle.nn.Conv2D(own, wanted, 1, bias_attr=bias)
                for own, wanted in channels
            ]
        )


@dataclass(frozen=True, eq=False)
class Lesson:
    """One batch as student and teacher see it.

    Attributes:
        student: the student's neck features [B, C, H, W], one per stride of the pair.
        teacher: the teacher's, [B, C', H, W]; no gradient goes there.
        student_outputs: of the student's head; may be None unless the loss has ``needs_head``.
        teacher_outputs: of the teacher's head; None unless the loss has ``needs_head``.
        boxes: true boxes of each picture, float32 [N, 4] in pixels of the network's input; none where there is no
            defect, nor where nobody has looked for one.
        labels: their classes, int32 [N].
        samples: index of each picture in the training set; unlabelled ones count on from its end.
        epoch: counted from 0.
        seed: of the run.
        progress: share of the training that is done, from 0 to 1.
        student_backbone: the student's backbone features, as ``student``; empty unless a loss ``needs_backbone``.
        teacher_backbone: the teacher's.
    """

    student: list[paddle.Tensor]
    teacher: list[paddle.Tensor]
    student_outputs: HeadOutputs | None
    teacher_outputs: HeadOutputs | None
    boxes: tuple[NDArray[np.float32], ...]
    labels: tuple[NDArray[np.int32], ...]
    samples: tuple[int, ...]
    epoch: int
    seed: int
    progress: float = 0.0
    student_backbone: Sequence[paddle.Tensor] = ()
    teacher_backbone: Sequence[paddle.Tensor] = ()


class DistillationLoss(ABC, paddle.nn.Layer):
    """A weighted loss between teacher and student, with the layers it trains.

    Its parameters are trained with the student, kept in checkpoints, and thrown away at export. It is a mean over the
    pictures of a batch of what each picture gives by itself, so that two processes with half the batch each agree with
    one.

    Attributes:
        needs_head: whether it reads the lesson's ``student_outputs`` and ``teacher_outputs``; the teacher then runs
            whole and live.
        needs_backbone: whether it compares the backbones, not the necks; the teacher then runs live.
    """

    needs_head: bool = False
    needs_backbone: bool = False

    def __init__(self, necks: NeckPair, section: Any) -> None:
        """Make the layers for a pair of necks as the loss's own section of the recipe says."""
        super().__init__()
        self.necks, self.section = necks, section

    def prepare(self, student: Detector, teacher: Detector) -> None:
        """Look at both detectors once, before the first step.

        Raises:
            UsageError: if this loss cannot compare them.
        """

    @abstractmethod
    def forward(self, lesson: Lesson) -> paddle.Tensor:
        """The weighted loss of a batch, a scalar."""

    @abstractmethod
    def formula(self) -> str:
        """The loss in one readable line, for logs and reports."""


def power(feature: paddle.Tensor) -> paddle.Tensor:
    """The mean square of each picture's feature [B, C, H, W], [B, 1, 1, 1]; no gradient goes through it.

    Networks differ by orders of magnitude in it, and so would losses on their features as they are.
    """
    return (feature.detach() ** 2).mean(axis=[1, 2, 3], keepdim=True).clip(min=1e-12)


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
