from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

paddle = pytest.importorskip("paddle", reason="detectors are built on PaddlePaddle")

from point_detectors import SMALL, lively  # noqa: E402
from temper.distill.detectors import ppdet_bridge  # noqa: E402
from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.recipe_detectors import PicoDetSection, PpYoloeSection  # noqa: E402

LABELS = ("a", "b", "c")
BOXES = [
    np.array([[10, 12, 50, 60], [30, 5, 90, 40]], np.float32),
    np.array([[5, 50, 70, 90], [1, 1, 20, 22], [40, 40, 95, 95]], np.float32),
]
CLASSES = [np.array([1, 2], np.int32), np.array([0, 1, 0], np.int32)]
SIZE = (96, 96)
KINDS = pytest.mark.parametrize("kind", SMALL)


def distribution_focal_loss(weight):
    ppdet_bridge.picodet_parts()  # imports PaddleDetection quietly
    from ppdet.modeling.losses.gfocal_loss import DistributionFocalLoss

    return DistributionFocalLoss(loss_weight=weight)


def targets_of(detector, boxes=BOXES, classes=CLASSES):
    return detector.collate([detector.targets(b, c, SIZE) for b, c in zip(boxes, classes, strict=True)])


def paddle_detections_targets(targets, epoch):
    names = {"gt_class": "labels", "gt_bbox": "boxes", "pad_gt_mask": "mask"}
    return {
        **{theirs: paddle.to_tensor(targets[ours]) for theirs, ours in names.items()},
        "im_id": paddle.zeros([len(targets["labels"]), 1]),
        "epoch_id": epoch,
    }


@pytest.mark.parametrize("progress", [0.0, 1.0], ids=["atss", "task_aligned"])
def test_ppyoloe_loss_is_paddle_detections(progress):
    detector = lively(SMALL["ppyoloe"], LABELS, 96)
    detector.train()
    features = detector.neck_features(paddle.randn([2, 3, *SIZE]))
    targets = targets_of(detector)
    ours = detector.losses(detector.head_outputs(features), targets, progress)
    head = detector.yolo_head
    head.static_assigner_epoch = 1
    head.static_assigner = ppdet_bridge.assigners().atss(9, num_classes=3)
    head.assigner = ppdet_bridge.assigners().task_aligned(13)
    theirs = head(features[::-1], paddle_detections_targets(targets, int(progress)))
    assert float(sum(ours.values())) == pytest.approx(float(theirs["loss"]), rel=1e-4)
    assert float(ours["classification"]) == pytest.approx(float(theirs["loss_cls"]), rel=1e-4)
    assert float(ours["overlap"]) == pytest.approx(2.5 * float(theirs["loss_iou"]), rel=1e-4)
    assert float(ours["distribution"]) == pytest.approx(0.5 * float(theirs["loss_dfl"]), rel=1e-4)


@pytest.mark.parametrize("progress", [0.0, 1.0], ids=["atss", "task_aligned"])
def test_picodet_loss_is_paddle_detections(progress):
    detector = lively(SMALL["picodet"], LABELS, 96)
    detector.train()
    features = detector.neck_features(paddle.randn([2, 3, *SIZE]))
    targets = targets_of(detector)
    ours = detector.losses(detector.head_outputs(features), targets, progress)
    head = detector.head
    head.static_assigner_epoch = 1
    head.static_assigner = ppdet_bridge.assigners().atss(9, num_classes=3)
    head.assigner = ppdet_bridge.assigners().task_aligned(13)
    head.loss_dfl = distribution_focal_loss(0.5)
    head.loss_bbox = ppdet_bridge.giou_loss()(loss_weight=2.5)
    theirs = head.get_loss(head(features), paddle_detections_targets(targets, int(progress)))
    for mine, other in (("classification", "loss_vfl"), ("overlap", "loss_bbox"), ("distribution", "loss_dfl")):
        assert float(ours[mine]) == pytest.approx(float(theirs[other]), rel=1e-4)


