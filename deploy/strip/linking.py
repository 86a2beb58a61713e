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

Boxes = NDArray[np.float64]


def links(
    boxes: Boxes, windows: Boxes, other_boxes: Boxes, other_windows: Boxes, tolerance: float
) -> NDArray[np.bool_]:
    """Which boxes show the same defect as which others, classes aside.

    Args:
        boxes: float64 [N, 4], x1, y1, x2, y2.
        windows: float64 [N, 4], through which each was seen.
        other_boxes: float64 [M, 4].
        other_windows: float64 [M, 4].
        tolerance: in the boxes' unit, by which a box may miss the edge of its window.

    Returns:
        Bool [N, M].
    """
    grow = np.array([-tolerance, -tolerance, tolerance, tolerance])
    common = _meet((windows + grow)[:, None], (other_windows + grow)[None])
    one = _meet((boxes + grow)[:, None], common)
    other = _meet((other_boxes + grow)[None], common)
    smaller = np.minimum(_area(one), _area(other))
    both = _area(_meet(one, other))
    return (smaller > 0) & (both >= AGREEMENT * smaller)


def components(linked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """What hangs together.

    Args:
        linked: bool [N, N], symmetric.

    Returns:
        int64 [N]: for each the lowest index of those it hangs together with.
    """
    count = len(linked)
    group = np.arange(count)
    while count:
        lowest = np.minimum(group, np.where(linked, group[None], count).min(axis=1))
        # each follows where its lowest one belongs to, so that chains shrink by half each time
        lowest = lowest[lowest]
        if np.array_equal(lowest, group):
            break
        group = lowest
    return group


def _meet(one: Boxes, other: Boxes) -> Boxes:
    return np.concatenate([np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])], axis=-1)


def _area(boxes: Boxes) -> NDArray[np.float64]:
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)
