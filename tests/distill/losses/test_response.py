from __future__ import annotations

import math

import numpy as np
import pytest
from numeric_gradient import assert_gradients

paddle = pytest.importorskip("paddle", reason="the loss is computed by PaddlePaddle")

from temper.core.errors import UsageError  # noqa: E402
from temper.detection.decode import BoxCoding  # noqa: E402
from temper.distill.detectors.base import HeadOutputs  # noqa: E402
from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.response import ResponseLoss  # noqa: E402
from temper.distill.recipe_detectors import RetinaNetSection  # noqa: E402
from temper.distill.recipe_distillation import ResponseSection  # noqa: E402
from temper.distill.recipe_file import recipe_from_plain  # noqa: E402

LABELS = ("a", "b", "c")
THIN = {"depth": 18, "width": 0.125, "neck_channels": 16, "head_convs": 0, "strides": (8, 16, 32)}


class PointDetector:
    """As much of a detector with points as the loss looks at."""

    strides, classes = (8, 16), 3

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def box_coding(self, size: tuple[int, int]) -> BoxCoding:
        points = [
            [(column + 0.5) * stride + self.shift, (row + 0.5) * stride]
            for stride in self.strides
            for row in range(size[1] // stride)
            for column in range(size[0] // stride)
        ]
        return BoxCoding("point_distances", np.array(points, np.float32))


def loss_layer(points: bool = False, **fields: object) -> ResponseLoss:
    loss = ResponseLoss(NeckPair((8,), (4,), (4,)), ResponseSection(**fields))
    if points:
        loss.prepare(PointDetector(), PointDetector())
    return loss


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def giou(first, second) -> float:
    """Of two boxes given as left, top, right, bottom from one point."""
    a, b = ([-v[0], -v[1], v[2], v[3]] for v in (first, second))

    def area(box):
        return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

    overlap = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    hull = area([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    union = area(a) + area(b) - overlap
    return overlap / union - (hull - union) / hull


def reference_loss(arrays, points, section: ResponseSection) -> float:
    total = 0.0
    pictures, places, classes = arrays["logits"].shape
    for picture in range(pictures):
        entropy = distance = findings = 0.0
        for place in range(places):
            own, wanted = arrays["logits"][picture, place], arrays["teacher_logits"][picture, place]
            for k in range(classes):
                q, p = sigmoid(own[k] / section.temperature), sigmoid(wanted[k] / section.temperature)
                cross = -(p * math.log(q) + (1 - p) * math.log(1 - q))
                entropy += abs(q - p) ** section.focus * cross * section.temperature**2
            sure = max(sigmoid(w) for w in wanted)
            if sure >= section.min_score:
                first, second = arrays["boxes"][picture, place], arrays["teacher_boxes"][picture, place]
                distance += sure * (1 - giou(first, second) if points else np.abs(first - second).sum())
                findings += sure
        total += (section.classification * entropy + section.boxes * distance) / max(1.0, findings) / pictures
    return total


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 3.0, "focus": 1.0, "min_score": 0.6, "classification": 0.4, "boxes": 2.5},
        {"focus": 0.0, "min_score": 0.99999},
    ],
)
def test_loss_and_gradient_against_numpy(points, fields):
    generator = np.random.default_rng(2)
    shape = (2, 7)
    arrays = {
        "logits": generator.normal(size=(*shape, 3)),
        "teacher_logits": generator.normal(size=(*shape, 3)),
        "boxes": generator.uniform(1, 9, size=(*shape, 4)),
        "teacher_boxes": generator.uniform(1, 9, size=(*shape, 4)),
    }
    arrays = {name: a.astype(np.float32).astype(np.float64) for name, a in arrays.items()}
    tensors = {name: paddle.to_tensor(a.astype(np.float32), stop_gradient=False) for name, a in arrays.items()}
    layer = loss_layer(points, **fields)
    loss = layer.of_outputs(
        HeadOutputs(tensors["logits"], tensors["boxes"]),
        HeadOutputs(tensors["teacher_logits"], tensors["teacher_boxes"]),
    )

    def value(given):
        return reference_loss(given, points, layer.section)

    assert float(loss) == pytest.approx(value(arrays), rel=1e-5)
    loss.backward()
    assert_gradients(value, arrays, {name: tensors[name].grad.numpy() for name in ("logits", "boxes")})
    assert tensors["teacher_logits"].grad is None and tensors["teacher_boxes"].grad is None


def test_a_student_that_agrees_has_nothing_to_learn():
    answers = HeadOutputs(paddle.randn([2, 9, 3]), paddle.rand([2, 9, 4]) * 8 + 1)
    for points in (False, True):
        logits = answers.logits.clone()
        logits.stop_gradient = False
        loss = loss_layer(points).of_outputs(HeadOutputs(logits, answers.regressions), answers)
        loss.backward()
        assert float(loss) == pytest.approx(0, abs=1e-6)
        assert np.allclose(logits.grad.numpy(), 0, atol=1e-6)


def test_places_where_both_see_background_do_not_drown_the_others():
    """A hundred thousand of them change the loss by less than one place that differs."""
    teacher, student = np.full((1, 100_000, 1), -5, np.float32), np.full((1, 100_000, 1), -5.3, np.float32)
    teacher[0, 0] = 3
    losses = []
    for places in (1, 100_000):
        boxes = paddle.ones([1, places, 4])
        answers = [HeadOutputs(paddle.to_tensor(logits[:, :places]), boxes) for logits in (student, teacher)]
        losses.append(float(loss_layer().of_outputs(*answers)))
    assert losses[0] > 1 and losses[1] == pytest.approx(losses[0], rel=0.1)


def test_boxes_inside_out_stay_finite():
    boxes = paddle.to_tensor(np.array([[[-9, 1, 2, 3], [0, 0, 0, 0]]], np.float32), stop_gradient=False)
    sure = paddle.full([1, 2, 1], 4.0)
    loss = loss_layer(True).of_outputs(HeadOutputs(sure, boxes), HeadOutputs(sure, paddle.ones([1, 2, 4])))
    loss.backward()
    assert 0 < float(loss) < 3 and np.isfinite(boxes.grad.numpy()).all()


def detector(labels=LABELS, **fields: object):
    return build_detector(RetinaNetSection(**THIN | fields), labels, 0)


def test_same_places_are_accepted_whatever_the_backbone():
    loss_layer().prepare(detector(), detector(depth=34, neck_channels=24, head_convs=1))


@pytest.mark.parametrize(
    ("teacher", "complaint"),
    [
        (lambda: detector(strides=(8, 16, 32, 64)), r"on 256 x 256 pixels the student answers at \d+ places and the"),
        (lambda: detector(anchor_scale=2.0), r"the places or anchors they answer for lie elsewhere"),
        (lambda: detector(labels=("a", "b")), r"the student tells 3 classes apart and the teacher 2"),
        (PointDetector, r"the student writes boxes as anchor deltas and the teacher as point distances"),
    ],
)
def test_heads_that_cannot_be_compared_are_one_sentence(teacher, complaint):
    with pytest.raises(
        UsageError, match=rf"compares the heads place by place, but {complaint}.*to null, or give"
    ) as told:
        loss_layer().prepare(detector(), teacher())
    assert "\n" not in str(told.value)


def test_points_elsewhere_are_refused():
    with pytest.raises(UsageError, match="lie elsewhere"):
        loss_layer().prepare(PointDetector(), PointDetector(shift=4.0))


def test_no_weight_at_all_is_one_sentence():
    section = {"response": {"classification": 0, "boxes": 0}}
    plain = {"name": "a", "data": {"synthetic": {}}, "teacher": {}, "student": {}, "distillation": section}
    with pytest.raises(UsageError, match=r"distillation\.response: both weights are 0"):
        recipe_from_plain(plain, "r.yml")


def test_formula_says_how_boxes_are_compared():
    assert "sum w * L1" in loss_layer().formula() and "(1 - GIoU)" in loss_layer(True).formula()
