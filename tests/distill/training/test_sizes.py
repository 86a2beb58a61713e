"""Training at several sizes, and a batch that is shared among processes."""

from __future__ import annotations

import numpy as np
import pytest
from temper.core.errors import UsageError
from temper.detection.images import ResizeRule

pytest.importorskip("paddle", reason="the loader asks a detector for its targets")

from temper.distill.detectors.build import build_detector
from temper.distill.detectors.normalise import GREY
from temper.distill.training.loader import BatchLoader, PictureStore, scaled_rule
from tiny_training import tiny_job


@pytest.fixture
def make_loader(tmp_path):
    job = tiny_job(tmp_path)
    detector = build_detector(job.detector, job.train.labels, 0)
    store = PictureStore(job.train, job.input.rule(), "grey")

    def make(batch_size: int = 8, seed: int = 3, **fields) -> BatchLoader:
        return BatchLoader(
            store, detector, GREY, job.training.augment, batch_size=batch_size, seed=seed, workers=0, **fields
        )

    return make


def test_a_size_is_drawn_per_step_and_boxes_and_targets_follow(make_loader):
    loader = make_loader(scales=(0.5, 1.0, 1.5))
    sides = [loader.batch(step).images.shape[2:] for step in range(12)]
    assert set(sides) == {(32, 32), (64, 64), (96, 96)}
    assert sides == [make_loader(scales=(0.5, 1.0, 1.5)).batch(step).images.shape[2:] for step in range(12)]
    base = make_loader()
    for step in range(6):
        batch, plain = loader.batch(step), base.batch(step)
        factor = batch.images.shape[2] / 64
        assert batch.samples == plain.samples, "the same pictures in the same order"
        for boxes, at_64 in zip(batch.boxes, plain.boxes, strict=True):
            assert np.allclose(boxes, at_64 * factor, atol=1e-4)
        anchors = sum((batch.images.shape[2] // stride) ** 2 for stride in (8, 16, 32)) * 9
        assert batch.targets["labels"].shape == (8, anchors)


def test_sizes_are_multiples_of_32_and_never_none():
    rule = ResizeRule(160, 96)
    sizes = {scale: scaled_rule(rule, scale) for scale in (0.25, 0.8, 1.0, 1.25, 2.0)}
    assert {scale: (r.width, r.height) for scale, r in sizes.items()} == {
        0.25: (32, 32),
        0.8: (128, 64),
        1.0: (160, 96),
        1.25: (192, 128),
        2.0: (320, 192),
    }
    assert scaled_rule(ResizeRule(160, 96, "letterbox"), 2).mode == "letterbox"


def test_the_shares_of_all_ranks_are_the_batch(make_loader):
    scales = (0.5, 1.0)
    for step in range(7):
        whole = make_loader(scales=scales).batch(step)
        shares = [make_loader(scales=scales, rank=rank, ranks=4).batch(step) for rank in range(4)]
        assert sum((share.samples for share in shares), ()) == whole.samples
        assert np.array_equal(np.concatenate([share.images for share in shares]), whole.images)
        one = make_loader(scales=scales, rank=2, ranks=4)
        assert [p.sample for p in one.pictures(step, whole=True)] == list(whole.samples)
        assert len(one.batch(step, most=1).samples) == 1


@pytest.mark.parametrize(("batch_size", "ranks", "nearest"), [(8, 3, 9), (7, 2, 8), (1, 2, 2), (4096, 5, 25)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(make_loader, batch_size, ranks, nearest):
    with pytest.raises(UsageError, match=f"over all {ranks} processes, .*batch_size to {nearest},"):
        make_loader(batch_size, ranks=ranks)
