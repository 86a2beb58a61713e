"""Which detections are right by COCO's rules, found once per picture, so that resampling pictures only has to count.

The same greedy rule as in faster-coco-eval, which gives sums only: ``tests/detection/test_bootstrap.py`` holds the two
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dataset import DataSet
from .detections import Detections, Status
from .metrics import AREAS, IOUS, MAX_DETECTIONS, require_fitting

_LIMITS = np.array(list(AREAS.values()))  # [areas, 2]


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class over all pictures, the highest score first, and how many true boxes there are.

    Attributes:
        image: int64 [N], the picture of each detection.
        correct: bool [10 IoU thresholds, areas, N], whether it is the one that finds a true box of that area.
        counted: bool [10 IoU thresholds, areas, N], whether it counts at all: it does not if it lies on a true box of
            another area, or on none and is of another area itself.
        truths: int64 [areas, images], true boxes of each picture.
    """

    image: NDArray[np.int64]
    correct: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    truths: NDArray[np.int64]


def match_detections(data: DataSet, detections: Sequence[Detections]) -> list[ClassMatches]:
    """Match the detections of every picture with its true boxes, class by class.

    Args:
        data: the truth.
        detections: one per sample in order; one whose status is not ``OK`` found nothing.

    Returns:
        One entry for each of ``data.labels``.

    Raises:
        ValueError: as :func:`temper.detection.metrics.judge`.
    """
    require_fitting(data, detections)
    return [_match_class(data, detections, label) for label in range(len(data.labels))]


def _match_class(data: DataSet, detections: Sequence[Detections], label: int) -> ClassMatches:
    images, scores, correct, counted = [], [], [], []
    truths = np.zeros((len(AREAS), len(data)), np.int64)
    for number, (sample, found) in enumerate(zip(data.samples, detections, strict=True)):
        truth, truth_areas = _sides(sample.boxes[sample.labels == label])
        inside = _inside(truth_areas)
        truths[:, number] = inside.sum(axis=1)
        rows = np.flatnonzero(found.labels == label) if found.status is Status.OK else np.zeros(0, np.int64)
        if not len(rows):
            continue
        ranked = rows[np.argsort(-found.scores[rows].astype(np.float64), kind="stable")][:MAX_DETECTIONS]
        boxes, areas = _sides(found.boxes[ranked])
        right, lost = _match_picture(_overlaps(boxes, areas, truth, truth_areas), inside)
        images.append(np.full(len(ranked), number, np.int64))
        scores.append(found.scores[ranked].astype(np.float64))
        correct.append(right & ~lost)
        # lies on nothing: counts among those of its own size; lies on a box of another area: does not count
        counted.append(~lost & (right | _inside(areas)[None]))
    if not images:
        none = np.zeros((len(IOUS), len(AREAS), 0), bool)
        return ClassMatches(np.zeros(0, np.int64), none, none, truths)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return ClassMatches(
        np.concatenate(images)[order],
        np.concatenate(correct, axis=-1)[..., order],
        np.concatenate(counted, axis=-1)[..., order],
        truths,
    )


def _match_picture(
    overlaps: NDArray[np.float64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """COCO's greedy matching on one picture, for all IoU thresholds and areas at once.

    Args:
        overlaps: float64 [N, M], IoU of the detections, the best first, with the true boxes.
        inside: bool [areas, M], which true boxes are of which area.

    Returns:
        Two bool [10 IoU thresholds, areas, N]: which detections take a true box, and which take one of another area.
    """
    found, truths = overlaps.shape
    taken = np.zeros((len(IOUS), len(inside), found), bool)
    outside = np.zeros_like(taken)
    if not truths:
        return taken, outside
    free = np.ones((len(IOUS), len(inside), truths), bool)
    thresholds = np.minimum(IOUS, 1 - 1e-10)[:, None, None]
    # of equal overlaps COCO takes the last
    backwards = overlaps[:, ::-1]
    for row in np.flatnonzero(overlaps.max(axis=1) >= thresholds.min()):
        fits = free & (overlaps[row] >= thresholds)
        own = fits & inside
        any_own = own.any(axis=-1, keepdims=True)
        # a box of another area is only taken where no own one fits
        candidates = np.where(any_own, own, fits)
        best = truths - 1 - np.where(candidates[..., ::-1], backwards[row], -1.0).argmax(axis=-1)
        hit = candidates.any(axis=-1)
        level, area = np.nonzero(hit)
        free[level, area, best[level, area]] = False
        taken[..., row] = hit
        outside[..., row] = hit & ~any_own[..., 0]
    return taken, outside


def _sides(boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corner, width and height [N, 4] and area [N] in the precision in which COCO's files carry them."""
    wide = boxes.astype(np.float64)
    sides = np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1)
    return sides, sides[:, 2] * sides[:, 3]


def _overlaps(
    first: NDArray[np.float64],
    first_areas: NDArray[np.float64],
    second: NDArray[np.float64],
    second_areas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """IoU [N, M] of boxes given by corner, width and height."""
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    sides = np.clip(end - start, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    union = first_areas[:, None] + second_areas[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _inside(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of COCO's ranges each area [N] lies in, bool [areas, N]; a limit belongs to both sides."""
    return (areas >= _LIMITS[:, :1]) & (areas <= _LIMITS[:, 1:])
