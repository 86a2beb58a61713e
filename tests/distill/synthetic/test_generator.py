from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.core.errors import UsageError
from temper.detection.boxes import LARGE_AREA, SMALL_AREA, areas
from temper.detection.dataset import load_split
from temper.distill.synthetic.generator import (
    LABELS,
    Difficulty,
    Picture,
    draw_picture,
    make_split,
    write_data_set,
)

#: Over pixels, boxes and labels of the pictures below. It changes only together with GENERATION.
PINNED = "1bd5868706a357e53eacad6e835ceb22f979b0fe25f2741a7b0aef78b7ed7fcf"


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [draw_picture(0, "train", number) for number in range(90)]


def fingerprint(pictures: list[Picture]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        for array, dtype in ((picture.image, "u1"), (picture.boxes, "<f4"), (picture.labels, "<i4")):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype).tobytes())
    return digest.hexdigest()


def assert_boxes_exact(picture: Picture) -> None:
    """Every changed pixel lies in one box, and each box touches changed pixels on all four sides."""
    changed = picture.image != picture.clean
    height, width = changed.shape
    left = changed.copy()
    for x1, y1, x2, y2 in picture.boxes.astype(int).tolist():
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        inside = changed[y1:y2, x1:x2]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
        left[y1:y2, x1:x2] = False
    assert not left.any()
    np.testing.assert_array_equal(picture.boxes, np.round(picture.boxes))


def test_the_same_seed_gives_the_same_pictures_on_every_machine() -> None:
    drawn = [draw_picture(0, "train", number) for number in range(18)]
    drawn += [draw_picture(7, "val", 3, (321, 207))]
    assert fingerprint(drawn) == PINNED


def test_every_class_is_among_the_first_six_pictures(pictures: list[Picture]) -> None:
    assert [int(picture.labels[0]) for picture in pictures[:6]] == list(range(len(LABELS)))


def test_labels_are_those_of_neu_det() -> None:
    assert LABELS == ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


def test_boxes_are_exact(pictures: list[Picture]) -> None:
    for picture in pictures:
        assert_boxes_exact(picture)


def test_a_picture_has_one_to_four_defects_and_some_have_several_classes(pictures: list[Picture]) -> None:
    assert {len(picture.boxes) for picture in pictures} == {1, 2, 3, 4}
    mixed = np.mean([len(set(picture.labels.tolist())) > 1 for picture in pictures])
    assert 0.15 < mixed < 0.6


def test_all_sizes_of_coco_occur_and_classes_are_balanced(pictures: list[Picture]) -> None:
    area = np.concatenate([areas(picture.boxes) for picture in pictures])
    small, large = np.mean(area < SMALL_AREA), np.mean(area > LARGE_AREA)
    assert 0.05 < small < 0.35
    assert 0.05 < large < 0.35
    counts = np.bincount(np.concatenate([picture.labels for picture in pictures]), minlength=len(LABELS))
    assert counts.min() > 0.6 * counts.mean()


def test_defects_are_visible_and_have_their_sign(pictures: list[Picture]) -> None:
    for picture in pictures:
        for (x1, y1, x2, y2), label in zip(picture.boxes.astype(int).tolist(), picture.labels, strict=True):
            change = picture.image[y1:y2, x1:x2].astype(int) - picture.clean[y1:y2, x1:x2]
            change = change[change != 0]
            assert np.abs(change).max() >= 12
            if LABELS[label] in ("crazing", "inclusion", "pitted_surface"):
                assert change.max() < 0
            if LABELS[label] == "scratches":
                assert change.max() > 12


def test_the_strip_runs_along_one_direction() -> None:
    smooth = Difficulty(grain=(0.0, 0.0), horizontal_share=0.0)
    along = draw_picture(0, "train", 0, difficulty=smooth).clean.astype(int)
    across = draw_picture(0, "train", 0, difficulty=Difficulty(grain=(0.0, 0.0), horizontal_share=1.0)).clean.astype(
        int
    )
    assert along.mean(axis=0).std() > 0
    assert np.abs(np.diff(along.mean(axis=0))).mean() > 3 * np.abs(np.diff(along.mean(axis=1))).mean()
    assert np.abs(np.diff(across.mean(axis=1))).mean() > 3 * np.abs(np.diff(across.mean(axis=0))).mean()


