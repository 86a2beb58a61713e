"""What is drawn: where, in which colour, and that the picture given stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from temper.detection.draw import class_colour, draw_boxes

NAMES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
BOX = np.array([[50, 60, 150, 160]], np.float32)


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_the_frame_has_the_colour_of_its_class() -> None:
    drawn = draw_boxes(np.full((200, 200), 90, np.uint8), BOX, labels(2), NAMES)
    assert drawn.shape == (200, 200, 3)
    assert drawn.dtype == np.uint8
    assert tuple(drawn[159, 100]) == class_colour(2)
    assert tuple(drawn[110, 149]) == class_colour(2)
    assert tuple(drawn[110, 100]) == (90, 90, 90)
    assert tuple(drawn[110, 160]) == (90, 90, 90)


def test_the_six_classes_have_six_colours() -> None:
    assert len({class_colour(label) for label in range(6)}) == 6
    assert class_colour(12) == class_colour(0)


def test_the_picture_given_is_left_as_it_is() -> None:
    image = np.full((200, 200, 3), 90, np.uint8)
    draw_boxes(image, BOX, labels(0), NAMES, truth_boxes=BOX, truth_labels=labels(1))
    assert (image == 90).all()


def test_nothing_to_draw_gives_the_picture_in_rgb() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    drawn = draw_boxes(image, np.zeros((0, 4), np.float32), labels(), NAMES)
    assert (drawn == image[..., None]).all()


def test_scale_enlarges_picture_and_boxes() -> None:
    drawn = draw_boxes(np.full((200, 100), 90, np.uint8), BOX / 2, labels(4), NAMES, scale=3)
    assert drawn.shape == (600, 300, 3)
    assert tuple(drawn[150, 75]) == class_colour(4)


def test_true_boxes_are_white_and_dashed() -> None:
    nothing = np.zeros((0, 4), np.float32)
    drawn = draw_boxes(np.full((200, 200), 90, np.uint8), nothing, labels(), NAMES, truth_boxes=BOX)
    side = drawn[159, 50:150]
    white, black = (side == 255).all(axis=1), (side == 0).all(axis=1)
    assert (white | black).all()
    assert white.sum() > 30
    assert black.sum() > 30


def test_names_and_scores_are_written() -> None:
    image = np.full((200, 200), 90, np.uint8)
    bare = draw_boxes(image, BOX, labels(0), ("",) * 6)
    named = draw_boxes(image, BOX, labels(0), NAMES)
    scored = draw_boxes(image, BOX, labels(0), NAMES, np.array([0.875], np.float32))
    assert (bare != named).any()
    assert (named != scored).any()


def test_names_of_boxes_at_one_place_do_not_cover_each_other() -> None:
    boxes = np.repeat(BOX, 2, axis=0)
    drawn = draw_boxes(np.full((200, 200), 90, np.uint8), boxes, labels(0, 5), NAMES)
    filled = [int((drawn == class_colour(label)).all(axis=2).sum()) for label in (0, 5)]
    assert min(filled) > 300


@pytest.mark.parametrize("box", [[-50, -50, 500, 500], [190, 190, 260, 260], [30, 30, 30, 30], [80, 80, 20, 20]])
def test_odd_boxes_do_not_break_the_drawing(box: list[float]) -> None:
    drawn = draw_boxes(np.zeros((200, 200), np.uint8), np.array([box], np.float32), labels(1), NAMES)
    assert (drawn == class_colour(1)).all(axis=2).any()


@settings(max_examples=60, deadline=None)
@given(
    boxes=arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32)),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
)
def test_any_box_can_be_drawn_into_any_picture(boxes: np.ndarray, size: tuple[int, int]) -> None:
    drawn = draw_boxes(np.zeros(size, np.uint8), boxes, labels(0, 1, 2), NAMES, truth_boxes=boxes)
    assert drawn.shape == (*size, 3)


def test_unequal_lengths_and_a_scale_below_1_are_refused() -> None:
    image = np.zeros((20, 20), np.uint8)
    with pytest.raises(ValueError, match="zip"):
        draw_boxes(image, BOX, labels(0, 1), NAMES)
    with pytest.raises(ValueError, match="scale is 0"):
        draw_boxes(image, BOX, labels(0), NAMES, scale=0)
