from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from temper.distill.losses.foreground import covered_cells, inside_boxes, scale_of_boxes

edge = st.integers(0, 80).map(lambda n: n / 2)
one_box = st.tuples(edge, edge, st.integers(1, 60), st.integers(1, 60)).map(
    lambda b: [b[0], b[1], b[0] + b[2] / 2, b[1] + b[3] / 2]
)
box_lists = st.lists(one_box, max_size=4).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))


def overlapped(box: np.ndarray, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """The cells that share area with a box, one after the other."""
    cells = np.zeros(shape, bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            width = min(box[2], (column + 1) * stride) - max(box[0], column * stride)
            height = min(box[3], (row + 1) * stride) - max(box[1], row * stride)
            cells[row, column] = width > 0 and height > 0
    return cells


@given(boxes=box_lists, stride=st.sampled_from([4, 8, 16]))
def test_a_cell_is_inside_if_it_shares_area_with_a_box(boxes, stride):
    shape = (80 // stride, 96 // stride)
    cells = [overlapped(box, stride, shape) for box in boxes]
    inside = inside_boxes([boxes], stride, shape)
    assert inside.shape == (1, 1, *shape) and inside.dtype == np.float32
    assert np.array_equal(inside[0, 0] > 0, np.any([np.zeros(shape, bool), *cells], axis=0))
    expected = np.zeros(shape)
    for own in cells:
        expected[own] = np.maximum(expected[own], 1 / own.sum())
    assert np.allclose(scale_of_boxes([boxes], stride, shape)[0, 0], expected)


def test_small_and_strange_boxes_keep_one_cell_of_the_map():
    boxes = np.array([[9, 9, 9, 9], [100, 3, 120, 4], [-9, -9, -1, -1], [16, 8, 24, 16]], np.float32)
    found = covered_cells(boxes, 8, (4, 5))
    assert found.tolist() == [[1, 1, 2, 2], [4, 0, 5, 1], [0, 0, 1, 1], [2, 1, 3, 2]]


def test_pictures_stay_apart():
    boxes = [np.zeros((0, 4), np.float32), np.array([[0, 0, 32, 16]], np.float32)]
    inside, scale = inside_boxes(boxes, 8, (4, 4)), scale_of_boxes(boxes, 8, (4, 4))
    assert inside.sum(axis=(1, 2, 3)).tolist() == [0, 8]
    assert scale.sum(axis=(1, 2, 3)).tolist() == [0, 1]