def test_older_picodet_loss_is_paddle_detections():
    detector = lively(SMALL["picodet-esnet"], LABELS, 96)
    detector.train()
    features = detector.neck_features(paddle.randn([2, 3, *SIZE]))
    targets = targets_of(detector)
    ours = detector.losses(detector.head_outputs(features), targets)
    parts, head = ppdet_bridge.picodet_parts(), detector.head
    head.assigner = parts.simota_assigner(num_classes=3, iou_weight=6)
    head.loss_dfl = distribution_focal_loss(0.25)
    head.loss_bbox = ppdet_bridge.giou_loss()(loss_weight=2.0)
    counts = [len(one) for one in CLASSES]
    truth = {
        "im_id": paddle.zeros([2, 1]),
        "gt_bbox": [paddle.to_tensor(b[:n]) for b, n in zip(targets["boxes"], counts, strict=True)],
        "gt_class": [paddle.to_tensor(c[:n]) for c, n in zip(targets["labels"], counts, strict=True)],
    }
    theirs = head.get_loss(head(features), truth)
    for mine, other in (("classification", "loss_vfl"), ("overlap", "loss_bbox"), ("distribution", "loss_dfl")):
        assert float(ours[mine]) == pytest.approx(float(theirs[other]), rel=1e-4)


@KINDS
def test_predictions_are_paddle_detections(kind):
    """Scores and decoded boxes of its own evaluation, in its own order of levels."""
    detector = lively(SMALL[kind], LABELS, 96)
    features = detector.neck_features(paddle.randn([2, 3, *SIZE]))
    scores, regressions = (x.numpy() for x in detector.raw_predictions(features))
    points = detector.box_coding(SIZE).references
    boxes = np.concatenate([points - regressions[..., :2], points + regressions[..., 2:]], axis=-1)
    if kind.startswith("picodet"):
        theirs, their_boxes = (x.numpy() for x in detector.head(features))
    else:
        theirs, distances, centres, strides = (x.numpy() for x in detector.yolo_head(features[::-1]))
        their_boxes = np.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], axis=-1) * strides
        order = np.argsort(strides[:, 0], kind="stable")
        theirs, their_boxes = theirs[..., order], their_boxes[:, order]
    assert scores.std() > 0.02, "the test shows little on scores that are all the same"
    assert np.allclose(scores, theirs.transpose(0, 2, 1), atol=1e-5)
    assert np.allclose(boxes, their_boxes, atol=1e-3)


@pytest.mark.parametrize("backbone", ["lcnet", "esnet"])
def test_picodet_names_are_paddle_detections(backbone):
    """So that weight files of the model zoo fit."""
    from ppdet.modeling.architectures.picodet import PicoDet

    detector = build_detector(PicoDetSection(size="s", backbone=backbone), LABELS, 0)
    model = PicoDet(detector.backbone, detector.neck, detector.head)
    assert shapes(model) == shapes(detector)
    assert "head.conv_feat.cls_conv_dw0.0.conv.weight" in shapes(detector)


def test_ppyoloe_names_are_paddle_detections():
    from ppdet.modeling.architectures.ppyoloe import PPYOLOE

    detector = build_detector(PpYoloeSection(size="s"), LABELS, 0)
    model = PPYOLOE(detector.backbone, detector.neck, detector.yolo_head, post_process=None)
    assert shapes(model) == shapes(detector)
    assert shapes(detector)["backbone.stages.0.blocks.0.conv2.alpha"] == [1]


def shapes(layer):
    return {name: value.shape for name, value in layer.state_dict().items()}


@pytest.mark.parametrize(
    ("section", "millions"),
    [
        (PicoDetSection(size="xs"), 0.7),
        (PicoDetSection(size="s"), 1.2),
        (PicoDetSection(size="m"), 3.5),
        (PicoDetSection(size="l"), 5.8),
        (PicoDetSection(size="l", backbone="esnet"), 3.3),
        (PpYoloeSection(size="s"), 7.9),
        (PpYoloeSection(size="l"), 52.2),
    ],
)
def test_sizes_are_those_of_the_model_zoo(section, millions):
    """Parameters as PaddleDetection's tables give them, for COCO's eighty classes."""
    detector = build_detector(section, [str(i) for i in range(80)], 0)
    count = sum(int(np.prod(p.shape)) for p in detector.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.05)


