from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

paddle = pytest.importorskip("paddle", reason="the loss is computed by PaddlePaddle")

from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.mgd import MaskedGenerativeLoss, draw_masks  # noqa: E402
from temper.distill.recipe_distillation import MgdSection  # noqa: E402


def loss_layer(student: int, teacher: int, levels: int, **fields: object) -> MaskedGenerativeLoss:
    necks = NeckPair((8, 16, 32)[:levels], (student,) * levels, (teacher,) * levels)
    return MaskedGenerativeLoss(necks, MgdSection(**fields))


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Same-padded convolution of [N, C, H, W] in float64, written out as a sum over kernel positions."""
    reach = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    height, width = x.shape[2:]
    out = np.zeros((x.shape[0], weight.shape[0], height, width))
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            out += np.einsum("nchw,oc->nohw", padded[:, :, dy : dy + height, dx : dx + width], weight[:, :, dy, dx])
    return out + bias[None, :, None, None]


def reference_loss(student, teachers, masks, state, *, alpha, form) -> float:
    """The loss by the paper's formula in NumPy, sharing nothing with the layer but its weights."""
    total = 0.0
    for level, (feature, target, mask) in enumerate(zip(student, teachers, masks, strict=True)):
        x = feature
        if f"align.{level}.weight" in state:
            x = convolve(x, state[f"align.{level}.weight"], state[f"align.{level}.bias"])
        x = convolve(x * mask, state[f"generate.{level}.0.weight"], state[f"generate.{level}.0.bias"])
        x = convolve(np.maximum(x, 0), state[f"generate.{level}.2.weight"], state[f"generate.{level}.2.bias"])
        squares = ((x - target) ** 2).sum()
        total += squares / (target.shape[0] if form == "sum" else target.size)
    return alpha * total


@pytest.mark.parametrize("form", ["sum", "mean"])
@pytest.mark.parametrize("channels", [(3, 3), (2, 4)])
def test_loss_and_gradient_against_numpy(form, channels):
    generator = np.random.default_rng(0)
    paddle.seed(0)
    sizes = [(5, 4), (3, 2)]
    student = [generator.normal(size=(2, channels[0], *s)).astype(np.float32) for s in sizes]
    teacher = [generator.normal(size=(2, channels[1], *s)).astype(np.float32) for s in sizes]
    masks = draw_masks(sizes, [4, 9], 1, 7, 0.65)
    layer = loss_layer(*channels, 2, alpha=0.3, alpha_form=form)
    state = {name: value.numpy().astype(np.float64) for name, value in layer.state_dict().items()}
    inputs = [paddle.to_tensor(s, stop_gradient=False) for s in student]
    loss = layer.of_masked(inputs, [paddle.to_tensor(t) for t in teacher], [paddle.to_tensor(m) for m in masks])
    wide = [[a.astype(np.float64) for a in arrays] for arrays in (student, teacher, masks)]

    def value(features=wide[0], weights=state):
        return reference_loss(features, wide[1], wide[2], weights, alpha=0.3, form=form)

    assert float(loss) == pytest.approx(value(), rel=1e-5)

    loss.backward()
    step = 1e-5
    for level in range(2):
        for index in [(0, 0, 0, 0), (1, channels[0] - 1, 2, 1), (0, 1, 1, 1)]:
            up, down = ([f.copy() for f in wide[0]] for _ in range(2))
            up[level][index] += step
            down[level][index] -= step
            slope = (value(up) - value(down)) / (2 * step)
            assert inputs[level].grad.numpy()[index] == pytest.approx(slope, rel=1e-3, abs=1e-6)
    for name, parameter in layer.named_parameters():
        index = tuple(0 for _ in parameter.shape)
        up, down = dict(state), dict(state)
        up[name], down[name] = state[name].copy(), state[name].copy()
        up[name][index] += step
        down[name][index] -= step
        slope = (value(weights=up) - value(weights=down)) / (2 * step)
        assert parameter.grad.numpy()[index] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_no_gradient_reaches_the_teacher():
    layer = loss_layer(2, 2, 1, alpha=1.0, alpha_form="mean")
    teacher = paddle.randn([1, 2, 4, 4])
    teacher.stop_gradient = False
    layer.of_masked([paddle.randn([1, 2, 4, 4])], [teacher], [paddle.ones([1, 1, 4, 4])]).backward()
    assert teacher.grad is None


def test_mean_form_does_not_grow_with_the_feature_map():
    losses = {}
    for form in ("sum", "mean"):
        for size in (8, 32):
            paddle.seed(1)
            layer = loss_layer(4, 4, 1, alpha=1.0, alpha_form=form)
            ones = paddle.ones([2, 1, size, size])
            features = paddle.zeros([2, 4, size, size]), paddle.ones([2, 4, size, size])
            losses[form, size] = float(layer.of_masked([features[0]], [features[1]], [ones]))
    assert losses["mean", 32] == pytest.approx(losses["mean", 8], rel=0.05)
    assert losses["sum", 32] > 12 * losses["sum", 8]


@settings(max_examples=30, deadline=None)
@given(
    ratio=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 1000),
    samples=st.lists(st.integers(0, 10**6), min_size=2, max_size=4, unique=True),
)
def test_masks_depend_on_sample_and_epoch_alone(ratio, seed, epoch, samples):
    shapes = [(40, 40), (20, 20)]
    masks = draw_masks(shapes, samples, epoch, seed, ratio)
    alone = draw_masks(shapes, samples[1:2], epoch, seed, ratio)
    assert np.array_equal(masks[0][1:2], alone[0]) and np.array_equal(masks[1][1:2], alone[1])
    assert set(np.unique(masks[0])) <= {0.0, 1.0}
    assert masks[0].mean() == pytest.approx(1 - ratio, abs=0.06)
    assert not np.array_equal(masks[0][0], masks[0][1])
    assert not np.array_equal(masks[0], draw_masks(shapes, samples, epoch + 1, seed, ratio)[0])


def test_formula_says_which_form_is_used():
    assert "/ N" in loss_layer(2, 2, 2, alpha_form="sum").formula()
    assert "mean(" in loss_layer(2, 2, 2, alpha_form="mean", mask_ratio=0.45).formula()
