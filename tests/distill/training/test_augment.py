from __future__ import annotations

import numpy as np
import pytest
from temper.distill.recipe_training import AugmentSection
from temper.distill.training.augment import augment

NO_BOXES = np.zeros((0, 4), np.float32)
PLAIN = {"flip_horizontal": False, "flip_vertical": False, "brightness": 0, "contrast": 0}


def changed(image, seed=0, **fields):
    return augment(image, NO_BOXES, AugmentSection(**PLAIN | fields), np.random.default_rng(seed))[0]


def test_gamma_bends_the_grey_scale_and_leaves_its_ends():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    seen = [changed(ramp, seed, gamma=0.5).reshape(-1).astype(int) for seed in range(30)]
    assert all(picture[0] == 0 and picture[255] == 255 and (np.diff(picture) >= 0).all() for picture in seen)
    middles = [picture[128] for picture in seen]
    # (128 / 255) ** 1.5 and ** (1 / 1.5) of full scale are the most either way
    assert min(middles) >= 90 and max(middles) <= 162 and min(middles) < 110 and max(middles) > 145


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3)])
def test_noise_has_no_mean_and_at_most_its_strength(shape):
    grey = np.full(shape, 128, np.uint8)
    pictures = [changed(grey, seed, noise=0.1).astype(float) for seed in range(20)]
    strengths = [picture.std() for picture in pictures]
    assert max(strengths) < 1.05 * 25.5 and max(strengths) > 15 and min(strengths) < 8
    assert abs(np.mean(pictures) - 128) < 0.5


def test_what_is_not_used_changes_no_draw_of_the_rest():
    image = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    usual = {"flip_horizontal": True, "flip_vertical": True, "brightness": 0.2, "contrast": 0.2}
    for seed in range(8):
        without = changed(image, seed, **usual)
        with_noise = changed(image, seed, noise=1e-6, **usual)
        assert np.array_equal(without, with_noise)


def test_nothing_asked_for_is_the_same_picture():
    image = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    assert np.array_equal(changed(image), image)
