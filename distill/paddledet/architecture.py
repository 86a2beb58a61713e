"""From a configuration's model to the section of a recipe that describes the same one.

What a model of Temper has fixed (an activation, the weight of a loss) must be the same in the configuration, or a
sentence says which field is not. Defaults are PaddleDetection's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...core.errors import UsageError
from ..detectors.sizes import ESNET_RATIOS, PICODET_SIZES, PPYOLOE_SIZES
from .component import Component
from .yaml_file import Values

#: Fields of PaddleDetection's heads that matter after training alone.
_AFTER_TRAINING = ("nms", "nms_pre", "num_classes", "eval_size", "trt", "exclude_nms", "exclude_post_process")
_BATCH_NORMS = ("bn", "sync_bn")
_STRIDES = (8, 16, 32, 64, 128)


def detector_section(file: str, config: Values) -> Values:
    """The fields of a recipe's ``teacher`` or ``student``, without its weights.

    Args:
        file: the configuration, for messages.
        config: its values, everything it builds on merged in.

    Raises:
        UsageError: naming the first field that no detector of Temper has.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in _TRANSLATORS:
        known = ", ".join(sorted(_TRANSLATORS))
        raise UsageError(
            f"{file}: architecture is {architecture!r}; Temper trains {known} (YOLOv3 with PP-YOLOE's parts)."
        )
    return _TRANSLATORS[architecture](file, config)


def _component(file: str, config: Values, name: str) -> Component:
    return Component(file, name, config.get(name))


def _architecture(file: str, config: Values, name: str, **parts: str) -> None:
    model = _component(file, config, name)
    for role, part in parts.items():
        model.expect(role, part, part)
    model.expect("aux_head", None, None)
    model.expect("post_process", None, None)
    model.ignore(("for_distill", "feat_distill_place", "for_mot"))
    model.finish()


def _retinanet(file: str, config: Values) -> Values:
    _architecture(file, config, "RetinaNet", backbone="ResNet", neck="FPN", head="RetinaHead")
    section: Values = {"detector": "retinanet", **_resnet(_component(file, config, "ResNet"))}
    neck = _component(file, config, "FPN")
    channels, extra = neck.whole("out_channel", 256), neck.whole("extra_stage", 1)
    neck.expect("spatial_scales", [0.25, 0.125, 0.0625, 0.03125], [0.125, 0.0625, 0.03125])
    neck.expect("has_extra_convs", False, extra > 0)
    neck.expect("use_c5", True, False)
    neck.expect("norm_type", None, None)
    neck.expect("relu_before_extra_convs", True, True)
    neck.ignore(("norm_decay", "freeze_norm"))
    neck.finish()
    if not 0 <= extra <= 2:
        raise UsageError(
            f"{file}: FPN.extra_stage is {extra}; Temper's RetinaNet has 0, 1 or 2 levels beyond stride 32."
        )
    strides = list(_STRIDES[: 3 + extra])
    head = _component(file, config, "RetinaHead")
    tower = head.part("conv_feat", "RetinaFeat")
    tower.expect("feat_in", 256, channels)
    tower.expect("feat_out", 256, channels)
    tower.expect("use_dcn", False, False)
    convs, norm = tower.whole("num_convs", 4), tower.take("norm_type", "bn")
    if norm not in (None, "gn"):
        raise UsageError(
            f"{file}: RetinaHead.conv_feat.norm_type is {norm}; Temper has null or gn alone, because a batch norm that "
            "levels share evaluates badly. Its own head_norm: level_batch keeps the levels apart."
        )
    tower.finish()
    scale = _anchors(head, strides)
    _retina_losses(head)
    return {
        **section,
        "neck_channels": channels,
        "strides": strides,
        "head_convs": convs,
        "head_norm": "group" if norm == "gn" else "none",
        "anchor_scale": scale,
    }


