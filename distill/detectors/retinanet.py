"""RetinaNet (Lin et al., 2017, arXiv 1708.02002) from PaddleDetection's backbone, neck and head."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...detection.decode import BoxCoding
from ..paddle_import import paddle
from ..ranks import shared_normaliser
from .anchors import anchor_grid, assign, cell_sizes
from .base import Detector, HeadOutputs, Targets
from .ppdet_bridge import paddle_detection
from .resnet import STRIDES, build_resnet, output_channels

if TYPE_CHECKING:
    from ..recipe_detectors import RetinaNetSection

F = paddle.nn.functional
#: Of group normalisation, as in PaddleDetection.
MOST_GROUPS = 32


class RetinaNet(Detector):
    """A RetinaNet as the recipe describes it.

    Parameter names are PaddleDetection's, so its weight files fit. The loss is the same number as
    PaddleDetection's head gives; here it is one batched computation on targets the loader made.
    """

    class_tensors = MappingProxyType({"head.retina_cls.weight": 0, "head.retina_cls.bias": 0})

    def __init__(self, section: RetinaNetSection, classes: int) -> None:
        super().__init__()
        parts = paddle_detection()
        self.strides, self.neck_channels = section.neck()
        self.classes = classes
        self.anchor_scale = section.anchor_scale
        self.backbone = build_resnet(
            section.depth,
            section.width,
            frozen_norm=section.backbone_norm == "frozen",
            freeze_stages=section.freeze_stages,
        )
        extra_levels = len(section.strides) - len(STRIDES)
        self.neck = parts.fpn(
            output_channels(self.backbone),
            section.neck_channels,
            spatial_scales=[1 / s for s in STRIDES],
            has_extra_convs=extra_levels > 0,
            extra_stage=extra_levels,
            use_c5=False,
        )
        self.head = parts.retina_head(
            classes,
            _tower(section),
            # only its number of anchors is used; the anchors themselves come from anchors.py
            parts.anchor_generator(strides=[float(s) for s in section.strides]),
            bbox_assigner=None,
            loss_class=parts.focal_loss(alpha=0.25, gamma=2.0),
            loss_bbox=parts.smooth_l1_loss(beta=0.0),
            nms=None,
        )

    def neck_features(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """See :class:`Detector`."""
        features: list[paddle.Tensor] = self.neck(self.backbone({"image": images}))
        return features

    def head_outputs(self, features: list[paddle.Tensor]) -> HeadOutputs:
        """See :class:`Detector`."""
        logits: list[paddle.Tensor] = []
        regressions: list[paddle.Tensor] = []
        for level, feature in enumerate(features):
            tower = self.head.conv_feat
            towers = tower(feature, level) if isinstance(tower, LevelNormTower) else tower(feature)
            for convolution, tower_output, outputs, columns in (
                (self.head.retina_cls, towers[0], logits, self.classes),
                (self.head.retina_reg, towers[1], regressions, 4),
            ):
                outputs.append(convolution(tower_output).transpose([0, 2, 3, 1]).reshape([0, -1, columns]))
        return HeadOutputs(paddle.concat(logits, axis=1), paddle.concat(regressions, axis=1))

    def targets(self, boxes: NDArray[np.float32], labels: NDArray[np.int32], size: tuple[int, int]) -> Targets:
        """See :class:`Detector`; ``labels`` int64 [A], ``positives`` int64 [P], ``deltas`` float32 [P, 4]."""
        found = assign(anchor_grid(size, self.strides, self.anchor_scale), boxes, labels, self.classes)
        return {"labels": found.labels, "positives": found.positives, "deltas": found.deltas}

    def collate(self, targets: list[Targets]) -> Targets:
        """Targets of a batch: ``positives`` become indices into the flattened [B * A] anchors."""
        anchors = len(targets[0]["labels"])
        return {
            "labels": np.stack([t["labels"] for t in targets]),
            "positives": np.concatenate([t["positives"] + i * anchors for i, t in enumerate(targets)]),
            "deltas": np.concatenate([t["deltas"] for t in targets]),
        }

    def losses(self, outputs: HeadOutputs, targets: Targets, progress: float = 1.0) -> dict[str, paddle.Tensor]:
        """Focal loss and L1 loss, each summed and divided by the number of positive anchors in the whole batch."""
        logits, regressions, _ = outputs
        labels = paddle.to_tensor(targets["labels"])
        positives = len(targets["positives"])
        counted = (labels >= 0).astype("float32").unsqueeze(-1)
        # one row more for background, which is then cut off: background is all zeros
        one_hot = F.one_hot(paddle.clip(labels, min=0), self.classes + 1)[..., :-1]
        focal = F.sigmoid_focal_loss(logits, one_hot, alpha=0.25, gamma=2.0, reduction="none")
        normaliser = shared_normaliser(positives)
        terms = {"classification": (focal * counted).sum() / normaliser}
        if positives:
            chosen = paddle.gather(regressions.reshape([-1, 4]), paddle.to_tensor(targets["positives"]))
            terms["regression"] = (chosen - paddle.to_tensor(targets["deltas"])).abs().sum() / normaliser
        else:
            terms["regression"] = regressions.sum() * 0.0
        return terms

    def box_coding(self, size: tuple[int, int]) -> BoxCoding:
        """See :class:`Detector`."""
        return BoxCoding("anchor_deltas", anchor_grid(size, self.strides, self.anchor_scale))

    def anchor_cells(self) -> tuple[tuple[int, NDArray[np.float32]], ...]:
        """See :class:`Detector`."""
        return tuple((stride, cell_sizes(stride, self.anchor_scale)) for stride in self.strides)

    def inheritable_prefixes(self) -> tuple[str, ...]:
        """See :class:`Detector`."""
        return ("neck.", "head.")


class LevelNormTower(paddle.nn.Layer):
    """The head's two towers with shared convolutions and a batch norm per level.

    Statistics of different levels do not mix, so the head evaluates as well as it trains, and every norm
    folds into its convolution at export.
    """

    def __init__(self, channels: int, convolutions: int, levels: int) -> None:
        super().__init__()
        self.feat_out = channels
        for tower in ("cls", "reg"):
            convs = [paddle.nn.Conv2D(channels, channels, 3, padding=1, bias_attr=False) for _ in range(convolutions)]
            norms = [paddle.nn.BatchNorm2D(channels) for _ in range(convolutions * levels)]
            setattr(self, f"{tower}_convs", paddle.nn.LayerList(convs))
            setattr(self, f"{tower}_norms", paddle.nn.LayerList(norms))
        self.levels = levels

    def forward(self, feature: paddle.Tensor, level: int) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Classification and regression features of one level, [B, channels, H, W] each."""
        outputs = []
        for convs, norms in ((self.cls_convs, self.cls_norms), (self.reg_convs, self.reg_norms)):
            x = feature
            for index, conv in enumerate(convs):
                x = F.relu(norms[index * self.levels + level](conv(x)))
            outputs.append(x)
        return outputs[0], outputs[1]


def _tower(section: RetinaNetSection) -> Any:
    if section.head_norm == "level_batch":
        return LevelNormTower(section.neck_channels, section.head_convs, len(section.strides))
    tower = paddle_detection().retina_feat(
        feat_in=section.neck_channels, feat_out=section.neck_channels, num_convs=section.head_convs, norm_type=None
    )
    if section.head_norm == "group":
        for layer in (*tower.cls_subnet_convs, *tower.reg_subnet_convs):
            layer.norm = _group_norm(section.neck_channels)
    return tower


def _group_norm(channels: int) -> paddle.nn.GroupNorm:
    """In 32 groups, as in PaddleDetection, or the most below that divide the channels; no weight decay on it."""
    groups = max(count for count in range(1, MOST_GROUPS + 1) if channels % count == 0)
    free = [paddle.ParamAttr(regularizer=paddle.regularizer.L2Decay(0.0)) for _ in range(2)]
    return paddle.nn.GroupNorm(groups, channels, weight_attr=free[0], bias_attr=free[1])
