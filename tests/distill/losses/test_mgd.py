from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric_gradient import assert_gradients

paddle = pytest.importorskip("paddle", reason="the loss is computed by PaddlePaddle")

from temper.distill.losses.base import NeckPair  # noqa: E402
from temper.distill.losses.mgd import (  # noqa: E402
    MaskedGenerativeLoss,
    draw_masks,
    hiding_probabilities,
    square_weights,
)
from temper.distill.recipe_distillation import MgdSection  # noqa: E402


def loss_layer(student: int, teacher: int, levels: int, **fields: object) -> MaskedGenerativeLoss:
    return MaskedGenerativeLoss(
        NeckPair((8, 16, 32)[:levels], (student,) * levels, (teacher,) * levels), MgdSection(**fields)
    )


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


def generated(x: np.ndarray, state, level: int = 0) -> np.ndarray:
    """What the block of a level makes of a masked feature [N, C, H, W]."""
    block, channels = f"generate.{level}", x.shape[1]
    kernel = state[f"{block}.weight"].reshape(channels, 3, 3, channels).transpose(3, 0, 1, 2)
    hidden = np.maximum(convolve(x, kernel, state[f"{block}.bias"]), 0)
    return convolve(hidden, state[f"{block}.second.weight"], state[f"{block}.second.bias"])


def reference_loss(student, teachers, masks, state, *, alpha, form) -> float:
    """The loss by the paper's formula in NumPy, sharing nothing with the layer but its weights."""
    total = 0.0
    for level, (feature, target, mask) in enumerate(zip(student, teachers, masks, strict=True)):
        x = feature
        if f"align.{level}.weight" in state:
            x = convolve(x, state[f"align.{level}.weight"], state[f"align.{level}.bias"])
        x = generated(x * mask, state, level)
        squares = (x - target) ** 2
        if form == "relative":
            total += np.mean([own.mean() / (t**2).mean() for own, t in zip(squares, target, strict=True)])
        else:
            total += squares.sum() / (target.shape[0] if form == "sum" else target.size)
    return alpha * total


@pytest.mark.parametrize("form", ["sum", "mean", "relative"])
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
    assert "/ mean(T^2)" in loss_layer(2, 2, 2, alpha_form="relative").formula()


def boxed_map(rows: slice, columns: slice, shape: tuple[int, int] = (10, 10)) -> np.ndarray:
    inside = np.zeros(shape, np.float32)
    inside[rows, columns] = 1
    return inside


@given(
    ratio=st.floats(0.01, 0.99),
    focus=st.floats(-1, 1),
    height=st.integers(0, 10),
    width=st.integers(0, 10),
)
def test_focus_keeps_the_share_that_is_hidden(ratio, focus, height, width):
    inside = boxed_map(slice(0, height), slice(0, width))
    chances = hiding_probabilities(inside, ratio, focus)
    assert chances.mean() == pytest.approx(ratio, abs=1e-5)
    assert chances.min() >= -1e-6 and chances.max() <= 1 + 1e-6
    if 0 < inside.sum() < inside.size and focus:
        within, without = chances[inside > 0].mean(), chances[inside == 0].mean()
        assert (within - without) * np.sign(focus) >= -1e-6


@pytest.mark.parametrize(
    ("ratio", "focus", "within", "without"),
    [
        (0.65, 1, 1.0, (0.65 - 0.25) / 0.75),  # all of the boxes, and what is left outside
        (0.1, 1, 0.4, 0.0),  # nothing but boxes, which are larger than what is to be hidden
        (0.65, -1, 0.0, 0.65 / 0.75),  # the boxes stay seen
        (0.9, -1, (0.9 - 0.75) / 0.25, 1.0),  # they cannot all
        (0.65, 0.5, 0.825, (0.65 - 0.25 * 0.825) / 0.75),
        (0.65, 0, 0.65, 0.65),
    ],
)
def test_focus_at_its_ends_and_between(ratio, focus, within, without):
    inside = boxed_map(slice(0, 5), slice(0, 5))
    chances = hiding_probabilities(inside, ratio, focus)
    assert np.allclose(chances[inside > 0], within, atol=1e-6)
    assert np.allclose(chances[inside == 0], without, atol=1e-6)


def test_masks_hide_boxes_as_told():
    inside = np.stack([boxed_map(slice(0, 20), slice(0, 20), (40, 40)), np.zeros((40, 40), np.float32)])[:, None]
    plain = draw_masks([(40, 40)], [3, 4], 0, 1, 0.65)[0]
    focused = draw_masks([(40, 40)], [3, 4], 0, 1, 0.65, inside=[inside], focus=1.0)[0]
    assert focused[0, 0, :20, :20].sum() == 0 and focused.mean() == pytest.approx(0.35, abs=0.03)
    assert np.array_equal(focused[1], plain[1]), "a picture without boxes is hidden as ever"
    unfocused = draw_masks([(40, 40)], [3, 4], 0, 1, 0.65, inside=[inside], focus=0.0)[0]
    assert np.array_equal(unfocused, plain)