def _resnet(backbone: Component) -> Values:
    depth = backbone.whole("depth", 50)
    if depth not in (18, 34, 50, 101, 152):
        raise UsageError(f"{backbone.file}: ResNet.depth is {depth}; Temper has 18, 34, 50, 101 and 152.")
    for field, default, *accepted in (
        ("variant", "b", "b"),
        ("groups", 1, 1),
        ("base_width", 64, 64),
        ("ch_in", 64, 64),
        ("norm_type", "bn", *_BATCH_NORMS),
        ("return_idx", [0, 1, 2, 3], [1, 2, 3]),
        ("num_stages", 4, 4),
        ("dcn_v2_stages", [-1], [-1]),
        ("std_senet", False, False),
        ("freeze_stem_only", False, False),
        ("lr_mult_list", [1.0] * 4, [1.0] * 4),
    ):
        backbone.expect(str(field), default, *accepted)
    frozen, freeze_at = bool(backbone.take("freeze_norm", True)), backbone.whole("freeze_at", 0)
    backbone.ignore(("norm_decay",))
    backbone.finish()
    return {"depth": depth, "backbone_norm": "frozen" if frozen else "train", "freeze_stages": max(0, freeze_at + 1)}


def _anchors(head: Component, strides: list[int]) -> float:
    anchors = head.part("anchor_generator", "RetinaAnchorGenerator")
    scale = anchors.given("octave_base_scale", 4.0)
    anchors.expect("scales_per_octave", 3, 3)
    anchors.expect("aspect_ratios", [0.5, 1.0, 2.0], [0.5, 1.0, 2.0])
    anchors.expect("strides", list(_STRIDES), strides)
    anchors.expect("offset", 0.0, 0.0)
    anchors.ignore(("variance",))
    anchors.finish()
    return scale


def _retina_losses(head: Component) -> None:
    _part(head, "bbox_assigner", "MaxIoUAssigner", positive_overlap=0.5, negative_overlap=0.4, allow_low_quality=True)
    _part(head, "loss_class", "FocalLoss", use_sigmoid=True, alpha=0.25, gamma=2.0, loss_weight=1.0)
    smooth = head.part("loss_bbox", "SmoothL1Loss")
    smooth.expect("beta", 1.0, 0.0)
    smooth.expect("loss_weight", 1.0, 1.0)
    smooth.finish()
    head.expect("prior_prob", 0.01, 0.01)
    head.expect("weights", [1.0] * 4, [1.0] * 4)
    head.ignore(_AFTER_TRAINING)
    head.finish()


def _part(head: Component, field: str, name: str, **values: Any) -> None:
    """A part that must be of that name with these values, which are also its defaults."""
    part = head.part(field, name)
    for key, value in values.items():
        part.expect(key, value, value)
    part.ignore(("eps", "num_classes", "reduction"))
    part.finish()


def _weighted(head: Component, field: str, name: str, weight: float) -> None:
    loss = head.part(field, name)
    loss.expect("loss_weight", 1.0, weight)
    loss.ignore(("eps", "reduction"))
    loss.finish()


def _picodet(file: str, config: Values) -> Values:
    model = config.get("PicoDet")
    backbone = model.get("backbone", "LCNet") if isinstance(model, dict) else "LCNet"
    if backbone not in ("LCNet", "ESNet"):
        raise UsageError(f"{file}: PicoDet.backbone is {backbone}; Temper has LCNet or ESNet alone.")
    old = backbone == "ESNet"
    neck_name, head_name = ("CSPPAN", "PicoHead") if old else ("LCPAN", "PicoHeadV2")
    _architecture(file, config, "PicoDet", backbone=backbone, neck=neck_name, head=head_name)
    body = _component(file, config, backbone)
    scale = body.given("scale", 1.0)
    body.expect("act", "hard_swish", "hard_swish")
    body.expect("feature_maps", *([[4, 11, 14]] * 2 if old else [[3, 4, 5]] * 2))
    ratios = body.take("channel_ratio", [1] * 13) if old else None
    body.finish()
    neck = _component(file, config, neck_name)
    channels = neck.whole("out_channels", 96)
    neck.expect("num_features", 3, 4)
    neck.expect("kernel_size", 5, 5)
    neck.expect("use_depthwise", True, True)
    neck.expect("act", "hard_swish", "hard_swish")
    if old:
        neck.expect("num_csp_blocks", 1, 1)
    neck.finish()
    head = _component(file, config, head_name)
    convs = _pico_head(head, channels, old)
    size = _pico_size(file, old, scale, channels, convs, ratios)
    section: Values = {"detector": "picodet", "backbone": backbone.lower(), **size}
    if old:
        _part(head, "assigner", "SimOTAAssigner", candidate_topk=10, iou_weight=6, center_radius=2.5, cls_weight=1.0)
        _weighted(head, "loss_dfl", "DistributionFocalLoss", 0.25)
        _weighted(head, "loss_bbox", "GIoULoss", 2.0)
    else:
        head.expect("use_align_head", True, True)
        head.expect("act", "hard_swish", "hard_swish")
        section["atss_share"] = _assigners(head, config, 60)
        _weighted(head, "loss_dfl", "DistributionFocalLoss", 0.5)
        _weighted(head, "loss_bbox", "GIoULoss", 2.5)
    head.finish()
    return section


