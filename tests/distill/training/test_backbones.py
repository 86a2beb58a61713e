from __future__ import annotations

import numpy as np
import pytest
from temper.distill.recipe_detectors import RetinaNetSection

paddle = pytest.importorskip("paddle", reason="detectors are built on PaddlePaddle")

from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.training.backbones import BackbonePair, BackboneTap  # noqa: E402

THIN = {"depth": 18, "neck_channels": 16, "head_convs": 0, "strides": (8, 16, 32)}


def detector(**fields: object):
    return build_detector(RetinaNetSection(**THIN | fields), ("a", "b"), 0)


@pytest.mark.parametrize(("width", "channels"), [(0.25, (32, 64, 128)), (1.0, (128, 256, 512))])
def test_a_tap_knows_strides_and_channels_and_changes_nothing(width, channels):
    one = detector(width=width)
    before = {name: value.numpy().copy() for name, value in one.state_dict().items()}
    one.train()
    tap = BackboneTap(one)
    assert (tap.strides, tap.channels) == ((8, 16, 32), channels)
    assert one.training
    assert all(np.array_equal(before[name], value.numpy()) for name, value in one.state_dict().items())


def test_features_are_those_of_the_last_pass_and_are_taken_once():
    one = detector(width=0.25)
    one.eval()
    tap = BackboneTap(one)
    images = paddle.randn([2, 1, 64, 96])
    one.neck_features(paddle.zeros([1, 1, 32, 32]))
    neck = one.neck_features(images)
    features = tap.take()
    expected = one.backbone({"image": images})
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(features, expected, strict=True))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.neck(features), neck, strict=True))
    tap.take()
    assert tap.take() == []


def test_a_pair_says_what_is_compared():
    pair = BackbonePair(detector(width=0.25), detector(depth=50, width=0.5))
    assert pair.channels.strides == (8, 16, 32)
    assert pair.channels.student_channels == (32, 64, 128) and pair.channels.teacher_channels == (256, 512, 1024)
