"""The teacher's side of a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..detectors.build import assign_tensors
from ..losses.base import Lesson, NeckPair, common_strides
from ..losses.build import build_losses
from ..paddle_import import paddle
from .teacher import Teacher

if TYPE_CHECKING:
    from ..detectors.base import Detector, HeadOutputs
    from ..recipe_distillation import DistillationSection
    from .loader import Batch


class Distiller:
    """A teacher and the losses that pull a student towards it.

    Attributes:
        layers: what the losses train; kept in checkpoints, never exported.
        strides: that both necks have.
    """

    def __init__(self, student: Detector, section: DistillationSection, teacher: Teacher, seed: int) -> None:
        self.teacher, self.seed = teacher, seed
        self.strides = common_strides(student.strides, teacher.strides)
        self._levels = [student.strides.index(s) for s in self.strides]
        necks = NeckPair(
            self.strides,
            tuple(student.neck_channels[level] for level in self._levels),
            tuple(teacher.neck_channels[teacher.strides.index(stride)] for stride in self.strides),
        )
        self.losses = build_losses(section, necks)
        self.layers = paddle.nn.LayerDict(self.losses)
        self._needs_head = any(loss.needs_head for loss in self.losses.values())

    def inherit(self, student: Detector) -> int:
        """Give the student the teacher's neck and head where names and shapes match; returns how many tensors."""
        prefixes = student.inheritable_prefixes()
        own = student.state_dict()
        taken = {
            name: value
            for name, value in self.teacher.weights().items()
            if name.startswith(prefixes) and name in own and own[name].shape == list(value.shape)
        }
        assign_tensors(student, taken)
        return len(taken)

    def __call__(
        self,
        batch: Batch,
        images: paddle.Tensor,
        features: list[paddle.Tensor],
        outputs: HeadOutputs,
        epoch: int,
    ) -> dict[str, paddle.Tensor]:
        """The weighted losses of a batch, by name, given the student's neck features and its head's outputs."""
        answer = self.teacher.answer(batch, images, self.strides, head=self._needs_head)
        lesson = Lesson(
            [features[level] for level in self._levels],
            answer.features,
            outputs,
            answer.outputs,
            batch.boxes,
            batch.labels,
            batch.samples,
            epoch,
            self.seed,
        )
        return {name: loss(lesson) for name, loss in self.losses.items()}

    def __str__(self) -> str:
        return " + ".join(f"{name}: {loss.formula()}" for name, loss in self.losses.items())
