"""The first convolution of a backbone, for pictures with one channel."""

from __future__ import annotations

from functools import partial

from ..paddle_import import paddle


def accept_one_channel(stem: paddle.nn.Conv2D) -> None:
    """Let a first convolution without a bias take [B, 1, H, W] for three equal channels, beside [B, 3, H, W].

    Summing the weights instead of repeating the picture is the same number for a third of the work.
    """
    stem.forward = partial(_forward, stem)


def _forward(stem: paddle.nn.Conv2D, images: paddle.Tensor) -> paddle.Tensor:
    weight = stem.weight if images.shape[1] == 3 else stem.weight.sum(axis=1, keepdim=True)
    return paddle.nn.functional.conv2d(images, weight, stride=stem._stride, padding=stem._padding)
