"""The only door to PaddleDetection.

PaddleDetection builds models from one global registry, in which two configurations overwrite each other, and
prints while it is imported. Everything Temper takes from it is taken here: plain classes, no registry.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, NamedTuple

from ...core.errors import MissingDependencyError
from ..paddle_import import INSTALL_HINT


class PaddleDetection(NamedTuple):
    """The classes of PaddleDetection that Temper builds detectors from."""

    resnet: Any
    resnet_blocks: Any
    resnet_conv_norm: Any
    resnet_name_adapter: Any
    resnet_block_counts: Any
    basic_block: Any
    bottleneck: Any
    fpn: Any
    retina_head: Any
    retina_feat: Any
    anchor_generator: Any
    max_iou_assigner: Any
    focal_loss: Any
    smooth_l1_loss: Any


def paddle_detection() -> PaddleDetection:
    """Import PaddleDetection, quietly.

    Raises:
        MissingDependencyError: if Paddle or PaddleDetection is not installed.
    """
    try:
        # it prints a warning about an optional tracking package nobody here uses
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from ppdet.modeling.assigners.max_iou_assigner import MaxIoUAssigner
            from ppdet.modeling.backbones import resnet
            from ppdet.modeling.backbones.name_adapter import NameAdapter
            from ppdet.modeling.heads.retina_head import RetinaFeat, RetinaHead
            from ppdet.modeling.losses import FocalLoss, SmoothL1Loss
            from ppdet.modeling.necks.fpn import FPN
            from ppdet.modeling.proposal_generator.anchor_generator import RetinaAnchorGenerator
    except ImportError as error:
        raise MissingDependencyError(INSTALL_HINT.format(reason=error)) from error
    return PaddleDetection(
        resnet=resnet.ResNet,
        resnet_blocks=resnet.Blocks,
        resnet_conv_norm=resnet.ConvNormLayer,
        resnet_name_adapter=NameAdapter,
        resnet_block_counts=resnet.ResNet_cfg,
        basic_block=resnet.BasicBlock,
        bottleneck=resnet.BottleNeck,
        fpn=FPN,
        retina_head=RetinaHead,
        retina_feat=RetinaFeat,
        anchor_generator=RetinaAnchorGenerator,
        max_iou_assigner=MaxIoUAssigner,
        focal_loss=FocalLoss,
        smooth_l1_loss=SmoothL1Loss,
    )
