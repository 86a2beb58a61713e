from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

paddle = pytest.importorskip("paddle", reason="the block is computed by PaddlePaddle")

from temper.distill.losses.generator import MaskedGenerator  # noqa: E402

F = paddle.nn.functional


def plain(block: MaskedGenerator, feature, mask):
    """The block as anyone would write it: two convolutions on the masked feature."""
    channels = feature.shape[1]
    kernel = block.weight.reshape([channels, 3, 3, channels]).transpose([3, 0, 1, 2])
    return block.second(F.relu(F.conv2d(feature * mask, kernel, block.bias, padding=1)))


def outcome(run, block, feature, mask, target):
    """Value and all gradients of a square loss on what ``run`` generates."""
    block.clear_gradients()
    given_feature = paddle.to_tensor(feature, stop_gradient=False)
    generated = run(given_feature, paddle.to_tensor(mask))
    F.mse_loss(generated, paddle.to_tensor(target), reduction="sum").backward()
    gradients = {name: parameter.grad.numpy().copy() for name, parameter in block.named_parameters()}
    return generated.numpy(), gradients | {"feature": given_feature.grad.numpy()}


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 9),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    hidden=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
def test_visible_positions_give_what_all_positions_give(batch, channels, size, hidden, seed):
    generator = np.random.default_rng(seed)
    block = MaskedGenerator(channels)
    block.bias.set_value(generator.normal(size=channels).astype(np.float32))
    feature, target = (generator.normal(size=(batch, channels, *size)).astype(np.float32) for _ in range(2))
    mask = (generator.random((batch, 1, *size)) >= hidden).astype(np.float32)
    found = outcome(block, block, feature, mask, target)
    wanted = outcome(lambda *given: plain(block, *given), block, feature, mask, target)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    for name, gradient in wanted[1].items():
        scale = max(1e-3, float(np.abs(gradient).max()))
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-4, atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize("mask_value", [0.0, 1.0])
def test_all_hidden_and_nothing_hidden(mask_value):
    block = MaskedGenerator(4)
    feature = paddle.randn([2, 4, 3, 3])
    mask = paddle.full([2, 1, 3, 3], mask_value)
    np.testing.assert_allclose(block(feature, mask).numpy(), plain(block, feature, mask).numpy(), rtol=1e-5, atol=1e-5)


def test_hidden_positions_get_no_gradient_and_a_frozen_feature_none_at_all():
    block = MaskedGenerator(4)
    mask = paddle.to_tensor(np.array([1, 0, 0, 1], np.float32).reshape(1, 1, 2, 2))
    feature = paddle.randn([1, 4, 2, 2])
    feature.stop_gradient = False
    block(feature, mask).sum().backward()
    assert (feature.grad.numpy() != 0).any(axis=1).tolist() == [[[True, False], [False, True]]]
    frozen = paddle.randn([1, 4, 2, 2])
    block(frozen, mask).sum().backward()
    assert frozen.grad is None and block.weight.grad is not None


def test_the_same_bits_every_time():
    paddle.seed(3)
    block = MaskedGenerator(8)
    feature = paddle.randn([2, 8, 7, 7]).numpy()
    mask = (np.random.default_rng(0).random((2, 1, 7, 7)) > 0.65).astype(np.float32)
    first, second = (outcome(block, block, feature, mask, np.zeros_like(feature)) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])
