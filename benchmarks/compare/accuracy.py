"""Accuracy of two sides on the same pictures, drawn again together: what differs in them is the sides alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...detection.bootstrap import average_precisions, figure_of_draws
from ...detection.dataset import DataSet
from ...detection.detections import Detections
from ...detection.inspection import SIZES, AtThresholds, Inspected, at_thresholds, inspect_pictures
from ...detection.intervals import draw_pictures
from ...detection.matching import match_detections
from ...detection.metrics import FAMILY, judge
from .effect import Direction, Effect, Interval, judge_difference, never_seen, resampled_difference

#: Below so many pictures nothing is called equivalent: too little of what there is has been seen.
ENOUGH_PICTURES = 50


@dataclass(frozen=True, eq=False)
class Judged:
    """One side's detections over the truth.

    Attributes:
        detections: one per picture in order.
        inspected: those detections over the defects.
        at: what happens at the side's own thresholds.
    """

    detections: Sequence[Detections]
    inspected: Inspected
    at: AtThresholds

    @property
    def missed(self) -> NDArray[np.float64]:
        """float64 [images]: missed defects of each picture."""
        return self._count(self.inspected.defect_image[self.at.missed])

    @property
    def false_alarms(self) -> NDArray[np.float64]:
        """float64 [images]: false alarms of each picture."""
        return self._count(self.inspected.image[self.at.false_alarm])

    @property
    def defects(self) -> NDArray[np.float64]:
        """float64 [images]: true boxes of each picture."""
        return self._count(self.inspected.defect_image)

    def _count(self, pictures: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.bincount(pictures, minlength=self.inspected.images).astype(np.float64)


def judge_side(
    data: DataSet, detections: Sequence[Detections], thresholds: Mapping[str, float], found_iou: float
) -> Judged:
    """Lay one side's detections over the truth.

    Args:
        data: the truth.
        detections: one per sample in order, boxes in pixels of the pictures.
        thresholds: of every label.
        found_iou: from which IoU on a detection lies on a defect.
    """
    inspected = inspect_pictures(data, detections, found_iou)
    return Judged(detections, inspected, at_thresholds(inspected, thresholds))


def compare_accuracy(
    data: DataSet, a: Judged, b: Judged, smallest: Mapping[str, float], level: float
) -> dict[str, Effect]:
    """The differences in accuracy, B less A, with paired bootstrap intervals over the pictures and a verdict on B.

    Args:
        data: the truth, at least one picture.
        a: one side.
        b: the other, on the same pictures.
        smallest: effects of interest for ``map`` (points), ``escape`` (points of per cent) and ``false_alarms`` (per
            picture).
        level: of the intervals.

    Returns:
        By name: the six of :data:`temper.detection.metrics.FAMILY` in points, ``escape_rate`` in per cent,
        ``false_alarms`` per picture.
    """
    images = len(data)
    draws = draw_pictures(images)
    alike = all(_same(x, y) for x, y in zip(a.detections, b.detections, strict=True))
    effects = {}
    points = [judge(data, side.detections).family() for side in (a, b)]
    drawn = [average_precisions(match_detections(data, side.detections), draws) for side in (a, b)]
    for name in FAMILY:
        x, y = (family[name] for family in points)
        change = None
        if x is not None and y is not None:
            differences = figure_of_draws(drawn[1], name) - figure_of_draws(drawn[0], name)
            least = 0.0 if alike else _never_seen_points(a.inspected, name, level)
            change = resampled_difference(y - x, differences, images, level, least, furthest=100)
        effects[name] = _effect((x, y), change, smallest["map"], "more", images, alike)
    defects = a.defects
    with_defects = int((defects > 0).sum())
    rates: list[float | None] = [None, None]
    change = None
    if with_defects:
        drawn_defects = defects @ draws
        shares = [100 * side.missed @ draws / np.where(drawn_defects > 0, drawn_defects, np.nan) for side in (a, b)]
        rates = [float(100 * side.missed.sum() / defects.sum()) for side in (a, b)]
        least = 0.0 if alike else 100 * never_seen(with_defects, level)
        change = resampled_difference(
            float(100 * (b.missed - a.missed).sum() / defects.sum()), shares[1] - shares[0], images, level, least, 100
        )
    effects["escape_rate"] = _effect((rates[0], rates[1]), change, smallest["escape"], "less", images, alike)
    alarms = [side.false_alarms for side in (a, b)]
    change = resampled_difference(
        float((alarms[1] - alarms[0]).mean()),
        (alarms[1] - alarms[0]) @ draws / images,
        images,
        level,
        0.0 if alike else never_seen(images, level),
    )
    means = float(alarms[0].mean()), float(alarms[1].mean())
    effects["false_alarms"] = _effect(means, change, smallest["false_alarms"], "less", images, alike)
    return effects


def _never_seen_points(truth: Inspected, name: str, level: float) -> float:
    """The difference in an AP figure that its pictures may all have failed to show, in points.

    Something that befalls a share of the pictures with defects, and spoils them for one side, takes as much off its AP;
    and what befalls one class only, its part of the mean over the classes. Of a rare class fewer pictures can show it.

    Args:
        truth: of the pictures.
        name: of the figure; those of one size rest on the defects of that size.
        level: of the interval.
    """
    size = name.removeprefix("ap_")
    counted = truth.defect_size == SIZES.index(size) if size in SIZES else np.ones(len(truth.defect_image), bool)
    pictures, labels = truth.defect_image[counted], truth.defect_label[counted]
    classes = np.unique(labels)
    shares = [
        never_seen(len(np.unique(pictures)), level),
        *(min(1.0, never_seen(len(np.unique(pictures[labels == k])), level)) / len(classes) for k in classes),
    ]
    return 100 * max(shares)


def _same(a: Detections, b: Detections) -> bool:
    return (
        len(a) == len(b)
        and bool((a.labels == b.labels).all())
        and bool((a.boxes == b.boxes).all())
        and bool((a.scores == b.scores).all())
    )


def _effect(
    sides: tuple[float | None, float | None],
    change: Interval | None,
    smallest: float,
    better: Direction,
    images: int,
    alike: bool,
) -> Effect:
    if change is None:
        return Effect(*sides, None, smallest, better, None, "there is nothing to judge by")
    verdict, note = judge_difference(change, smallest, better), ""
    if alike:
        note = f"the detections on all {images} pictures are the same"
    elif verdict == "equivalent" and images < ENOUGH_PICTURES:
        verdict, note = "no difference shown", f"{images} pictures are too few to call them equivalent"
    elif verdict == "no difference shown" and change.value == 0:
        note = f"none is seen, but on {images} pictures one within the interval need not be"
    return Effect(*sides, change, smallest, better, verdict, note)
