"""MGD's generation block (convolution 3x3, ReLU, convolution 3x3), at the cost of what it is shown.

Two thirds of the student's positions are hidden, and a hidden position adds nothing to the first convolution. On a CPU
that convolution is therefore computed from the positions that are left, forward and backward: the same sums, some terms
of value zero fewer, in a third of the work. A GPU has no use for it and runs the plain convolution.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..paddle_import import paddle

F = paddle.nn.functional

_SIDE = 3
_TAPS = _SIDE * _SIDE


class MaskedGenerator(paddle.nn.Layer):
    """Makes a whole feature out of a masked one.

    Args:
        channels: of the feature, before and after.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # drawn as Paddle draws a convolution's; one row per incoming channel, in it tap by tap the outgoing ones, as
        # the product in _VisibleConvolution wants them
        deviation = math.sqrt(2 / (_TAPS * channels))
        self.weight = self.create_parameter(
            [channels, _TAPS * channels], default_initializer=paddle.nn.initializer.Normal(0.0, deviation)
        )
        self.bias = self.create_parameter([channels], is_bias=True)
        self.second = paddle.nn.Conv2D(channels, channels, _SIDE, padding=_SIDE // 2)

    def forward(self, feature: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """The generated feature.

        Args:
            feature: float32 [B, C, H, W].
            mask: float32 [B, 1, H, W], 0 where the feature is hidden, 1 elsewhere.

        Returns:
            float32 [B, C, H, W].
        """
        visible = _visible(mask.numpy()) if feature.place.is_cpu_place() else None
        if visible is None or not len(visible.positions):
            channels = feature.shape[1]
            kernel = self.weight.reshape([channels, _SIDE, _SIDE, channels]).transpose([3, 0, 1, 2])
            hidden = F.relu(F.conv2d(feature * mask, kernel, self.bias, padding=_SIDE // 2))
        else:
            hidden = _VisibleConvolution.apply(feature, self.weight, self.bias, visible)
        generated: paddle.Tensor = self.second(hidden)
        return generated


class _Visible(NamedTuple):
    """Where a batch is not hidden, with the positions of all pictures counted through: picture, row, column.

    Attributes:
        positions: int64 [M].
        targets: int64 [M * 9], for each of them and each tap of the kernel the position it adds to; one past the last
            where that lies outside the picture.
    """

    positions: NDArray[np.int64]
    targets: NDArray[np.int64]


def _visible(mask: NDArray[np.float32]) -> _Visible:
    pictures, _, height, width = mask.shape
    positions = np.flatnonzero(mask)
    picture, place = np.divmod(positions[:, None], height * width)
    row, column = np.divmod(place, width)
    tap_row, tap_column = np.divmod(np.arange(_TAPS), _SIDE)
    row, column = row - tap_row + _SIDE // 2, column - tap_column + _SIDE // 2
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    targets = np.where(inside, (picture * height + row) * width + column, pictures * height * width)
    return _Visible(positions, targets.reshape(-1))


class _VisibleConvolution(paddle.autograd.PyLayer):
    """relu(conv3x3(feature * mask) + bias) from the visible positions alone.

    Every visible position times the kernel gives nine rows of channels, which are added up where they belong.
    """

    @staticmethod
    def forward(
        ctx: Any, feature: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, visible: _Visible
    ) -> paddle.Tensor:
        batch, _, height, width = feature.shape
        channels = bias.shape[0]
        positions, targets = (paddle.to_tensor(part) for part in visible)
        rows = paddle.gather(_to_rows(feature), positions)
        # one row more takes what falls outside the pictures
        sums = bias.unsqueeze(0).expand([batch * height * width + 1, channels])
        sums = paddle.index_add(sums, targets, 0, paddle.matmul(rows, weight).reshape([-1, channels]))
        hidden = F.relu(_to_planes(sums[:-1], batch, height, width))
        ctx.save_for_backward(rows, weight, positions, targets, hidden)
        ctx.feature_is_frozen = feature.stop_gradient
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor, paddle.Tensor]:
        rows, weight, positions, targets, hidden = ctx.saved_tensor()
        batch, channels, height, width = hidden.shape
        upstream = _to_rows(gradient * (hidden > 0).astype(gradient.dtype))
        of_bias = upstream.sum(0)
        padded = paddle.concat([upstream, paddle.zeros([1, channels])])
        of_products = paddle.gather(padded, targets).reshape([-1, _TAPS * channels])
        of_weight = paddle.matmul(rows, of_products, transpose_x=True)
        if ctx.feature_is_frozen:
            return None, of_weight, of_bias
        of_rows = paddle.matmul(of_products, weight, transpose_y=True)
        everywhere = paddle.zeros([batch * height * width, of_rows.shape[1]])
        of_feature = _to_planes(paddle.scatter(everywhere, positions, of_rows), batch, height, width)
        return of_feature, of_weight, of_bias


def _to_rows(planes: paddle.Tensor) -> paddle.Tensor:
    """[B, C, H, W] -> [B * H * W, C].

    A product with the unit matrix moves the same numbers as Paddle's transpose, several times as fast on a CPU.
    """
    batch, channels, height, width = planes.shape
    turned = paddle.matmul(planes.reshape([batch, channels, height * width]), _unit(channels), transpose_x=True)
    return turned.reshape([batch * height * width, channels])


def _to_planes(rows: paddle.Tensor, batch: int, height: int, width: int) -> paddle.Tensor:
    """[B * H * W, C] -> [B, C, H, W]."""
    channels = rows.shape[1]
    turned = paddle.matmul(_unit(channels), rows.reshape([batch, height * width, channels]), transpose_y=True)
    return turned.reshape([batch, channels, height, width])


@lru_cache(maxsize=8)
def _unit(size: int) -> paddle.Tensor:
    return paddle.eye(size)
