from __future__ import annotations

import math

import numpy as np
import pytest
from numeric_gradient import assert_gradients

paddle = pytest.importorskip("paddle", reason="the loss is computed by PaddlePaddle")

from temper.core.errors import UsageError  # noqa: E402
from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.fgd import ContextBlock, FocalGlobalLoss  # noqa: E402
from temper.distill.recipe_distillation import FgdSection  # noqa: E402
from temper.distill.recipe_file import recipe_from_plain  # noqa: E402

STRIDES = (8, 16)
BOXES = (
    np.array([[3, 5, 20, 30], [10, 8, 15, 14]], np.float32),
    np.zeros((0, 4), np.float32),
    np.array([[0, 0, 32, 40]], np.float32),
)
WEIGHTS = {"foreground": 0.3, "background": 0.7, "attention": 0.2, "relation": 0.11}


def loss_layer(student: int, teacher: int, **fields: object) -> FocalGlobalLoss:
    return FocalGlobalLoss(NeckPair(STRIDES, (student,) * 2, (teacher,) * 2), FgdSection(**fields))


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def attention(feature, temperature):
    """Equations 5 to 8: of one picture [C, H, W]."""
    channels, height, width = feature.shape
    where = height * width * softmax(np.abs(feature).mean(axis=0) / temperature)
    what = channels * softmax(np.abs(feature).mean(axis=(1, 2)) / temperature)
    return where, what


def context(feature, arrays, prefix):
    """Equation 12: of one picture [C, H, W]."""
    scores = np.einsum("chw,c->hw", feature, arrays[f"{prefix}.attend.weight"][0, :, 0, 0])
    pooled = np.einsum("chw,hw->c", feature, softmax(scores))
    hidden = pooled @ arrays[f"{prefix}.transform.0.weight"] + arrays[f"{prefix}.transform.0.bias"]
    hidden = (hidden - hidden.mean()) / math.sqrt(hidden.var() + 1e-5)
    hidden = np.maximum(hidden * arrays[f"{prefix}.transform.1.weight"] + arrays[f"{prefix}.transform.1.bias"], 0)
    added = hidden @ arrays[f"{prefix}.transform.3.weight"] + arrays[f"{prefix}.transform.3.bias"]
    return feature + added[:, None, None]


