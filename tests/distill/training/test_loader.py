from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.detection.dataset import DataSet, Sample
from temper.detection.images import ResizeRule
from temper.distill.recipe_training import AugmentSection, TrainingSection
from temper.distill.training.augment import augment, flip_image, flips_of
from temper.distill.training.schedule import learning_rate

paddle = pytest.importorskip("paddle", reason="the loader asks a detector for its targets")

from temper.distill.detectors.build import build_detector  # noqa: E402
from temper.distill.detectors.normalise import GREY, IMAGENET  # noqa: E402
from temper.distill.recipe_detectors import RetinaNetSection  # noqa: E402
from temper.distill.training.loader import BatchLoader, PictureStore  # noqa: E402


@pytest.fixture
def loader(toy_sets):
    section = RetinaNetSection(depth=18, width=0.125, neck_channels=16, head_convs=0, strides=(8, 16, 32))
    detector = build_detector(section, toy_sets[0].labels, 0)

    def make(workers=0, seed=1, **fields):
        store = PictureStore(toy_sets[0], ResizeRule(64, 64), "grey")
        return BatchLoader(store, detector, GREY, AugmentSection(**fields), batch_size=5, seed=seed, workers=workers)

    return make


def same(first, second) -> bool:
    return (
        first.samples == second.samples
        and np.array_equal(first.images, second.images)
        and all(np.array_equal(first.targets[name], second.targets[name]) for name in first.targets)
    )


def test_threads_and_starting_point_make_no_difference(loader):
    whole = list(loader().batches(0, 10))
    assert all(same(a, b) for a, b in zip(whole, loader(workers=3).batches(0, 10), strict=True))
    assert all(same(a, b) for a, b in zip(whole[7:], loader(workers=2).batches(7, 10), strict=True))


def test_every_picture_is_seen_and_the_order_changes(loader):
    batches = loader()
    assert batches.steps_per_epoch == 4
    first, second = (batches.order(epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24)) and list(first) != list(second)
    assert list(loader(seed=2).order(0)) != list(first)


def test_batch_has_the_shapes_of_the_contract(loader):
    batch = loader().batch(0)
    assert batch.images.shape == (5, 1, 64, 64) and batch.images.dtype == np.float32
    assert batch.targets["labels"].shape == (5, (64 + 16 + 4) * 9)


def test_picture_of_another_size_is_named(toy_sets):
    data = toy_sets[0]
    sample = data.samples[0]
    wrong = DataSet(data.labels, (Sample(sample.file_name, 99, 64, sample.boxes, sample.labels),), data.image_folder)
    with pytest.raises(TemperError, match=r"0000.png has 64 x 64 pixels and its annotation says 99 x 64"):
        PictureStore(wrong, ResizeRule(64, 64), "grey").image(0)


@pytest.mark.parametrize(
    ("horizontal", "vertical", "expected"),
    [(True, True, (0, 1, 2, 3)), (True, False, (0, 1)), (False, True, (0, 2)), (False, False, (0,))],
)
def test_flips_that_are_drawn_are_those_that_are_allowed(horizontal, vertical, expected):
    section = AugmentSection(flip_horizontal=horizontal, flip_vertical=vertical, brightness=0, contrast=0)
    assert flips_of(section) == expected
    image, none, generator = np.arange(12, dtype=np.uint8).reshape(3, 4), np.zeros((0, 4)), np.random.default_rng(0)
    seen = [augment(image, none, section, generator) for _ in range(100)]
    assert {flip for _, _, flip in seen} == set(expected)
    assert all(np.array_equal(changed, flip_image(image, flip)) for changed, _, flip in seen)


def test_teacher_sees_the_flips_and_nothing_else(loader):
    batches = loader(brightness=0.3, contrast=0.3, gamma=0.2, noise=0.1)
    assert batches.batch(0).plain_images is None
    batches.plain_images = True
    batch = batches.batch(0)
    assert not np.array_equal(batch.plain_images, batch.images)
    for image, sample, flip in zip(batch.plain_images, batch.samples, batch.flips, strict=True):
        assert np.array_equal(image, GREY.apply(flip_image(batches.store.image(sample), flip)[None])[0])
    same_light = loader(brightness=0, contrast=0)
    same_light.plain_images = True
    assert same_light.batch(0).plain_images is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    corner=st.tuples(st.integers(0, 20), st.integers(0, 12)),
    side=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_flips_move_the_box_with_what_is_in_it(seed, corner, side):
    image = np.zeros((24, 32), np.uint8)
    x, y = corner
    box = np.array([[x, y, x + side[0], y + side[1]]], np.float32)
    image[y : y + side[1], x : x + side[0]] = 255
    section = AugmentSection(brightness=0, contrast=0)
    changed, boxes, _ = augment(image, box, section, np.random.default_rng(seed))
    rows, columns = np.nonzero(changed)
    assert boxes[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_brightness_and_contrast_leave_boxes_alone_and_stay_in_range():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    section = AugmentSection(flip_horizontal=False, flip_vertical=False, brightness=0.5, contrast=0.5)
    seen = [augment(image, np.zeros((0, 4), np.float32), section, np.random.default_rng(s))[0] for s in range(20)]
    assert len({picture.tobytes() for picture in seen}) > 15
    assert all((np.diff(picture.reshape(-1).astype(int)) >= 0).all() for picture in seen)


def test_normalisation_of_colour_and_grey():
    colour = np.full((1, 2, 2, 3), 120, np.uint8)
    assert IMAGENET.apply(colour).shape == (1, 3, 2, 2)
    assert np.allclose(IMAGENET.apply(colour)[0, :, 0, 0], (120 - np.array(IMAGENET.mean)) / IMAGENET.std, atol=1e-5)
    assert np.allclose(GREY.apply(np.full((1, 2, 2), 120, np.uint8)), (120 - GREY.mean[0]) / GREY.std[0], atol=1e-5)


def test_schedules():
    cosine = TrainingSection(epochs=10, warmup_steps=5, learning_rate=1.0, schedule="cosine")
    rates = [learning_rate(cosine, s, 10) for s in range(100)]
    assert rates[0] == pytest.approx(0.2) and max(rates) == pytest.approx(1.0) and rates[-1] < 0.001
    assert all(a >= b for a, b in zip(rates[5:], rates[6:], strict=False))
    step = TrainingSection(epochs=10, warmup_steps=0, learning_rate=1.0, schedule="step", step_epochs=(4, 8))
    assert [learning_rate(step, s, 10) for s in (39, 40, 80)] == pytest.approx([1.0, 0.1, 0.01])
    constant = TrainingSection(epochs=1, warmup_steps=50, learning_rate=1.0, schedule="constant")
    assert learning_rate(constant, 9, 10) == 1.0, "a warm-up longer than half the training is cut"
