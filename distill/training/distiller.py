"""The teacher's side of a training step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..detectors.build import assign_tensors, build_detector, load_into
from ..losses.mgd import MaskedGenerativeLoss, common_strides, draw_masks, formula
from ..paddle_import import paddle

if TYPE_CHECKING:
    from ..detectors.base import Detector
    from ..recipe import DetectorSection, DistillationSection
    from .loader import Batch


class Distiller:
    """A frozen teacher and the loss that pulls a student's neck towards its.

    The loss layers are trained with the student and never exported; the teacher's weights and batch
    statistics never change.
    """

    def __init__(
        self,
        student: Detector,
        section: DistillationSection,
        teacher: DetectorSection,
        teacher_weights: Path,
        labels: tuple[str, ...],
        seed: int,
    ) -> None:
        self.section, self.seed = section, seed
        self.strides = common_strides(student.strides, teacher.strides)
        self.student_levels = [student.strides.index(s) for s in self.strides]
        self.teacher_levels = [teacher.strides.index(s) for s in self.strides]
        self.teacher = build_detector(teacher, labels, seed)
        load_into(self.teacher, teacher_weights, whole=True)
        self.teacher.eval()
        for parameter in self.teacher.parameters():
            parameter.stop_gradient = True
        self.loss = MaskedGenerativeLoss(
            student.neck_channels,
            self.teacher.neck_channels,
            len(self.strides),
            alpha=section.alpha,
            alpha_form=section.alpha_form,
        )

    def inherit(self, student: Detector) -> int:
        """Give the student the teacher's neck and head where names and shapes match; returns how many tensors."""
        prefixes = student.inheritable_prefixes()
        own = student.state_dict()
        taken = {
            name: value.numpy()
            for name, value in self.teacher.state_dict().items()
            if name.startswith(prefixes) and name in own and own[name].shape == value.shape
        }
        assign_tensors(student, taken)
        return len(taken)

    def __call__(self, batch: Batch, images: paddle.Tensor, features: list[paddle.Tensor], epoch: int) -> paddle.Tensor:
        """The weighted distillation loss of a batch, given the student's neck features."""
        with paddle.no_grad():
            targets = self.teacher.neck_features(images)
        students = [features[i] for i in self.student_levels]
        shapes = [(f.shape[2], f.shape[3]) for f in students]
        masks = draw_masks(shapes, batch.samples, epoch, self.seed, self.section.mask_ratio)
        loss: paddle.Tensor = self.loss(
            students, [targets[i] for i in self.teacher_levels], [paddle.to_tensor(m) for m in masks]
        )
        return loss

    def __str__(self) -> str:
        return formula(
            self.strides,
            alpha=self.section.alpha,
            alpha_form=self.section.alpha_form,
            ratio=self.section.mask_ratio,
        )