def _pico_head(head: Component, channels: int, old: bool) -> int:
    tower = head.part("conv_feat", "PicoFeat")
    tower.expect("feat_in", 256, channels)
    tower.expect("feat_out", 96, channels)
    tower.expect("num_fpn_stride", 3, 4)
    tower.expect("norm_type", "bn", *_BATCH_NORMS)
    tower.expect("share_cls_reg", False, True)
    tower.expect("act", "hard_swish", "hard_swish")
    tower.expect("use_se", False, not old)
    convs = tower.whole("num_convs", 2)
    tower.finish()
    head.expect("fpn_stride", [8, 16, 32], [8, 16, 32, 64])
    head.expect("feat_in_chan", 96, channels)
    head.expect("prior_prob", 0.01, 0.01)
    head.expect("reg_max", 16, 7)
    head.expect("cell_offset", 0, 0.5)
    head.expect("dgqp_module", None, None)
    loss = head.part("loss_class", "VarifocalLoss")
    loss.expect("use_sigmoid", True, old)
    for field, value in (("alpha", 0.75), ("gamma", 2.0), ("iou_weighted", True), ("loss_weight", 1.0)):
        loss.expect(field, value, value)
    loss.ignore(("reduction",))
    loss.finish()
    head.ignore(_AFTER_TRAINING)
    return convs


def _pico_size(file: str, old: bool, scale: float, channels: int, convs: int, ratios: Any) -> Values:
    """The named size that comes nearest, and what differs from it."""
    sizes = {size: row for (backbone, size), row in PICODET_SIZES.items() if (backbone == "esnet") == old}
    if old:
        fitting = {size: row for size, row in sizes.items() if list(ESNET_RATIOS[size]) == ratios}
        if not fitting:
            raise UsageError(f"{file}: ESNet.channel_ratio is none of those of PaddleDetection's sizes s, m and l.")
        sizes = fitting
    size = min(sizes, key=lambda name: (abs(sizes[name][0] - scale), sizes[name][1:] != (channels, convs)))
    own = dict(zip(("backbone_scale", "neck_channels", "head_convs"), (scale, channels, convs), strict=True))
    named = dict(zip(own, sizes[size], strict=True))
    return {"size": size, **{field: value for field, value in own.items() if value != named[field]}}


def _assigners(head: Component, config: Values, default_epochs: int) -> float:
    """The share of the training in which ATSS assigns."""
    epochs = head.whole("static_assigner_epoch", default_epochs)
    head.expect("grid_cell_scale", 5.0, 5.0)
    _part(head, "static_assigner", "ATSSAssigner", topk=9, force_gt_matching=False, sm_use=False)
    _part(head, "assigner", "TaskAlignedAssigner", topk=13, alpha=1.0, beta=6.0, is_close_gt=False)
    total = config.get("epoch")
    share = epochs / total if isinstance(total, int) and total > 0 else 1 / 3
    return round(min(1.0, max(0.0, share)), 6)


