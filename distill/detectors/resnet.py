"""ResNets for detection: PaddleDetection's own, and the same with fewer channels for small devices."""

from __future__ import annotations

from ..paddle_import import paddle
from .ppdet_bridge import paddle_detection
from .stem import accept_one_channel

F = paddle.nn.functional

#: The strides of the stages a detector reads.
STRIDES = (8, 16, 32)
_STAGE_CHANNELS = (64, 128, 256, 512)


def build_resnet(depth: int, width: float, *, frozen_norm: bool, freeze_stages: int) -> paddle.nn.Layer:
    """A ResNet whose last three stages are its outputs (He et al., 2016, arXiv 1512.03385; variant b).

    Args:
        depth: 18, 34, 50, 101 or 152.
        width: share of the usual channels; 1.0 is PaddleDetection's class itself, with its parameter names.
        frozen_norm: batch norm keeps the statistics and weights it was given.
        freeze_stages: so many first stages, and the stem, are not trained.

    Returns:
        A layer that maps {"image": [B, 3, H, W] or [B, 1, H, W]} to three features, with ``out_shape`` as
        PaddleDetection has it.
    """
    if width < 1.0:
        backbone: paddle.nn.Layer = ThinResNet(depth, width, frozen_norm=frozen_norm, freeze_stages=freeze_stages)
    else:
        backbone = paddle_detection().resnet(
            depth=depth,
            variant="b",
            norm_type="bn",
            freeze_norm=frozen_norm,
            freeze_at=freeze_stages - 1,
            return_idx=[1, 2, 3],
            num_stages=4,
        )
    accept_one_channel(next(iter(backbone.conv1.children())).conv)
    return backbone


def thin_channels(width: float) -> tuple[int, ...]:
    """Channels of the four stages at a share ``width``, rounded to multiples of 8 for the sake of SIMD units."""
    return tuple(max(8, 8 * round(channels * width / 8)) for channels in _STAGE_CHANNELS)


class ThinResNet(paddle.nn.Layer):
    """A ResNet with a share of the channels, built from PaddleDetection's blocks under the same names."""

    def __init__(self, depth: int, width: float, *, frozen_norm: bool, freeze_stages: int) -> None:
        super().__init__()
        parts = paddle_detection()
        self.depth, self.variant, self._model_type = depth, "b", "ResNet"
        names = parts.resnet_name_adapter(self)
        channels = thin_channels(width)
        block = parts.bottleneck if depth >= 50 else parts.basic_block
        self.conv1 = paddle.nn.Sequential()
        self.conv1.add_sublayer(
            names.fix_c1_stage_name(),
            parts.resnet_conv_norm(
                ch_in=3, ch_out=channels[0], filter_size=7, stride=2, act="relu", freeze_norm=frozen_norm
            ),
        )
        self.stages = []
        incoming = channels[0]
        for index, (count, outgoing) in enumerate(zip(parts.resnet_block_counts[depth], channels, strict=True)):
            stage = parts.resnet_blocks(
                block,
                incoming,
                outgoing,
                count=count,
                name_adapter=names,
                stage_num=index + 2,
                variant="b",
                freeze_norm=frozen_norm,
            )
            self.stages.append(self.add_sublayer(f"res{index + 2}", stage))
            incoming = outgoing * block.expansion
        self.out_channels = tuple(c * block.expansion for c in channels[1:])
        if freeze_stages > 0:
            for layer in (self.conv1, *self.stages[:freeze_stages]):
                for parameter in layer.parameters():
                    parameter.stop_gradient = True

    def forward(self, inputs: dict[str, paddle.Tensor]) -> list[paddle.Tensor]:
        """Features at strides 8, 16 and 32 of {"image": [B, 3, H, W]}."""
        x = F.max_pool2d(self.conv1(inputs["image"]), kernel_size=3, stride=2, padding=1)
        outputs = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index:
                outputs.append(x)
        return outputs


def output_channels(backbone: paddle.nn.Layer) -> list[int]:
    """Channels of the three outputs of :func:`build_resnet`'s layer."""
    if isinstance(backbone, ThinResNet):
        return list(backbone.out_channels)
    return [shape.channels for shape in backbone.out_shape]
