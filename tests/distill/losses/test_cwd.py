from __future__ import annotations

import math

import numpy as np
import pytest
from numeric_gradient import assert_gradients

paddle = pytest.importorskip("paddle", reason="the loss is computed by PaddlePaddle")

from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.cwd import ChannelWiseLoss  # noqa: E402
from temper.distill.recipe_distillation import CwdSection  # noqa: E402


def loss_layer(student: int, teacher: int, levels: int, **fields: object) -> ChannelWiseLoss:
    necks = NeckPair((8, 16, 32)[:levels], (student,) * levels, (teacher,) * levels)
    return ChannelWiseLoss(necks, CwdSection(**fields))


def distribution(values, temperature):
    powers = [math.exp(v / temperature) for v in values]
    return [p / sum(powers) for p in powers]


def reference_loss(arrays, *, alpha, temperature, form, levels=2) -> float:
    """The paper's equation 5, one position after the other."""
    total = 0.0
    for level in range(levels):
        student, teacher = arrays[f"student.{level}"], arrays[f"teacher.{level}"]
        weight = arrays.get(f"align.{level}.weight")
        pictures, channels = teacher.shape[:2]
        for picture in range(pictures):
            own = student[picture]
            if weight is not None:
                own = np.einsum("chw,oc->ohw", own, weight[:, :, 0, 0])
            unit = temperature * (math.sqrt((teacher[picture] ** 2).mean()) if form == "relative" else 1)
            for channel in range(channels):
                p = distribution(teacher[picture, channel].ravel().tolist(), unit)
                q = distribution(own[channel].ravel().tolist(), unit)
                total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / (pictures * channels)
    return alpha * temperature**2 * total


@pytest.mark.parametrize("form", ["raw", "relative"])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("channels", [(3, 3), (2, 4)])
def test_loss_and_gradient_against_numpy(form, temperature, channels):
    generator = np.random.default_rng(0)
    paddle.seed(0)
    shapes = [(2, 5, 4), (2, 3, 2)]
    arrays = {
        f"{who}.{level}": generator.normal(scale=2, size=(shape[0], channels[who == "teacher"], *shape[1:]))
        for who in ("student", "teacher")
        for level, shape in enumerate(shapes)
    }
    arrays = {name: array.astype(np.float32).astype(np.float64) for name, array in arrays.items()}
    layer = loss_layer(*channels, 2, alpha=30, temperature=temperature, form=form)
    arrays |= {name: value.numpy().astype(np.float64) for name, value in layer.state_dict().items()}
    tensors = {name: paddle.to_tensor(a.astype(np.float32), stop_gradient=False) for name, a in arrays.items()}
    student, teacher = ([tensors[f"{who}.{level}"] for level in range(2)] for who in ("student", "teacher"))
    loss = layer.of_features(student, teacher)

    def value(given):
        return reference_loss(given, alpha=30, temperature=temperature, form=form)

    assert float(loss) == pytest.approx(value(arrays), rel=1e-5)
    loss.backward()
    gradients = {f"student.{level}": student[level].grad.numpy() for level in range(2)}
    gradients |= {name: parameter.grad.numpy() for name, parameter in layer.named_parameters()}
    assert_gradients(value, arrays, gradients)


def test_how_strongly_a_channel_answers_everywhere_does_not_matter():
    layer = loss_layer(4, 4, 1)
    teacher = paddle.randn([2, 4, 6, 6])
    offsets = paddle.to_tensor(np.array([-3, 0, 1, 7], np.float32).reshape(1, 4, 1, 1))
    assert float(layer.of_features([teacher + offsets], [teacher])) == pytest.approx(0, abs=1e-5)
    assert float(layer.of_features([teacher * 2], [teacher])) > 0.1


def test_large_features_stay_finite():
    layer = loss_layer(2, 2, 1)
    loss = layer.of_features([paddle.randn([1, 2, 4, 4]) * 1e4], [paddle.randn([1, 2, 4, 4]) * 1e4])
    assert np.isfinite(float(loss))


def test_formula_names_alpha_temperature_and_strides():
    formula = loss_layer(2, 2, 2, alpha=5, temperature=4).formula()
    assert formula.startswith("5 * T^2") and formula.endswith("strides 8, 16, T = 4 rms")
    assert loss_layer(2, 2, 1, form="raw").formula().endswith("T = 1")