def _ppyoloe(file: str, config: Values) -> Values:
    name = str(config["architecture"])
    _architecture(file, config, name, backbone="CSPResNet", neck="CustomCSPPAN", yolo_head="PPYOLOEHead")
    body = _component(file, config, "CSPResNet")
    depth, width = (_multiplier(file, config, body, field) for field in ("depth_mult", "width_mult"))
    plus = bool(body.take("use_alpha", False))
    body.expect("layers", [3, 6, 6, 3], [3, 6, 6, 3])
    body.expect("channels", [64, 128, 256, 512, 1024], [64, 128, 256, 512, 1024])
    body.expect("act", "swish", "swish")
    body.expect("return_idx", [1, 2, 3], [1, 2, 3])
    body.expect("depth_wise", False, False)
    body.expect("use_large_stem", False, True)
    body.ignore(("use_checkpoint", "trt"))
    body.finish()
    neck = _component(file, config, "CustomCSPPAN")
    neck.expect("depth_mult", depth, depth)
    neck.expect("width_mult", width, width)
    neck.expect("out_channels", [1024, 512, 256], [768, 384, 192])
    neck.expect("act", "leaky", "swish")
    neck.expect("spp", False, True)
    fixed = {
        "stage_num": 1,
        "block_num": 3,
        "stage_fn": "CSPStage",
        "block_fn": "BasicBlock",
        "drop_block": False,
        "use_alpha": False,
        "use_trans": False,
    }
    for field, value in fixed.items():
        neck.expect(field, value, value)
    neck.ignore(("norm_type", "data_format", "block_size", "keep_prob", "trt", "eval_size"))
    neck.finish()
    share = _ppyoloe_head(_component(file, config, "PPYOLOEHead"), config)
    return {"detector": "ppyoloe", **_ppyoloe_size(depth, width), "plus": plus, "atss_share": share}


def _multiplier(file: str, config: Values, part: Component, field: str) -> float:
    shared = Component(file, "", {field: config.get(field, 1.0)}).number(field, 1.0)
    value = part.number(field, shared)
    if value is None or not (math.isfinite(value) and 0 < value <= 4):
        raise UsageError(f"{file}: {field} is {value}, and should be a number above 0 and at most 4.")
    return value


def _ppyoloe_size(depth: float, width: float) -> Values:
    def how_far(name: str) -> tuple[float, float]:
        of_depth, of_width = PPYOLOE_SIZES[name]
        return abs(of_width - width), abs(of_depth - depth)

    size = min(PPYOLOE_SIZES, key=how_far)
    own, named = {"depth_mult": depth, "width_mult": width}, PPYOLOE_SIZES[size]
    differing = {field: value for (field, value), of_size in zip(own.items(), named, strict=True) if value != of_size}
    return {"size": size, **differing}


def _ppyoloe_head(head: Component, config: Values) -> float:
    share = _assigners(head, config, 4)
    for field, value in (
        ("act", "swish"),
        ("fpn_strides", [32, 16, 8]),
        ("grid_cell_offset", 0.5),
        ("reg_max", 16),
        ("reg_range", None),
        ("use_varifocal_loss", True),
        ("attn_conv", "convbn"),
    ):
        head.expect(field, value, value)
    weights = Component(head.file, "PPYOLOEHead.loss_weight", head.take("loss_weight", {}))
    for field, value in (("class", 1.0), ("iou", 2.5), ("dfl", 0.5)):
        weights.expect(field, value, value)
    weights.finish()
    head.ignore((*_AFTER_TRAINING, "in_channels", "use_shared_conv", "for_distill"))
    head.finish()
    return share


#: PaddleDetection's names of architectures. PP-YOLOE is written as YOLOv3 with other parts, or under its own name.
_TRANSLATORS: dict[str, Callable[[str, Values], Values]] = {
    "RetinaNet": _retinanet,
    "PicoDet": _picodet,
    "PPYOLOE": _ppyoloe,
    "YOLOv3": _ppyoloe,
}
