from __future__ import annotations

import math

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="gradients are PaddlePaddle's")

from temper.distill.training.clipping import clip_gradients  # noqa: E402


def parameters_with(gradients: list[np.ndarray | None]) -> list:
    parameters = []
    for gradient in gradients:
        parameter = paddle.create_parameter(list(gradient.shape) if gradient is not None else [2], "float32")
        if gradient is not None:
            parameter.grad = paddle.to_tensor(gradient)
        parameters.append(parameter)
    return parameters


@pytest.fixture
def gradients() -> list[np.ndarray | None]:
    generator = np.random.default_rng(0)
    shapes = [(64, 32, 3, 3), (7,), (1, 1), (256, 256, 3, 3)]
    drawn: list[np.ndarray | None] = [generator.normal(scale=1e-3, size=shape).astype(np.float32) for shape in shapes]
    return [*drawn, None]


def norm_of(gradients: list[np.ndarray | None]) -> float:
    return math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients if g is not None))


@pytest.mark.parametrize("most", [math.inf, 10.0])
def test_a_gradient_within_the_limit_keeps_its_bits(gradients, most):
    parameters = parameters_with(gradients)
    assert clip_gradients(parameters, most) == pytest.approx(norm_of(gradients), rel=1e-6)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert parameter.grad is None if gradient is None else np.array_equal(parameter.grad.numpy(), gradient)


def test_a_larger_one_is_scaled_as_paddle_does(gradients):
    ours, theirs = parameters_with(gradients), parameters_with(gradients)
    norm = clip_gradients(ours, 0.05)
    # it adds up one number after the other in float32, which costs it the fourth digit
    assert norm == pytest.approx(float(paddle.nn.utils.clip_grad_norm_(theirs, 0.05)), rel=1e-3) and norm > 0.05
    for own, their, gradient in zip(ours[:-1], theirs[:-1], gradients[:-1], strict=True):
        np.testing.assert_allclose(own.grad.numpy(), their.grad.numpy(), rtol=1e-3)
        np.testing.assert_allclose(own.grad.numpy(), gradient * (0.05 / norm_of(gradients)), rtol=1e-4)
    assert clip_gradients(ours, math.inf) == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_is_told_and_left_alone(bad):
    parameters = parameters_with([np.array([1.0, bad], np.float32), np.ones(3, np.float32)])
    assert not math.isfinite(clip_gradients(parameters, 1.0))
    assert parameters[1].grad.numpy().tolist() == [1, 1, 1]


def test_nothing_to_clip_has_no_norm():
    assert clip_gradients(parameters_with([None]), 1.0) == 0.0