def test_more_pictures_leave_the_first_as_they_are() -> None:
    few, many = list(make_split(2, 200, 200, 3)), list(make_split(4, 200, 200, 3))
    for first, second in zip(few, many, strict=False):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("other", [(1, "train", 0), (0, "val", 0), (0, "train", 6)])
def test_seed_split_and_number_each_change_the_picture(other: tuple[int, str, int]) -> None:
    assert (draw_picture(*other).clean != draw_picture(0, "train", 0).clean).mean() > 0.8


def test_a_larger_picture_carries_more_defects() -> None:
    larger = [draw_picture(0, "train", number, (1200, 400)) for number in range(4)]
    for picture in larger:
        assert picture.image.shape == (400, 1200)
        assert_boxes_exact(picture)
    assert np.mean([len(picture.boxes) for picture in larger]) > 8


def test_defect_free_pictures_have_no_boxes() -> None:
    picture = draw_picture(0, "train", 0, difficulty=Difficulty(defect_free_share=1.0))
    assert picture.boxes.shape == (0, 4)
    assert picture.boxes.dtype == np.float32
    assert picture.labels.shape == (0,)
    assert picture.labels.dtype == np.int32
    np.testing.assert_array_equal(picture.image, picture.clean)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    number=st.integers(0, 10**6),
    width=st.integers(64, 330),
    height=st.integers(64, 330),
    weakest=st.floats(20, 100),
    smallest=st.floats(20, 100),
    grain=st.floats(0, 12),
)
def test_any_picture_is_well_formed(
    seed: int, number: int, width: int, height: int, weakest: float, smallest: float, grain: float
) -> None:
    level = Difficulty(contrast=(weakest, 120.0), side=(smallest, 160.0), grain=(0.0, grain))
    picture = draw_picture(seed, "train", number, (width, height), level)
    assert picture.image.shape == (height, width)
    assert picture.image.dtype == np.uint8
    assert picture.boxes.dtype == np.float32
    assert picture.labels.dtype == np.int32
    assert len(picture.boxes) == len(picture.labels) >= 1
    assert picture.labels.min() >= 0
    assert picture.labels.max() < len(LABELS)
    assert_boxes_exact(picture)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Difficulty(contrast=(5.0, 80.0)), "contrast is 5.0 to 80.0"),
        (lambda: Difficulty(side=(90.0, 30.0)), "it has to rise"),
        (lambda: Difficulty(defects=(0, 3)), "defects is 0 to 3"),
        (lambda: Difficulty(grain=(float("nan"), 3.0)), "grain is nan"),
        (lambda: Difficulty(mixed_share=1.5), "mixed_share is 1.5"),
        (lambda: draw_picture(0, "train", 0, (63, 200)), "63 x 200 pixels are too small"),
    ],
)
def test_settings_that_cannot_be_drawn_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_written_data_set_holds_what_was_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "steel"
    write_data_set(folder, train=3, val=2, width=220, height=200, seed=5)
    for split, count in (("train", 3), ("val", 2)):
        data = load_split(folder, split)
        assert data.labels == LABELS
        assert len(data) == count
        for sample, (image, boxes, labels) in zip(
            data.samples, make_split(count, 220, 200, 5, split=split), strict=True
        ):
            stored = cv2.imread(str(data.image_path(sample)), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(stored, image)
            np.testing.assert_array_equal(sample.boxes, boxes)
            np.testing.assert_array_equal(sample.labels, labels)
            assert sample.size == (220, 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["steel"]


def test_a_split_of_no_pictures_is_left_out_and_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    write_data_set(tmp_path / "train_only", train=1, val=0, width=200, height=200, seed=0)
    assert [path.name for path in (tmp_path / "train_only" / "annotations").iterdir()] == ["train.json"]
    with pytest.raises(UsageError, match="too small"):
        write_data_set(tmp_path / "small", train=1, val=1, width=20, height=200, seed=0)
    assert not (tmp_path / "small").exists()
