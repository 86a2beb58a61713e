"""PP-YOLOE and PP-YOLOE+ (Xu et al., 2022, arXiv 2203.16250) from PaddleDetection's backbone, neck and head."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from ..paddle_import import paddle
from .base import HeadOutputs, Targets
from .point_losses import TERMS, HeadAnswer
from .points import PointDetector, distances, grid_of, joined
from .ppdet_bridge import ppyoloe_parts
from .sizes import PPYOLOE_NECK
from .sizes import PPYOLOE_STRIDES as STRIDES
from .stem import accept_one_channel
from .task_aligned import TaskAlignedLoss

if TYPE_CHECKING:
    from ..recipe_detectors import PpYoloeSection

F = paddle.nn.functional

#: How far PPYOLOEHead stays below the last bin.
_SIDE_MARGIN = 0.01


class PpYoloe(PointDetector):
    """A PP-YOLOE as the recipe describes it, with PaddleDetection's parameter names."""

    loss_terms = TERMS

    def __init__(self, section: PpYoloeSection, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.strides, self.neck_channels = section.neck()
        depth, width = section.multipliers()
        parts = ppyoloe_parts()
        self.backbone = parts.cspresnet(width_mult=width, depth_mult=depth, use_large_stem=True, use_alpha=section.plus)
        accept_one_channel(self.backbone.stem.conv1.conv)
        self.neck = parts.custom_csp_pan(
            [shape.channels for shape in self.backbone.out_shape],
            list(PPYOLOE_NECK),
            act="swish",
            stage_num=1,
            block_num=3,
            spp=True,
            width_mult=width,
            depth_mult=depth,
        )
        channels = [shape.channels for shape in self.neck.out_shape]
        # its loss is computed by TaskAlignedLoss
        self.yolo_head = parts.ppyoloe_head(channels, classes, static_assigner=None, assigner=None, nms=None)
        kinds = ("weight", "bias")
        self.class_tensors = {f"yolo_head.pred_cls.{i}.{kind}": 0 for i in range(len(STRIDES)) for kind in kinds}
        self._loss = TaskAlignedLoss(classes, section.atss_share, _SIDE_MARGIN, by_label=True)

    def neck_features(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """See :class:`Detector`; PaddleDetection's order turned round."""
        return list(reversed(self.neck(self.backbone({"image": images}))))

    def head_outputs(self, features: list[paddle.Tensor]) -> HeadOutputs:
        """See :class:`Detector`; ``extra`` is a :class:`HeadAnswer`."""
        head = self.yolo_head
        logits, distributions = [], []
        for index, feature in enumerate(features):
            level = len(features) - 1 - index
            average = F.adaptive_avg_pool2d(feature, (1, 1))
            logits.append(head.pred_cls[level](head.stem_cls[level](feature, average) + feature))
            distributions.append(head.pred_reg[level](head.stem_reg[level](feature, average)))
        grid, distribution, all_logits = grid_of(features, STRIDES), joined(distributions), joined(logits)
        found = distances(distribution, head.proj_conv.weight.flatten(), grid)
        return HeadOutputs(all_logits, found, HeadAnswer(F.sigmoid(all_logits), found, distribution, grid))

    def losses(self, outputs: HeadOutputs, targets: Targets, progress: float = 1.0) -> dict[str, paddle.Tensor]:
        """See :class:`Detector`."""
        return self._loss(outputs.extra, targets, progress)

    def for_deployment(self) -> PpYoloe:
        """A copy in which the two branches of every RepVGG block are one convolution."""
        block = ppyoloe_parts().rep_vgg_block
        twin = copy.deepcopy(self)
        for layer in twin.sublayers():
            if isinstance(layer, block):
                layer.convert_to_deploy()
        return twin

    def inheritable_prefixes(self) -> tuple[str, ...]:
        """See :class:`Detector`."""
        return ("neck.", "yolo_head.")
