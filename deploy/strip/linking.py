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

What runs aslant shows each window another part of its way, so that its boxes agree in little. There a box that the
edge of its window cuts goes on, in the next window, as the one that begins at that window's edge beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The share of the smaller part that both must cover.
AGREEMENT = 0.5
#: Pairs that are looked at in one go: this bounds the memory, however many boxes there are.
_AT_ONCE = 1 << 16

Boxes = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Seen:
    """Boxes, each seen through a window.

    Attributes:
        boxes: float64 [N, 4], x1, y1, x2, y2.
        windows: float64 [N, 4].
        kinds: int64 [N]; only boxes of one kind show one defect.
    """

    boxes: Boxes
    windows: Boxes
    kinds: NDArray[np.int64]


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
    for one, other in _near(boxes, other_boxes, tolerance):
        common = _meet(views[one], other_views[other])
        part, other_part = _meet(grown[one], common), _meet(other_grown[other], common)
        smaller = np.minimum(_area(part), _area(other_part))
        agree = (smaller > 0) & (_area(_meet(part, other_part)) >= AGREEMENT * smaller)
        found.append(np.column_stack([one[agree], other[agree]]))
    return np.concatenate(found)


def links_over_edges(seen: Seen, others: Seen, tolerance: float) -> NDArray[np.int64]:
    """Which boxes show the same defect as which others, where what runs aslant over the edges of windows is one, too.

    Beside :func:`links`, a box goes on as another one where an edge cuts both, each reaches over all of what their
    windows have in common, and beside those edges they come within twice the tolerance. Where several meet at an
    edge, each goes on as the one that lies best where it would itself: upright, or as straight as it runs.

    Args:
        seen: some boxes.
        others: some other ones.
        tolerance: as in :func:`links`.

    Returns:
        int64 [P, 2]: pairs of a box and another box.
    """
    pairs = links(seen.boxes, seen.windows, others.boxes, others.windows, tolerance)
    pairs = pairs[seen.kinds[pairs[:, 0]] == others.kinds[pairs[:, 1]]]
    over: dict[tuple[int, bool], list[NDArray[np.float64]]] = {}
    for one, other in _near(seen.boxes, others.boxes, tolerance):
        same = seen.kinds[one] == others.kinds[other]
        one, other = one[same], other[same]
        here, there = (seen.boxes[one], seen.windows[one]), (others.boxes[other], others.windows[other])
        for axis in (0, 1):
            for turned in (False, True):
                before, after = (there, here) if turned else (here, there)
                cut = _is_cut(before, after, axis, tolerance)
                rows = np.column_stack([one, other, _miss(before, after, axis)])[cut]
                over.setdefault((axis, turned), []).append(rows)
    borders = [np.concatenate(rows) for rows in over.values()]
    codes = [rows[:, 0].astype(np.int64) * len(others.boxes) + rows[:, 1].astype(np.int64) for rows in borders]
    elsewhere = ~np.isin(pairs[:, 0] * len(others.boxes) + pairs[:, 1], np.concatenate([*codes, []]))
    best = [_best(rows, len(seen.boxes), len(others.boxes)) for rows in borders]
    return np.concatenate([pairs[elsewhere], *best])


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


def _near(boxes: Boxes, others: Boxes, tolerance: float) -> Iterator[tuple[Places, Places]]:
    """Pairs of boxes less than twice the tolerance apart, in pieces: most lie nowhere near one another."""
    grow = np.array([-tolerance, -tolerance, tolerance, tolerance])
    grown, other_grown = boxes + grow, others + grow
    rows = max(1, _AT_ONCE // max(1, len(others)))
    for start in range(0, len(boxes) if len(others) else 0, rows):
        one, other = np.nonzero(_meeting(grown[start : start + rows], other_grown))
        yield one + start, other


def _is_cut(before: tuple[Boxes, Boxes], after: tuple[Boxes, Boxes], axis: int, tolerance: float) -> NDArray[np.bool_]:
    """Bool [N]: whether a box ends where its window does, and another one begins where its own, later one does."""
    (box, window), (following, next_window) = before, after
    low, high = axis, axis + 2
    cut = (window[:, low] < next_window[:, low]) & (window[:, high] < next_window[:, high])
    cut &= box[:, high] >= window[:, high] - tolerance
    cut &= following[:, low] <= next_window[:, low] + tolerance
    # what begins or ends within the part that both windows see must do so in both
    cut &= box[:, low] <= next_window[:, low] + tolerance
    cut &= following[:, high] >= window[:, high] - tolerance
    return np.asarray(cut)


def _miss(before: tuple[Boxes, Boxes], after: tuple[Boxes, Boxes], axis: int) -> NDArray[np.float64]:
    """How far, beside an edge, boxes lie from where one would go on as the other if it ran upright, or straight."""
    (box, window), (following, next_window) = before, after
    low, high = 1 - axis, 3 - axis
    widths = [one[:, high] - one[:, low] for one in (box, following)]
    slopes = [
        width / np.maximum(one[:, axis + 2] - one[:, axis], 1e-9)
        for width, one in zip(widths, (box, following), strict=True)
    ]
    shared = np.minimum(box[:, high], following[:, high]) - np.maximum(box[:, low], following[:, low])
    both_see = np.maximum(window[:, axis + 2] - next_window[:, axis], 0)
    upright = np.minimum(widths[0], widths[1]) - shared
    return np.asarray(np.minimum(upright, np.abs(shared - both_see * (slopes[0] + slopes[1]) / 2)))


def _best(rows: NDArray[np.float64], count: int, other_count: int) -> NDArray[np.int64]:
    """Of what may go on as one another over edges of one side, those that fit a box, or the other one, best.

    Args:
        rows: float64 [N, 3]: a box, another box, by how much they miss one another.
        count: of boxes.
        other_count: of other boxes.
    """
    pairs, miss = rows[:, :2].astype(np.int64), rows[:, 2]
    chosen = np.zeros(len(pairs), bool)
    for side, many in enumerate((count, other_count)):
        least = np.full(many, np.inf)
        np.minimum.at(least, pairs[:, side], miss)
        chosen |= miss <= least[pairs[:, side]] + 1e-6
    return pairs[chosen]


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
