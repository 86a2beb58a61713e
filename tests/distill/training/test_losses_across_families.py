"""Every distillation loss between and within families of detectors, on what their own forward passes give."""

from __future__ import annotations

import numpy as np
import pytest
from temper.core.errors import UsageError
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_distillation import DistillationSection
from temper.distill.weights import save_weights

paddle = pytest.importorskip("paddle", reason="detectors are built on PaddlePaddle")

from point_detectors import SMALL, lively  # noqa: E402
from temper.distill.losses.build import LOSSES  # noqa: E402
from temper.distill.training.distiller import Distiller  # noqa: E402
from temper.distill.training.loader import Batch  # noqa: E402
from temper.distill.training.teacher import Teacher  # noqa: E402

LABELS = ("a", "b", "c")
RETINA = RetinaNetSection(depth=18, width=0.125, neck_channels=32, head_convs=1, strides=(8, 16, 32))
WIDER = SMALL["ppyoloe"].model_copy(update={"width_mult": 0.375})
EVERY = {
    "mgd": {"alpha": 1, "alpha_form": "relative", "mask_focus": 0.5, "box_weight": 2},
    "mgd_backbone": {"alpha": 1, "alpha_form": "relative"},
    "cwd": {},
    "fgd": {},
}


def distiller_of(student, teacher_section, tmp_path, losses):
    teacher = lively(teacher_section, LABELS, 96)
    save_weights(tmp_path / "teacher.safetensors", {n: v.numpy() for n, v in teacher.state_dict().items()})
    section = DistillationSection.model_validate(losses)
    return Distiller(student, section, Teacher(teacher_section, tmp_path / "teacher.safetensors", LABELS, 0), 3)


@pytest.mark.parametrize(
    ("teacher", "student", "same_heads"),
    [
        (SMALL["picodet"], SMALL["picodet"], True),
        (WIDER, SMALL["ppyoloe"], True),
        (RETINA, SMALL["picodet"], False),
        (SMALL["ppyoloe"], RETINA, False),
    ],
    ids=["picodet", "ppyoloe of another width", "retinanet to picodet", "ppyoloe to retinanet"],
)
def test_every_loss_teaches_every_part_it_looks_at(tmp_path, teacher, student, same_heads):
    pupil = lively(student, LABELS, 96)
    pupil.train()
    distiller = distiller_of(pupil, teacher, tmp_path, EVERY | ({"response": {}} if same_heads else {}))
    images = np.random.default_rng(0).normal(size=(2, 1, 96, 96)).astype(np.float32)
    boxes = (np.array([[10, 12, 50, 60]], np.float32), np.zeros((0, 4), np.float32))
    batch = Batch((0, 1), images, {}, boxes, (np.zeros(1, np.int32), np.zeros(0, np.int32)))
    for name in distiller.losses:
        given = paddle.to_tensor(images)
        features = pupil.neck_features(given)
        value = distiller(batch, given, features, pupil.head_outputs(features), 0, 0.5)[name]
        value.backward()
        assert 0 < float(value) < 1e4, name
        gradients = {n: p.grad.numpy() for n, p in pupil.named_parameters() if p.grad is not None}
        assert all(np.isfinite(gradient).all() for gradient in gradients.values())
        reached = {n.split(".")[0] for n, gradient in gradients.items() if gradient.any()}
        parts = {"backbone", *(prefix.rstrip(".") for prefix in pupil.inheritable_prefixes())}
        unread = {part for part in parts if "head" in part} if name != "response" else set()
        assert reached == parts - unread - ({"neck"} if name == "mgd_backbone" else set()), name
        pupil.clear_gradients()
    if same_heads:
        assert set(distiller.losses) == set(LOSSES)
        assert "(1 - GIoU)" in str(distiller)


def test_heads_of_two_families_are_refused(tmp_path):
    with pytest.raises(UsageError, match="the student writes boxes as point distances and the teacher as anchor delt"):
        distiller_of(lively(SMALL["picodet"], LABELS, 96), RETINA, tmp_path, {"response": {}})
    with pytest.raises(UsageError, match=r"the student answers at \d+ places and the teacher at \d+"):
        distiller_of(lively(SMALL["picodet"], LABELS, 96), SMALL["ppyoloe"], tmp_path, {"response": {}})