@KINDS
def test_shapes_agree(kind):
    detector = build_detector(SMALL[kind], LABELS, 0)
    detector.eval()
    features = detector.neck_features(paddle.zeros([1, 3, 64, 96]))
    expected = [
        [1, channels, -(-64 // stride), -(-96 // stride)]
        for channels, stride in zip(detector.neck_channels, detector.strides, strict=True)
    ]
    assert [f.shape for f in features] == expected
    outputs = detector.head_outputs(features)
    assert outputs.logits.shape == [1, len(detector.box_coding((96, 64)).references), 3]
    assert outputs.regressions.shape == [*outputs.logits.shape[:2], 4]
    scores, regressions = detector.raw_predictions(features)
    assert np.allclose(paddle.nn.functional.sigmoid(outputs.logits).numpy(), scores.numpy(), atol=1e-5)
    assert np.array_equal(outputs.regressions.numpy(), regressions.numpy())


@KINDS
def test_every_parameter_that_trains_learns(kind):
    detector = lively(SMALL[kind], LABELS)
    detector.train()
    for progress in (0.0, 1.0):
        outputs = detector.head_outputs(detector.neck_features(paddle.randn([2, 1, *SIZE])))
        terms = detector.losses(outputs, targets_of(detector), progress)
        assert tuple(terms) == detector.loss_terms
        assert all(term.shape == [] and np.isfinite(float(term)) for term in terms.values())
        sum(terms.values()).backward()
        assert not [name for name, p in detector.named_parameters() if not p.stop_gradient and p.grad is None]
        detector.clear_gradients()


@settings(max_examples=8, deadline=None)
@given(st.floats(0.001, 0.7))
@example(0.3)
@example(0.33)
def test_ppyoloe_of_any_width_can_be_built(width):
    section = PpYoloeSection(width_mult=width, depth_mult=0.1)
    detector = build_detector(section, LABELS, 0)
    detector.eval()
    features = detector.neck_features(paddle.zeros([1, 3, 64, 64]))
    assert tuple(feature.shape[1] for feature in features) == section.neck()[1]
    assert all(channels % 8 == 0 for channels in section.neck()[1])


@KINDS
def test_pictures_without_boxes_have_a_loss(kind):
    detector = lively(SMALL[kind], LABELS)
    detector.train()
    none = [np.zeros((0, 4), np.float32)] * 2
    for progress in (0.0, 1.0):
        outputs = detector.head_outputs(detector.neck_features(paddle.randn([2, 3, *SIZE])))
        terms = detector.losses(outputs, targets_of(detector, none, [np.zeros(0, np.int32)] * 2), progress)
        assert float(terms["classification"]) > 0
        assert float(terms["overlap"]) == 0 and float(terms["distribution"]) == 0
        sum(terms.values()).backward()


@KINDS
def test_one_channel_is_three_equal_ones(kind):
    detector = lively(SMALL[kind], LABELS)
    one = paddle.randn([2, 1, 64, 64])
    grey, colour = detector.neck_features(one), detector.neck_features(one.expand([2, 3, 64, 64]))
    assert all(np.allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-3) for a, b in zip(grey, colour, strict=True))


@KINDS
def test_same_seed_same_weights(kind):
    first, second, other = (build_detector(SMALL[kind], LABELS, seed).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(first[n].numpy(), second[n].numpy()) for n in first)
    assert any(not np.array_equal(first[n].numpy(), other[n].numpy()) for n in first)


def test_two_configurations_in_one_process_leave_each_other_alone():
    def build():
        return [build_detector(section, LABELS, 0) for section in SMALL.values()]

    first, large, second = build(), build_detector(PicoDetSection(size="s"), LABELS, 0), build()
    assert large.neck_channels == (96,) * 4
    assert [shapes(one) for one in first] == [shapes(one) for one in second]


def test_rep_vgg_blocks_become_one_convolution_with_equal_numbers():
    detector = lively(SMALL["ppyoloe+"], LABELS)
    images = paddle.randn([2, 3, 64, 64])
    before = detector.raw_predictions(detector.neck_features(images))
    names = set(detector.state_dict())
    deployed = detector.for_deployment()
    after = deployed.raw_predictions(deployed.neck_features(images))
    assert all(np.allclose(a.numpy(), b.numpy(), atol=1e-4) for a, b in zip(before, after, strict=True))
    assert set(detector.state_dict()) == names, "the detector itself stays as it was"
    block = ppdet_bridge.ppyoloe_parts().rep_vgg_block
    blocks = [layer for layer in deployed.sublayers() if isinstance(layer, block)]
    assert len(blocks) == 11 and not any(hasattr(layer, "conv1") for layer in blocks)
    again = detector.raw_predictions(detector.neck_features(images))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(before, again, strict=True))
