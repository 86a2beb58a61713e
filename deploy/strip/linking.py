"""When two boxes, each seen through a window of its own, show one and the same defect.

A window is a tile of a picture, or a frame's place on the strip. A window cuts what reaches over its edge, and
windows overlap, so the same defect is seen whole by one, in part by another, or in parts by both:

    window a          window b            both see the part of the defect
    +-----------+.....+                   that lies in what they have in
    |      [====|==]  :                   common; there their boxes agree
    |         : |     :
    +-----------+.....+
              common

Two boxes of one class are linked where, cut down to what both windows have in common, they cover at least half of the
smaller one. Windows that only touch have a line in common; so boxes and windows are made larger by a tolerance first,
and what is left to agree is where along the seam they lie. What is linked through others is one defect.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The share of the smaller part that both must cover.
AGREEMENT = 0.5
#: Pairs that are looked at in one go: this bounds the memory, however many boxes there are.
_AT_ONCE = 1 << 16

Boxes = NDArray[np.float64]


def links(
    boxes: Boxes, windows: Boxes, other_boxes: Boxes, other_windows: Boxes, tolerance: float
) -> NDArray[np.int64]:
    """Which boxes show the same defect as which others, classes aside.

    Args:
        boxes: float64 [N, 4], x1, y1, x2, y2.
        windows: float64 [N, 4], through which each was seen.
        other_boxes: float64 [M, 4].
        other_windows: float64 [M, 4].
        tolerance: in the boxes' unit, by which a box may miss the edge of its window.

    Returns:
        int64 [P, 2]: pairs of a box and another box, in ascending order.
    """
    grow = np.array([-tolerance, -tolerance, tolerance, tolerance])
    grown, other_grown = boxes + grow, other_boxes + grow
    views, other_views = windows + grow, other_windows + grow
    found = [np.zeros((0, 2), np.int64)]
    rows = max(1, _AT_ONCE // max(1, len(other_boxes)))
    for start in range(0, len(boxes) if len(other_boxes) else 0, rows):
        # most boxes lie nowhere near one another; only of those that meet the rest is worked out
        one, other = np.nonzero(_meeting(grown[start : start + rows], other_grown))
        one += start
        common = _meet(views[one], other_views[other])
        part, other_part = _meet(grown[one], common), _meet(other_grown[other], common)
        smaller = np.minimum(_area(part), _area(other_part))
        agree = (smaller > 0) & (_area(_meet(part, other_part)) >= AGREEMENT * smaller)
        found.append(np.column_stack([one[agree], other[agree]]))
    return np.concatenate(found)


def components(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """What hangs together.

    Args:
        count: how many there are.
        pairs: int64 [P, 2], which of them are linked.

    Returns:
        int64 [count]: for each the lowest index of those it hangs together with.
    """
    group = np.arange(count)
    while len(pairs):
        lowest = group.copy()
        reached = np.minimum(group[pairs[:, 0]], group[pairs[:, 1]])
        for side in (0, 1):
            np.minimum.at(lowest, pairs[:, side], reached)
            # whoever leads a group takes all of it along
            np.minimum.at(lowest, group[pairs[:, side]], reached)
        # each follows where its lowest one belongs to, so that chains shrink by half each time
        lowest = lowest[lowest]
        if np.array_equal(lowest, group):
            break
        group = lowest
    return group


def _meeting(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Bool [N, M]: which have a part in common that is more than a line."""
    meet = boxes[:, None, 0] < others[None, :, 2]
    meet &= boxes[:, None, 2] > others[None, :, 0]
    meet &= boxes[:, None, 1] < others[None, :, 3]
    meet &= boxes[:, None, 3] > others[None, :, 1]
    return np.asarray(meet)


def _meet(one: Boxes, other: Boxes) -> Boxes:
    return np.concatenate([np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])], axis=-1)


def _area(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray(np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0))
