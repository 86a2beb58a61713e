from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

paddle = pytest.importorskip("paddle", reason="detectors are built on PaddlePaddle")

from temper.detection.decode import BoxCoding  # noqa: E402
from temper.distill.detectors.anchors import anchor_grid, assign, encode  # noqa: E402
from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.detectors.ppdet_bridge import paddle_detection  # noqa: E402
from temper.distill.recipe_detectors import RetinaNetSection  # noqa: E402

LABELS = ("a", "b", "c")
THIN = {"depth": 18, "width": 0.125, "neck_channels": 32, "head_convs": 1}


def boxes_in(size: int):
    """Lists of 1 to 6 boxes of at least 4 pixels inside a square picture."""
    corner = st.floats(0, size - 5, width=32)
    side = st.floats(4, size, width=32)
    one = st.tuples(corner, corner, side, side).map(
        lambda b: [b[0], b[1], min(b[0] + b[2], size), min(b[1] + b[3], size)]
    )
    return st.lists(one, min_size=1, max_size=6).map(lambda rows: np.array(rows, np.float32))


def test_anchors_are_paddle_detections():
    parts = paddle_detection()
    strides = (8, 16, 32, 64)
    theirs = parts.anchor_generator(octave_base_scale=4, strides=[float(s) for s in strides])
    features = [paddle.zeros([1, 1, 96 // s + (96 % s > 0), 128 // s]) for s in strides]
    ours = anchor_grid((128, 96), strides, 4.0)
    assert np.allclose(ours, np.concatenate([a.numpy() for a in theirs(features)]), atol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_assignment_is_paddle_detections(seed):
    anchors = anchor_grid((96, 96), (8, 16, 32), 4.0)
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.uniform(0, 96, (1 + seed % 6, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    labels = (np.arange(len(boxes)) % 3).astype(np.int32)
    found = assign(anchors, boxes, labels, 3)
    matches, match_labels = paddle_detection().max_iou_assigner(0.5, 0.4, True)(
        paddle.to_tensor(anchors), paddle.to_tensor(boxes)
    )
    theirs = match_labels.numpy()
    ours = np.where(found.labels == -1, -1, np.where(found.labels == 3, 0, 1))
    # the two compute IoU in another order, so an anchor exactly at a limit may fall on either side
    assert (ours != theirs).mean() < 0.002
    both = (ours == 1) & (theirs == 1)
    assert (found.labels[both] == labels[matches.numpy()[both]]).all()


@settings(max_examples=50, deadline=None)
@given(boxes=boxes_in(96))
def test_encoding_is_undone_by_decoding(boxes):
    anchors = anchor_grid((96, 96), (8, 16, 32), 4.0)[: len(boxes)]
    coding = BoxCoding("anchor_deltas", anchors)
    assert np.allclose(coding.decode(encode(anchors, boxes), np.arange(len(boxes))), boxes, atol=1e-3)


def test_loss_is_paddle_detections():
    """The same features, targets and weights give the number PaddleDetection's head gives."""
    parts = paddle_detection()
    detector = build_detector(RetinaNetSection(**THIN, strides=(8, 16, 32)), LABELS, 3)
    detector.train()
    boxes = [np.array([[10, 12, 50, 60], [30, 5, 90, 40]], np.float32), np.array([[5, 50, 70, 90]], np.float32)]
    labels = [np.array([1, 2], np.int32), np.array([0], np.int32)]
    features = detector.neck_features(paddle.randn([2, 3, 96, 96]))
    targets = detector.collate([detector.targets(b, c, (96, 96)) for b, c in zip(boxes, labels, strict=True)])
    ours = detector.losses(detector.head_outputs(features), targets)
    detector.head.anchor_generator = parts.anchor_generator(strides=[8.0, 16.0, 32.0])
    detector.head.bbox_assigner = parts.max_iou_assigner(0.5, 0.4, True)
    theirs = detector.head(
        features,
        {
            "gt_bbox": [paddle.to_tensor(b) for b in boxes],
            "gt_class": [paddle.to_tensor(c.astype(np.int64)[:, None]) for c in labels],
        },
    )
    assert float(ours["classification"]) == pytest.approx(float(theirs["loss_cls"]), rel=1e-4)
    assert float(ours["regression"]) == pytest.approx(float(theirs["loss_reg"]), rel=1e-4)


def test_picture_without_boxes_has_a_loss():
    detector = build_detector(RetinaNetSection(**THIN, strides=(8, 16, 32)), LABELS, 3)
    features = detector.neck_features(paddle.randn([1, 3, 64, 64]))
    nothing = detector.targets(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), (64, 64))
    terms = detector.losses(detector.head_outputs(features), detector.collate([nothing]))
    assert float(terms["regression"]) == 0 and float(terms["classification"]) > 0
    sum(terms.values()).backward()


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("width", [0.25, 1.0])
@pytest.mark.parametrize("norm", ["none", "group", "level_batch"])
def test_shapes_agree_for_every_kind(depth, width, norm):
    section = RetinaNetSection(
        depth=depth, width=width, neck_channels=32, head_convs=1, head_norm=norm, strides=(8, 16, 32, 64)
    )
    detector = build_detector(section, LABELS, 0)
    detector.eval()
    features = detector.neck_features(paddle.zeros([1, 3, 64, 96]))
    assert [f.shape for f in features] == [[1, 32, 8, 12], [1, 32, 4, 6], [1, 32, 2, 3], [1, 32, 1, 2]]
    scores, regressions = detector.raw_predictions(features)
    assert scores.shape == [1, len(detector.box_coding((96, 64)).references), 3]
    assert regressions.shape == [*scores.shape[:2], 4]


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (48, 24), (20, 20), (37, 1)])
def test_groups_divide_the_channels_and_train(channels, groups):
    section = RetinaNetSection(depth=18, width=0.25, neck_channels=channels, head_convs=1, head_norm="group")
    detector = build_detector(section, LABELS, 0)
    norms = [layer for layer in detector.sublayers() if isinstance(layer, paddle.nn.GroupNorm)]
    assert [norm._num_groups for norm in norms] == [groups, groups]
    names = {name for name in detector.state_dict() if ".norm." in name and "tower" in name}
    assert names == {
        f"head.conv_feat.fcos_head_{kind}_tower_conv_0.norm.{part}"
        for kind in ("cls", "reg")
        for part in ("weight", "bias")
    }
    scores, _ = detector.raw_predictions(detector.neck_features(paddle.rand([1, 3, 64, 64])))
    scores.sum().backward()
    assert float(norms[0].weight.grad.abs().sum()) > 0


def test_same_seed_same_weights():
    first, second, other = (build_detector(RetinaNetSection(**THIN), LABELS, seed).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(first[n].numpy(), second[n].numpy()) for n in first)
    assert any(not np.array_equal(first[n].numpy(), other[n].numpy()) for n in first)


def test_full_width_names_are_paddle_detections():
    """So that weight files of the model zoo fit."""
    names = set(build_detector(RetinaNetSection(depth=50), LABELS, 0).state_dict())
    assert {
        "backbone.res2.res2a.branch2a.conv.weight",
        "neck.fpn_inner_res5_sum.weight",
        "head.conv_feat.fcos_head_cls_tower_conv_0.conv.weight",
        "head.retina_cls.bias",
    } <= names


def test_frozen_stages_and_norms_do_not_train():
    section = RetinaNetSection(**THIN | {"width": 1.0}, backbone_norm="frozen", freeze_stages=1)
    detector = build_detector(section, LABELS, 0)
    frozen = {name for name, p in detector.named_parameters() if p.stop_gradient}
    assert any(name.startswith("backbone.res2") for name in frozen)
    assert all("norm" in name or name.startswith(("backbone.conv1", "backbone.res2")) for name in frozen)
    thin = build_detector(RetinaNetSection(**THIN, backbone_norm="frozen", freeze_stages=1), LABELS, 0)
    assert frozen == {name for name, p in thin.named_parameters() if p.stop_gradient}


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_one_channel_is_three_equal_ones(width):
    detector = build_detector(RetinaNetSection(**THIN | {"width": width}), LABELS, 0)
    detector.eval()
    one = paddle.randn([2, 1, 64, 64])
    grey, colour = detector.neck_features(one), detector.neck_features(one.expand([2, 3, 64, 64]))
    assert all(np.allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-3) for a, b in zip(grey, colour, strict=True))
