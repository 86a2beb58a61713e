"""The only door to PaddleDetection.

PaddleDetection builds models from one global registry, in which two configurations overwrite each other, and
prints while it is imported. Everything Temper takes from it is taken here: plain classes, no registry. What does not
work as it comes is mended in ``ppdet_mends`` before it goes through.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from ...core.errors import MissingDependencyError
from ..paddle_import import INSTALL_HINT
from .ppdet_mends import Assigners, mend_assigners


class PaddleDetection(NamedTuple):
    """The classes of PaddleDetection that RetinaNets are built from."""

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


class PicoDetParts(NamedTuple):
    """The classes of PaddleDetection that PicoDets are built from."""

    lcnet: Any
    esnet: Any
    lcpan: Any
    csppan: Any
    pico_feat: Any
    pico_head: Any
    pico_head_v2: Any
    simota_assigner: Any
    varifocal_loss: Any


class PpYoloeParts(NamedTuple):
    """The classes of PaddleDetection that PP-YOLOEs are built from."""

    cspresnet: Any
    custom_csp_pan: Any
    ppyoloe_head: Any
    rep_vgg_block: Any


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    try:
        # it prints a warning about an optional tracking package nobody here uses
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    except ImportError as error:
        raise MissingDependencyError(INSTALL_HINT.format(reason=error)) from error


def paddle_detection() -> PaddleDetection:
    """Import PaddleDetection's RetinaNet, quietly.

    Raises:
        MissingDependencyError: if Paddle or PaddleDetection is not installed.
    """
    with _importing():
        from ppdet.modeling.assigners.max_iou_assigner import MaxIoUAssigner
        from ppdet.modeling.backbones import resnet
        from ppdet.modeling.backbones.name_adapter import NameAdapter
        from ppdet.modeling.heads.retina_head import RetinaFeat, RetinaHead
        from ppdet.modeling.losses import FocalLoss, SmoothL1Loss
        from ppdet.modeling.necks.fpn import FPN
        from ppdet.modeling.proposal_generator.anchor_generator import RetinaAnchorGenerator
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


def picodet_parts() -> PicoDetParts:
    """Import PaddleDetection's PicoDet; see :func:`paddle_detection`."""
    with _importing():
        from ppdet.modeling.assigners.simota_assigner import SimOTAAssigner
        from ppdet.modeling.backbones.esnet import ESNet
        from ppdet.modeling.backbones.lcnet import LCNet
        from ppdet.modeling.heads.pico_head import PicoFeat, PicoHead, PicoHeadV2
        from ppdet.modeling.losses.varifocal_loss import VarifocalLoss
        from ppdet.modeling.necks.csp_pan import CSPPAN
        from ppdet.modeling.necks.lc_pan import LCPAN
    return PicoDetParts(
        lcnet=LCNet,
        esnet=ESNet,
        lcpan=LCPAN,
        csppan=CSPPAN,
        pico_feat=PicoFeat,
        pico_head=PicoHead,
        pico_head_v2=PicoHeadV2,
        simota_assigner=SimOTAAssigner,
        varifocal_loss=VarifocalLoss,
    )


def ppyoloe_parts() -> PpYoloeParts:
    """Import PaddleDetection's PP-YOLOE; see :func:`paddle_detection`."""
    with _importing():
        from ppdet.modeling.backbones.cspresnet import CSPResNet, RepVggBlock
        from ppdet.modeling.heads.ppyoloe_head import PPYOLOEHead
        from ppdet.modeling.necks.custom_pan import CustomCSPPAN
    return PpYoloeParts(CSPResNet, CustomCSPPAN, PPYOLOEHead, RepVggBlock)


@cache
def assigners() -> Assigners:
    """PaddleDetection's assigners for grids of points, mended; see :func:`paddle_detection`."""
    with _importing():
        from ppdet.modeling.assigners.atss_assigner import ATSSAssigner
        from ppdet.modeling.assigners.task_aligned_assigner import TaskAlignedAssigner
    return mend_assigners(ATSSAssigner, TaskAlignedAssigner)


def giou_loss() -> Any:
    """PaddleDetection's GIoULoss; see :func:`paddle_detection`."""
    with _importing():
        from ppdet.modeling.losses.iou_loss import GIoULoss
    return GIoULoss
