"""Each thing that PaddleDetection 2.6 gets wrong here: that it still does, and that the mend puts it right."""

from __future__ import annotations

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="assigners are PaddlePaddle's")

from temper.distill.detectors.points import point_grid  # noqa: E402
from temper.distill.detectors.ppdet_bridge import assigners, picodet_parts  # noqa: E402

CLASSES = 3
BOXES = np.array([[[10, 12, 50, 60], [30, 5, 60, 40]], [[2, 2, 30, 30], [0, 0, 0, 0]]], np.float32)
LABELS = np.array([[[1], [2]], [[0], [0]]])
MASK = np.array([[[1], [1]], [[1], [0]]], np.float32)


def originals():
    from ppdet.modeling.assigners.atss_assigner import ATSSAssigner
    from ppdet.modeling.assigners.task_aligned_assigner import TaskAlignedAssigner

    return ATSSAssigner, TaskAlignedAssigner


def assign(classes, which, side, *, dtype="int64", boxes=2):
    """What an assigner says of a square picture, as arrays."""
    shapes = tuple((side // stride, side // stride) for stride in (8, 16, 32))
    grid = point_grid(shapes, (8, 16, 32))
    generator = np.random.default_rng(0)
    places = len(grid.points)
    corners = np.sort(generator.uniform(0, side, (2, places, 2, 2)), axis=2).astype(np.float32)
    predicted = paddle.to_tensor(np.concatenate([corners[:, :, 0], corners[:, :, 1]], axis=-1))
    scores = paddle.to_tensor(generator.uniform(0, 1, (2, places, CLASSES)).astype(np.float32))
    truth = [paddle.to_tensor(x[:, :boxes]) for x in (LABELS.astype(dtype), BOXES, MASK)]
    points, counts = paddle.to_tensor(grid.points), list(grid.counts)
    if which == "atss":
        halves = paddle.to_tensor(grid.strides * 2.5)
        cells = paddle.concat([points - halves, points + halves], axis=-1)
        answer = classes[0](9, num_classes=CLASSES)(cells, counts, *truth, bg_index=CLASSES, pred_bboxes=predicted)
    else:
        answer = classes[1](13)(scores, predicted, points, counts, *truth, bg_index=CLASSES)
    return [x.numpy() for x in answer]


WHICH = pytest.mark.parametrize("which", ["atss", "task_aligned"])


@WHICH
def test_where_nothing_is_wrong_nothing_changes(which):
    for ours, theirs in zip(assign(assigners(), which, 128), assign(originals(), which, 128), strict=True):
        assert np.array_equal(ours, theirs)


@WHICH
def test_classes_in_32_bits(which):
    with pytest.raises(TypeError, match="Type promotion"):
        assign(originals(), which, 128, dtype="int32")
    narrow, wide = (assign(assigners(), which, 128, dtype=dtype) for dtype in ("int32", "int64"))
    assert all(np.array_equal(a, b) for a, b in zip(narrow, wide, strict=True))


@WHICH
def test_a_batch_without_boxes(which):
    assert len(assign(originals(), which, 128, boxes=0)) == 3, "its callers take four"
    labels, _, scores, positive = assign(assigners(), which, 128, boxes=0)
    assert (labels == CLASSES).all() and not scores.any() and not positive.any()


def test_levels_with_fewer_places_than_are_chosen_from():
    with pytest.raises(ValueError, match="k <= input_width"):
        assign(originals(), "atss", 64)
    labels, boxes, _, _ = assign(assigners(), "atss", 64)
    assert set(np.unique(labels[0])) == {1, 2, CLASSES}
    assert (boxes[0][labels[0] == 1] == BOXES[0, 0]).all()


def test_pictures_with_fewer_places_than_are_chosen_from():
    with pytest.raises(ValueError, match="k <= input_width"):
        assign(originals(), "task_aligned", 16)
    assert assign(assigners(), "task_aligned", 16)[0].shape == (2, 5)


def test_necks_of_four_levels_share_a_list():
    """PaddleDetection's default argument grows with every such neck; so Temper always gives a list of its own."""
    parts = picodet_parts()
    for neck in (parts.lcpan, parts.csppan):
        default = next(d for d in neck.__init__.__defaults__ if isinstance(d, list))
        kept = list(default)
        try:
            neck([8, 16, 32], 8, num_features=4)
            assert len(default) == 4, "the mend is not needed any more"
        finally:
            default[:] = kept