def position_weights(boxes, stride, height, width):
    """Equations 3 and 4, position by position: (inside, weight)."""
    inside, weight = np.zeros((height, width), bool), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            sizes = []
            for left, top, right, bottom in boxes.tolist():
                columns = range(int(left // stride), math.ceil(right / stride))
                rows = range(int(top // stride), math.ceil(bottom / stride))
                if x in columns and y in rows:
                    rows, columns = (
                        range(rows.start, min(rows.stop, height)),
                        range(columns.start, min(columns.stop, width)),
                    )
                    sizes.append(len(rows) * len(columns))
            if sizes:
                inside[y, x], weight[y, x] = True, 1 / min(sizes)
    weight[~inside] = 1 / max(1, (~inside).sum())
    return inside, weight


def reference_loss(arrays, form, temperature) -> float:
    total = 0.0
    for level, stride in enumerate(STRIDES):
        for picture, boxes in enumerate(BOXES):
            student, teacher = arrays[f"student.{level}"][picture], arrays[f"teacher.{level}"][picture]
            if f"align.{level}.weight" in arrays:
                student = np.einsum("chw,oc->ohw", student, arrays[f"align.{level}.weight"][:, :, 0, 0])
                student = student + arrays[f"align.{level}.bias"][:, None, None]
            if form == "relative":
                spread = math.sqrt((teacher**2).mean())
                student, teacher = student / spread, teacher / spread
            channels, height, width = teacher.shape
            inside, scale = position_weights(boxes, stride, height, width)
            where, what = attention(teacher, temperature)
            own_where, own_what = attention(student, temperature)
            squares = (teacher - student) ** 2 * scale * where * what[:, None, None]
            related = context(student, arrays, f"student_context.{level}") - context(
                teacher, arrays, f"teacher_context.{level}"
            )
            by_channel, by_position = (1, 1) if form == "sum" else (channels, height * width)
            total += (
                WEIGHTS["foreground"] * squares[:, inside].sum() / by_channel
                + WEIGHTS["background"] * squares[:, ~inside].sum() / by_channel
                + WEIGHTS["attention"] * np.abs(where - own_where).sum() / by_position
                + WEIGHTS["attention"] * np.abs(what - own_what).sum() / by_channel
                + WEIGHTS["relation"] * (related**2).sum() / (by_channel * by_position)
            ) / len(BOXES)
    return total


@pytest.mark.parametrize("form", ["sum", "relative"])
@pytest.mark.parametrize("channels", [(4, 4), (3, 6)])
def test_loss_and_gradient_against_numpy(form, channels):
    generator = np.random.default_rng(1)
    paddle.seed(0)
    layer = loss_layer(*channels, form=form, temperature=0.5, **WEIGHTS)
    # off its start, where the context blocks are the identity
    state = {name: generator.normal(scale=0.5, size=p.shape).astype(np.float32) for name, p in layer.named_parameters()}
    layer.set_state_dict(state)
    sizes = [(5, 4), (3, 2)]
    features = {
        f"{who}.{level}": generator.normal(size=(3, channels[who == "teacher"], *size)).astype(np.float32)
        for who in ("student", "teacher")
        for level, size in enumerate(sizes)
    }
    arrays = {name: array.astype(np.float64) for name, array in {**state, **features}.items()}
    tensors = {name: paddle.to_tensor(a, stop_gradient=False) for name, a in features.items()}
    student, teacher = ([tensors[f"{who}.{level}"] for level in range(2)] for who in ("student", "teacher"))
    loss = layer.of_features(student, teacher, BOXES)

    def value(given):
        return reference_loss(given, form, 0.5)

    assert float(loss) == pytest.approx(value(arrays), rel=1e-5)
    loss.backward()
    gradients = {f"student.{level}": student[level].grad.numpy() for level in range(2)}
    gradients |= {name: parameter.grad.numpy() for name, parameter in layer.named_parameters()}
    assert_gradients(value, arrays, gradients)
    assert all(t.grad is None for t in teacher)


def test_context_block_starts_as_the_identity():
    feature = paddle.randn([2, 5, 3, 4])
    assert np.array_equal(ContextBlock(5)(feature).numpy(), feature.numpy())


def test_boxes_all_over_the_picture_leave_no_background():
    full = [np.array([[0, 0, 64, 64]], np.float32)]
    features = [paddle.randn([1, 4, 8, 8]), paddle.randn([1, 4, 4, 4])]
    student = [feature + 1 for feature in features]
    alone = {"form": "sum", "foreground": 0, "background": 0.25, "attention": 0, "relation": 0}
    assert float(loss_layer(4, 4, **alone).of_features(student, features, full)) == 0
    none = [np.zeros((0, 4), np.float32)]
    # attention averages 1 over positions and over channels, so a difference of 1 everywhere gives the weight times the
    # channels a level
    assert float(loss_layer(4, 4, **alone).of_features(student, features, none)) == pytest.approx(2, rel=1e-5)


def test_large_and_small_boxes_weigh_the_same():
    only = {"form": "sum", "foreground": 0.25, "background": 0, "attention": 0, "relation": 0, "temperature": 1e6}
    features = [paddle.randn([1, 4, 8, 8]), paddle.randn([1, 4, 4, 4])]
    student = [feature + 1 for feature in features]
    for box in ([0, 0, 8, 8], [0, 0, 64, 48]):
        found = loss_layer(4, 4, **only).of_features(student, features, [np.array([box], np.float32)])
        assert float(found) == pytest.approx(2, rel=1e-4)


def test_weights_belong_to_their_form_unless_given():
    assert FgdSection(form="sum").weights() == (1e-3, 5e-4, 5e-4, 5e-6)
    assert FgdSection(background=0).weights() == (0.25, 0, 0.5, 1.0)
    assert "0.001 * foreground" in loss_layer(4, 4, form="sum").formula()
    assert "means, relative to the teacher, over strides 8, 16" in loss_layer(4, 4).formula()


def test_no_weight_at_all_is_one_sentence():
    nothing = dict.fromkeys(WEIGHTS, 0)
    plain = {"name": "a", "data": {"synthetic": {}}, "teacher": {}, "student": {}, "distillation": {"fgd": nothing}}
    with pytest.raises(UsageError, match=r"distillation\.fgd: all four weights are 0, .* set distillation.fgd to null"):
        recipe_from_plain(plain, "r.yml")
