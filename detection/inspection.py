"""What an inspection line asks of a detector: which defects escape, and how often it raises a false alarm.

The terms, in a sentence each and with their sources, are in ``docs/reference/inspection-figures.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import LARGE_AREA, SMALL_AREA, areas, iou_matrix
from .dataset import DataSet
from .detections import Detections, Status
from .intervals import Estimate, rate_interval, share_interval
from .metrics import require_fitting

#: From which IoU on a detection lies on a defect, unless something else is asked for.
FOUND_IOU = 0.5
#: COCO's sizes of a true box: up to 32 x 32 px, up to 96 x 96 px, above.
SIZES = ("small", "medium", "large")
_SIZE_LIMITS = (SMALL_AREA, LARGE_AREA)


@dataclass(frozen=True, eq=False)
class Inspected:
    """The defects of a data set, the detections on it, and which lies on which; all a threshold is needed for.

    Attributes:
        labels: of the classes.
        images: how many pictures were judged.
        iou: from which IoU on a detection lies on a defect.
        defect_image: int64 [D], the picture of each defect.
        defect_label: int64 [D].
        defect_size: int64 [D], index into :data:`SIZES`.
        image: int64 [N], the picture of each detection.
        label: int64 [N].
        score: float32 [N].
        pair_defect: int64 [P], for every overlap of a detection and a defect from ``iou`` on, the defect,
        pair_detection: int64 [P], and the detection, of whichever classes the two are.
    """

    labels: tuple[str, ...]
    images: int
    iou: float
    defect_image: NDArray[np.int64]
    defect_label: NDArray[np.int64]
    defect_size: NDArray[np.int64]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float32]
    pair_defect: NDArray[np.int64]
    pair_detection: NDArray[np.int64]

    @property
    def pair_named_right(self) -> NDArray[np.bool_]:
        """Bool [P]: whether the detection has the defect's class."""
        return self.label[self.pair_detection] == self.defect_label[self.pair_defect]

    @property
    def found_at(self) -> NDArray[np.float32]:
        """float32 [D]: the highest score by which a detection of its class finds each defect; -1 where none does."""
        best = np.full(len(self.defect_label), -1, np.float32)
        right = self.pair_named_right
        np.maximum.at(best, self.pair_defect[right], self.score[self.pair_detection[right]])
        return best

    @property
    def false_alarm(self) -> NDArray[np.bool_]:
        """Bool [N]: whether a detection, if it counts, is a false alarm: it lies on no defect of its class."""
        wrong = np.ones(len(self.label), bool)
        wrong[self.pair_detection[self.pair_named_right]] = False
        return wrong

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Bool [images]: whether a picture has a defect."""
        return np.bincount(self.defect_image, minlength=self.images) > 0

    def passing(self, thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
        """Bool [N]: whether a detection reaches the threshold of its class, as the line decides it."""
        return self.score >= np.array([thresholds[name] for name in self.labels], np.float32)[self.label]


def inspect_pictures(data: DataSet, detections: Sequence[Detections], iou: float = FOUND_IOU) -> Inspected:
    """Lay detections over the defects of a data set.

    Args:
        data: the truth.
        detections: one per sample in order, boxes in pixels of the pictures, down to the score floor.
        iou: from which IoU on a detection lies on a defect.

    Raises:
        ValueError: as :func:`temper.detection.metrics.judge`.
    """
    require_fitting(data, detections)
    answers = [
        found if found.status is Status.OK else Detections.none(sample.size)
        for sample, found in zip(data.samples, detections, strict=True)
    ]
    pairs = []
    first_defect, first_detection = 0, 0
    for sample, found in zip(data.samples, answers, strict=True):
        on, by = np.nonzero(iou_matrix(sample.boxes, found.boxes) >= iou)
        pairs.append(np.stack([on + first_defect, by + first_detection]))
        first_defect, first_detection = first_defect + len(sample.labels), first_detection + len(found)
    lying = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(sample.boxes for sample in data.samples)])
    return Inspected(
        labels=data.labels,
        images=len(data),
        iou=iou,
        defect_image=np.repeat(np.arange(len(data)), [len(sample.labels) for sample in data.samples]),
        defect_label=np.concatenate([np.zeros(0, np.int64), *(sample.labels for sample in data.samples)]),
        defect_size=np.searchsorted(_SIZE_LIMITS, areas(boxes)),
        image=np.repeat(np.arange(len(data)), [len(found) for found in answers]),
        label=np.concatenate([np.zeros(0, np.int64), *(found.labels for found in answers)]),
        score=np.concatenate([np.zeros(0, np.float32), *(found.scores for found in answers)]),
        pair_defect=lying[0],
        pair_detection=lying[1],
    )


@dataclass(frozen=True)
class Escape:
    """How many of some defects escape, and why.

    Attributes:
        defects: how many there are.
        missed: how many no detection of their class finds at its threshold.
        named_wrongly: how many of the missed are flagged all the same, as another class.
        below_threshold: how many of the other missed would be found at a lower threshold; the rest is not seen at all.
        rate: missed by defects, from 0 to 1.
    """

    defects: int
    missed: int
    named_wrongly: int
    below_threshold: int
    rate: Estimate

    @property
    def unseen(self) -> int:
        """How many of the missed neither are flagged as something else nor have a detection of their class at all."""
        return self.missed - self.named_wrongly - self.below_threshold


@dataclass(frozen=True)
class FalseAlarms:
    """How often some detections are false alarms.

    Attributes:
        detections: that reach their threshold.
        false_alarms: those of them that lie on no defect of their class.
        per_image: false alarms by pictures.
    """

    detections: int
    false_alarms: int
    per_image: Estimate


@dataclass(frozen=True)
class Sorting:
    """What becomes of whole pictures, if any detection that reaches its threshold throws a picture out.

    Attributes:
        good: pictures without a defect.
        good_flagged: how many of them have a detection.
        good_flagged_share: their share, from 0 to 1; None where the set has no good pictures.
        bad: pictures with a defect.
        bad_passed: how many of them have no detection at all and pass as good.
        bad_passed_share: their share, from 0 to 1; None where the set has no bad pictures.
    """

    good: int
    good_flagged: int
    good_flagged_share: Estimate
    bad: int
    bad_passed: int
    bad_passed_share: Estimate


@dataclass(frozen=True, eq=False)
class AtThresholds:
    """What happens to each defect and detection at given thresholds.

    Attributes:
        missed: bool [D].
        named_wrongly: bool [D], of the missed.
        below_threshold: bool [D], of the missed.
        alarm: bool [N], the detections that count.
        false_alarm: bool [N], of those.
    """

    missed: NDArray[np.bool_]
    named_wrongly: NDArray[np.bool_]
    below_threshold: NDArray[np.bool_]
    alarm: NDArray[np.bool_]
    false_alarm: NDArray[np.bool_]


def at_thresholds(inspected: Inspected, thresholds: Mapping[str, float]) -> AtThresholds:
    """What happens at thresholds per class; ``thresholds`` names every label."""
    alarm = inspected.passing(thresholds)
    right, counts = inspected.pair_named_right, alarm[inspected.pair_detection]
    touched = np.zeros((3, len(inspected.defect_label)), bool)
    for row, chosen in enumerate((right & counts, ~right & counts, right)):
        touched[row, inspected.pair_defect[chosen]] = True
    found, flagged_otherwise, seen = touched
    missed = ~found
    return AtThresholds(
        missed=missed,
        named_wrongly=missed & flagged_otherwise,
        below_threshold=missed & ~flagged_otherwise & seen,
        alarm=alarm,
        false_alarm=alarm & inspected.false_alarm,
    )


def escape(inspected: Inspected, what: AtThresholds, of: NDArray[np.bool_] | None = None) -> Escape:
    """How many defects escape.

    Args:
        inspected: the defects.
        what: happens to them.
        of: bool [D], which are asked about; None for all.
    """
    chosen = np.ones(len(what.missed), bool) if of is None else of
    missed = chosen & what.missed
    by_image = [np.bincount(inspected.defect_image[rows], minlength=inspected.images) for rows in (missed, chosen)]
    return Escape(
        defects=int(chosen.sum()),
        missed=int(missed.sum()),
        named_wrongly=int((chosen & what.named_wrongly).sum()),
        below_threshold=int((chosen & what.below_threshold).sum()),
        rate=share_interval(*by_image),
    )


def false_alarms(
    inspected: Inspected, what: AtThresholds, draws: NDArray[np.int32], label: int | None = None
) -> FalseAlarms:
    """How often detections are false alarms, of one class or of all.

    Args:
        inspected: the detections.
        what: becomes of them.
        draws: int32 [images, resamples], see :func:`temper.detection.intervals.draw_pictures`.
        label: of the class; None for all.
    """
    own = np.ones(len(inspected.label), bool) if label is None else inspected.label == label
    wrong = own & what.false_alarm
    counts = np.bincount(inspected.image[wrong], minlength=inspected.images)
    return FalseAlarms(int((own & what.alarm).sum()), int(wrong.sum()), rate_interval(counts, draws))


def sort_pictures(inspected: Inspected, what: AtThresholds) -> Sorting:
    """How whole pictures are sorted."""
    flagged = np.bincount(inspected.image[what.alarm], minlength=inspected.images) > 0
    bad = inspected.bad
    return Sorting(
        good=int((~bad).sum()),
        good_flagged=int((~bad & flagged).sum()),
        good_flagged_share=share_interval((~bad & flagged).astype(np.int64), (~bad).astype(np.int64)),
        bad=int(bad.sum()),
        bad_passed=int((bad & ~flagged).sum()),
        bad_passed_share=share_interval((bad & ~flagged).astype(np.int64), bad.astype(np.int64)),
    )


@dataclass(frozen=True)
class FrocCurve:
    """Free-response operating characteristic: the share of defects found by false alarms per picture.

    Attributes:
        false_alarms: per picture, ascending.
        found: share of the defects, from 0 to 1.
        score: the threshold, one for all classes, at which both are reached.
    """

    false_alarms: tuple[float, ...]
    found: tuple[float, ...]
    score: tuple[float, ...]


#: Points of a curve that are kept.
FROC_POINTS = 200


def froc(inspected: Inspected, label: int | None = None) -> FrocCurve | None:
    """The FROC curve of one class or of all, down to the score floor; None without a defect or a picture.

    Args:
        inspected: defects and detections.
        label: of the class; None for all.
    """
    defects = np.ones(len(inspected.defect_label), bool) if label is None else inspected.defect_label == label
    own = np.ones(len(inspected.label), bool) if label is None else inspected.label == label
    if not defects.any():
        return None
    found_at = np.sort(inspected.found_at[defects])
    alarm_at = np.sort(inspected.score[own & inspected.false_alarm])
    scores = np.unique(np.concatenate([found_at[found_at >= 0], alarm_at]))[::-1]
    found = (len(found_at) - np.searchsorted(found_at, scores)) / len(found_at)
    alarms = (len(alarm_at) - np.searchsorted(alarm_at, scores)) / inspected.images
    # only where more is found than at any higher score does the curve say something new; and its end
    kept = np.flatnonzero(np.diff(found, prepend=0.0) > 0)
    if len(scores):
        kept = np.union1d(kept, [len(scores) - 1])
    if len(kept) > FROC_POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, FROC_POINTS).round().astype(int))]
    return FrocCurve(*(tuple(values[kept].astype(float).tolist()) for values in (alarms, found, scores)))
