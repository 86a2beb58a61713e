"""The same or nearly the same picture is found, and different ones are not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from temper.distill.data.likeness import NEAR_BITS, alike_groups, hash_pictures, near_pairs, perceptual_hash
from temper.distill.data.pictures import THUMBNAIL_SIDE, PictureFacts, look_at
from temper.distill.synthetic.generator import draw_picture

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def steel() -> list[Picture]:
    """Strips that have nothing in common but their texture."""
    return [draw_picture(3, "train", number).image for number in range(24)]


def hash_of(image: Picture) -> NDArray[np.int8]:
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    value = perceptual_hash(np.asarray(cv2.resize(image, side, interpolation=cv2.INTER_AREA), np.uint8))
    assert value is not None
    return value


def differing(first: Picture, second: Picture) -> int:
    return int((hash_of(first) != hash_of(second)).sum())


def noisy(image: Picture) -> Picture:
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def recompressed(image: Picture) -> Picture:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0), np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        noisy,
        lambda image: cv2.GaussianBlur(image, (5, 5), 0),
        lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=12),
        lambda image: cv2.resize(image, (120, 120), interpolation=cv2.INTER_AREA),
        lambda image: np.roll(image, 1, axis=1),
    ],
    ids=["recompressed", "noisy", "blurred", "brighter", "smaller", "shifted"],
)
def test_a_copy_is_near(steel: list[Picture], change: Callable[[Picture], Picture]) -> None:
    assert max(differing(image, change(image)) for image in steel) <= NEAR_BITS


def test_strips_of_one_texture_are_not(steel: list[Picture]) -> None:
    assert min(differing(one, other) for one, other in combinations(steel, 2)) > NEAR_BITS
    assert min(differing(image, 255 - image) for image in steel) > 200


def test_a_picture_without_content_has_no_hash() -> None:
    flat = np.full((THUMBNAIL_SIDE, THUMBNAIL_SIDE), 120, np.uint8)
    assert perceptual_hash(flat) is None
    flat[::2] = 122
    assert perceptual_hash(flat) is None


@pytest.mark.parametrize("count", [0, 1, 5, 2100])
def test_pairs_are_all_pairs_across_blocks_as_well(count: int) -> None:
    hashes = np.where(np.random.default_rng(count).random((count, 255)) < 0.5, -1, 1).astype(np.int8)
    expected = []
    if count > 4:
        hashes[count - 1] = hashes[0]
        hashes[count - 1, :64] *= -1
        hashes[3] = hashes[1]
        hashes[4] = hashes[2]
        hashes[4, :65] *= -1  # one bit too many
        expected = [(0, count - 1, 64), (1, 3, 0)]
    if count == 5:
        expected = [(1, 3, 0)]
    assert sorted(near_pairs(hashes)) == expected


def facts_of(folder: Path, **images: Picture) -> dict[str, PictureFacts]:
    for name, image in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return {name: look_at(folder / f"{name}.png") for name in images}


def test_groups_hold_the_like_of_the_like(tmp_path: Path, steel: list[Picture]) -> None:
    flat = np.full((50, 50), 90, np.uint8)
    facts = facts_of(
        tmp_path,
        e=steel[0],
        a=recompressed(steel[0]),
        z=recompressed(steel[0]),
        b=steel[1],
        c=steel[2],
        d=cv2.GaussianBlur(steel[2], (5, 5), 0),
        flat=flat,
        level=flat + 1,
    )
    (tmp_path / "broken.png").write_bytes(b"no")
    facts["broken"] = look_at(tmp_path / "broken.png")
    (tmp_path / "again.png").write_bytes(b"no")
    facts["again"] = look_at(tmp_path / "again.png")
    # flat pictures are all alike and broken ones say nothing
    assert alike_groups(facts) == [["a", "e", "z"], ["c", "d"]]
    assert alike_groups({}) == []
    assert sorted(hash_pictures(facts)[0]) == ["a", "b", "c", "d", "e", "z"]


def test_flat_pictures_are_the_same_only_byte_for_byte(tmp_path: Path) -> None:
    flat = np.full((50, 50), 90, np.uint8)
    assert alike_groups(facts_of(tmp_path, one=flat, two=flat, three=flat + 1)) == [["one", "two"]]