def test_box_weight_shifts_the_loss_into_boxes_and_keeps_its_size():
    inside = np.stack([boxed_map(slice(0, 5), slice(0, 5)), np.zeros((10, 10), np.float32)])[:, None]
    weights = square_weights(inside, 4.0)
    assert np.allclose(weights.mean(axis=(1, 2, 3)), 1)
    assert weights[0, 0, 0, 0] == pytest.approx(4 * weights[0, 0, 9, 9]) and (weights[1] == 1).all()


@pytest.mark.parametrize("form", ["sum", "mean", "relative"])
def test_weighted_loss_and_gradient_against_numpy(form):
    generator = np.random.default_rng(4)
    paddle.seed(0)
    size = (4, 3)
    layer = loss_layer(2, 3, 1, alpha=0.3, alpha_form=form, alpha_end=0.1)
    inside = np.stack([boxed_map(slice(0, 2), slice(1, 3), size), boxed_map(slice(3, 4), slice(0, 1), size)])[:, None]
    masks, weights = draw_masks([size], [0, 1], 0, 0, 0.5), square_weights(inside, 5.0)
    arrays = {
        "student": generator.normal(size=(2, 2, *size)).astype(np.float32),
        "teacher": generator.normal(size=(2, 3, *size)).astype(np.float32),
        # biases that are 0 would put what is hidden exactly on the edge of the ReLU, where it has no slope
        **{n: generator.normal(scale=0.5, size=p.shape).astype(np.float32) for n, p in layer.named_parameters()},
    }
    layer.set_state_dict({name: arrays[name] for name, _ in layer.named_parameters()})
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    student = paddle.to_tensor(arrays["student"].astype(np.float32), stop_gradient=False)
    teacher = paddle.to_tensor(arrays["teacher"].astype(np.float32))
    loss = layer.of_masked([student], [teacher], [paddle.to_tensor(masks[0])], [paddle.to_tensor(weights)], 0.5)

    def value(given):
        # the root of a weight on both sides of the difference is the weight of its square
        root = np.sqrt(weights.astype(np.float64))
        x = convolve(given["student"], given["align.0.weight"], given["align.0.bias"]) * masks[0]
        x = generated(x, given)
        squares = (root * x - root * given["teacher"]) ** 2
        if form == "relative":
            squares = squares / (given["teacher"] ** 2).mean(axis=(1, 2, 3), keepdims=True)
        # halfway, half a cosine is halfway between its ends
        return 0.2 * squares.sum() / (2 if form == "sum" else given["teacher"].size)

    assert float(loss) == pytest.approx(value(arrays), rel=1e-5)
    loss.backward()
    gradients = {"student": student.grad.numpy()} | {n: p.grad.numpy() for n, p in layer.named_parameters()}
    assert_gradients(value, arrays, gradients)


def test_alpha_moves_to_its_end_on_half_a_cosine():
    layer = loss_layer(2, 2, 1, alpha=1.0, alpha_form="mean", alpha_end=0.0)
    assert [layer.alpha(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.8536, 0.5, 0], abs=1e-4)
    assert loss_layer(2, 2, 1, alpha=3.0).alpha(0.7) == 3.0
    assert loss_layer(2, 2, 1, alpha=1.0, alpha_end=4.0).alpha(1) == 4


def test_forward_uses_boxes_and_progress(make_lesson):
    values = {}
    for name, fields in {
        "plain": {},
        "focus": {"mask_focus": 1},
        "weight": {"box_weight": 9},
        "end": {"alpha_end": 0},
    }.items():
        paddle.seed(1)
        layer = loss_layer(3, 8, 2, **fields)
        values[name] = [float(layer(make_lesson(boxes=boxes))) for boxes in (True, False)]
    plain = values["plain"]
    assert plain[0] == plain[1]
    for name in ("focus", "weight"):
        assert values[name][0] != plain[0] and values[name][1] == pytest.approx(plain[1], rel=1e-6)
    assert values["end"][0] == pytest.approx(plain[0] * 0.5 * (1 + np.cos(np.pi / 4)))


def test_formula_tells_of_what_is_beyond_the_paper():
    formula = loss_layer(2, 2, 1, alpha_end=0.5, mask_focus=-0.5, box_weight=3).formula()
    for words in ("alpha ends at 0.5", "focus on boxes -0.5", "w inside boxes 3 times that outside", "w * (G("):
        assert words in formula
