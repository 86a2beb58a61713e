"""The teacher's side of a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..detectors.build import assign_tensors
from ..losses.base import Lesson, NeckPair, common_strides
from ..losses.build import build_losses, compares_backbones
from ..paddle_import import paddle
from .backbones import BackbonePair
from .precision import in_float32
from .teacher import Teacher

if TYPE_CHECKING:
    from ..detectors.base import Detector, HeadOutputs
    from ..recipe_distillation import DistillationSection
    from .cached_teacher import CachedTeacher
    from .loader import Batch


class Distiller:
    """A teacher and the losses that pull a student towards it.

    Attributes:
        layers: what the losses train; kept in checkpoints, never exported.
        strides: that both necks have.
        needs_head: whether a loss reads the heads' outputs.
        needs_live: whether a loss reads more of the teacher than its neck's features, so that it has to be run.
        cached: answers instead of the teacher, if its features are on disk.
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
        self._backbones = BackbonePair(student, teacher.detector) if compares_backbones(section) else None
        self.losses = build_losses(section, necks, self._backbones.channels if self._backbones is not None else None)
        for loss in self.losses.values():
            loss.prepare(student, teacher.detector)
        self.layers = paddle.nn.LayerDict(self.losses)
        self.needs_head = any(loss.needs_head for loss in self.losses.values())
        self.needs_live = self.needs_head or self._backbones is not None
        self.cached: CachedTeacher | None = None

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
        outputs: HeadOutputs | None,
        epoch: int,
        progress: float = 0.0,
    ) -> dict[str, paddle.Tensor]:
        """The weighted losses of a batch, by name, given what the student has just made of it: features and outputs.

        ``outputs`` may be None where no loss ``needs_head``; ``epoch`` is counted from 0; ``progress`` is the share of
        the training that is done.
        """
        # pictures that are not the training set's come without features
        teacher = self.teacher if self.cached is None or batch.features is None else self.cached
        answer = teacher.answer(batch, images, self.strides, head=self.needs_head)
        student_backbone, teacher_backbone = self._backbones.take() if self._backbones is not None else ([], [])
        # what mixed precision left in 16 bits has no room for squares
        lesson = Lesson(
            in_float32([features[level] for level in self._levels]),
            in_float32(answer.features),
            in_float32(outputs),
            in_float32(answer.outputs),
            batch.boxes,
            batch.labels,
            batch.samples,
            epoch,
            self.seed,
            progress,
            in_float32(student_backbone),
            in_float32(teacher_backbone),
        )
        return {name: loss(lesson) for name, loss in self.losses.items()}

    def __str__(self) -> str:
        return " + ".join(f"{name}: {loss.formula()}" for name, loss in self.losses.items())
