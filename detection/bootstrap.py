"""Intervals of COCO's figures by drawing the pictures again: matched once, counted as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .intervals import Estimate, basic_interval
from .matching import ClassMatches
from .metrics import AREAS, FAMILY_PARTS, IOUS, RECALLS, CocoJudgement

#: Draws that are counted at a time, so that the counts stay in the processor's cache.
_DRAWS_AT_A_TIME = 128


def family_intervals(
    judgement: CocoJudgement, matches: Sequence[ClassMatches], draws: NDArray[np.int32]
) -> dict[str | None, dict[str, Estimate]]:
    """COCO's six figures with bootstrap intervals over pictures, for all classes together and for each.

    Args:
        judgement: gives the figures.
        matches: of the same detections, one for each class.
        draws: int32 [images, resamples], see :func:`temper.detection.intervals.draw_pictures`.

    Returns:
        By label (None for all together) and the names of :data:`temper.detection.metrics.FAMILY`, in points from 0 to
        100.
    """
    resampled = average_precisions(matches, draws)
    intervals: dict[str | None, dict[str, Estimate]] = {}
    for label in (None, *judgement.labels):
        classes = slice(None) if label is None else [judgement.labels.index(label)]
        points = judgement.family(label)
        intervals[label] = {
            name: basic_interval(points[name], figure_of_draws(resampled[:, classes], name), 100.0)
            for name in FAMILY_PARTS
        }
    return intervals


def figure_of_draws(precisions: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """One of COCO's figures in each draw, float64 [resamples], in points; NaN where it has no truth.

    Args:
        precisions: float64 [resamples, classes, 10 IoU thresholds, areas], see :func:`average_precisions`.
        name: one of :data:`temper.detection.metrics.FAMILY`.
    """
    ious, area = FAMILY_PARTS[name]
    chosen = precisions[:, :, ious, area].reshape(len(precisions), -1)
    defined = ~np.isnan(chosen)
    count = defined.sum(axis=1)
    total = np.where(defined, chosen, 0).sum(axis=1)
    return 100 * np.divide(total, count, out=np.full(len(chosen), np.nan), where=count > 0)


def average_precisions(matches: Sequence[ClassMatches], draws: NDArray[np.int32]) -> NDArray[np.float64]:
    """Average precision by COCO's rule (101 recalls) for every draw of the pictures.

    Args:
        matches: one for each class.
        draws: int32 [images, resamples], how often each picture is in each resample.

    Returns:
        float64 [resamples, classes, 10 IoU thresholds, areas], from 0 to 1; NaN where a draw has no true box.
    """
    resamples = draws.shape[1]
    precisions = np.full((resamples, len(matches), len(IOUS), len(AREAS)), np.nan)
    for start in range(0, resamples, _DRAWS_AT_A_TIME):
        part = np.ascontiguousarray(draws[:, start : start + _DRAWS_AT_A_TIME])
        for number, match in enumerate(matches):
            precisions[start : start + _DRAWS_AT_A_TIME, number] = _class_precisions(match, part)
    return precisions


def _class_precisions(match: ClassMatches, draws: NDArray[np.int32]) -> NDArray[np.float64]:
    """[draws, 10 IoU thresholds, areas]."""
    precisions = np.full((draws.shape[1], len(IOUS), len(AREAS)), np.nan)
    for area, truths in enumerate(match.truths):
        if not truths.any():
            continue
        positives = truths @ draws
        for level in range(len(IOUS)):
            counted = match.counted[level, area]
            correct = match.correct[level, area][counted]
            found, judged = _counts(match.image[counted], correct, draws)
            precisions[:, level, area] = _average_precision(found, judged, positives)
    return precisions


def _counts(
    images: NDArray[np.int64], correct: NDArray[np.bool_], draws: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """At each correct detection, the best first: how many correct ones and how many in all there are up to it.

    Precision only has its steps up there, so what lies between is summed and not looked at. Both are
    int32 [correct detections, draws].
    """
    places = np.flatnonzero(correct)
    if not len(places):
        nothing = np.zeros((0, draws.shape[1]), np.int32)
        return nothing, nothing
    found = np.cumsum(draws[images[places]], axis=0, dtype=np.int32)
    starts = np.concatenate([[0], places[:-1] + 1])
    between = np.add.reduceat(draws[images[: places[-1] + 1]], starts, axis=0, dtype=np.int32)
    return found, np.cumsum(between, axis=0, dtype=np.int32)


def _average_precision(
    found: NDArray[np.int32], judged: NDArray[np.int32], positives: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[draws]: the mean over 101 recalls of the best precision at that recall or a larger one."""
    result = np.where(positives > 0, 0.0, np.nan)
    if not len(found):
        return result
    precision = np.divide(found, judged, out=np.zeros(found.shape), where=judged > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = found / np.maximum(positives, 1)
    # how many of the 101 recalls are reached with each correct detection; the first takes those before it, too
    reached = np.searchsorted(RECALLS, recall, side="right")
    steps = np.diff(reached, axis=0, prepend=0)
    return np.where(positives > 0, (envelope * steps).sum(axis=0) / len(RECALLS), np.nan)
