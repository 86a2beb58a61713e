"""Operating points: from which score on a detection counts as a defect, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..detection.boxes import iou_matrix
from ..detection.dataset import DataSet
from ..detection.detections import Detections
from ..detection.threshold_choice import threshold_between

#: Where nothing can be learnt: a class without a true box, or without one correct detection.
FALLBACK = 0.5
#: A detection is correct if it overlaps a true box of its class at least this much.
CORRECT_IOU = 0.5


def best_thresholds(data: DataSet, detections: Sequence[Detections]) -> dict[str, float]:
    """For every class the score from which on precision and recall are best balanced (largest F1).

    The largest F1 holds for every threshold between two neighbouring scores; the middle is taken, so that small changes
    of the scores, int8's for example, move nothing across.

    Args:
        data: the truth, of pictures that the model was not trained on.
        detections: one per sample in order, boxes in pixels of the pictures, down to the score floor.

    Returns:
        Labels to thresholds, 0.5 where there is nothing to go by.

    Raises:
        ValueError: if there are not as many detections as samples.
    """
    if len(data) != len(detections):
        raise ValueError(f"{len(data)} pictures need {len(data)} detections; {len(detections)} were given")
    thresholds = {}
    for label, name in enumerate(data.labels):
        scores, correct, truths = [], [], 0
        for sample, found in zip(data.samples, detections, strict=True):
            mine = found.keep(found.labels == label)
            truth = sample.boxes[sample.labels == label]
            scores.append(mine.scores)
            correct.append(correct_detections(mine.boxes, truth))
            truths += len(truth)
        all_scores = np.concatenate(scores) if scores else np.zeros(0, np.float32)
        all_correct = np.concatenate(correct) if correct else np.zeros(0, bool)
        thresholds[name] = threshold_of_best_f1(all_scores, all_correct, truths)
    return thresholds


def correct_detections(boxes: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes [N, 4], sorted by descending score, are the first to find a true box [M, 4] of their class."""
    correct = np.zeros(len(boxes), bool)
    free = np.ones(len(truth), bool)
    overlaps = iou_matrix(boxes, truth)
    for row in range(len(boxes)):
        open_overlaps = np.where(free, overlaps[row], 0)
        if len(truth) and open_overlaps.max() >= CORRECT_IOU:
            free[int(open_overlaps.argmax())] = False
            correct[row] = True
    return correct


def threshold_of_best_f1(scores: NDArray[np.float32], correct: NDArray[np.bool_], truths: int) -> float:
    """The threshold with the largest F1; of several the highest.

    Args:
        scores: float32 [N].
        correct: bool [N], whether each detection is right.
        truths: how many true boxes there are.
    """
    if not truths or not correct.any():
        return FALLBACK
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    found = np.cumsum(correct[order])
    # 2 TP / (2 TP + FP + FN) = 2 TP / (detections + truths)
    f1 = 2 * found / (np.arange(1, len(ranked) + 1) + truths)
    # a threshold cannot part equal scores
    last_of_equals = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(last_of_equals, f1, -1)))
    below = float(ranked[best + 1]) if best + 1 < len(ranked) else None
    return threshold_between(below, float(ranked[best]))
