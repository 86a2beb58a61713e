"""Average precision as COCO defines it, in points from 0 to 100, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import LARGE_AREA, SMALL_AREA
from .dataset import DataSet, to_coco
from .detections import Detections, Status

#: Detections that count per picture and class; the rest of a longer list is ignored, as COCO does.
MAX_DETECTIONS = 100

#: COCO's IoU thresholds and recalls.
IOUS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
RECALLS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
#: COCO's ranges of a box's area in square pixels, limits included.
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, SMALL_AREA),
    "medium": (SMALL_AREA, LARGE_AREA),
    "large": (LARGE_AREA, 1e10),
}


@dataclass(frozen=True)
class AccuracyFigures:
    """COCO figures of one detector on one data set, in points from 0 to 100; None where there is no ground truth.

    Attributes:
        images: how many pictures were judged.
        ap: mean over the IoU thresholds 0.50, 0.55, ..., 0.95 and over the classes (what is called mAP).
        ap50: at IoU 0.50 alone.
        ap75: at IoU 0.75 alone.
        ap_small: of boxes up to 32 x 32 pixels.
        ap_medium: of boxes between 32 x 32 and 96 x 96 pixels.
        ap_large: of boxes from 96 x 96 pixels on.
        per_class: ``ap`` of each class by its name.
    """

    images: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    per_class: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON; ``AccuracyFigures(**figures.to_dict())`` equals ``figures``."""
        return asdict(self)


#: The names of the six COCO figures of :class:`AccuracyFigures`, in their order.
FAMILY = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
#: Which IoU thresholds and which area each of them is over, as indices into the arrays of :class:`CocoJudgement`.
FAMILY_PARTS: dict[str, tuple[slice, int]] = {
    "ap": (slice(None), 0),
    "ap50": (slice(0, 1), 0),
    "ap75": (slice(5, 6), 0),
    "ap_small": (slice(None), 1),
    "ap_medium": (slice(None), 2),
    "ap_large": (slice(None), 3),
}


@dataclass(frozen=True)
class Curve:
    """Precision by recall at one IoU threshold, both from 0 to 1.

    Attributes:
        recall: ascending, 101 values from 0 to 1.
        precision: the best that is reached at that recall or a larger one; 0 where that recall is not reached.
        score: from which score on detections count there; 0 where that recall is not reached. For the mean over the
            classes there is no such score, and this is empty.
    """

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    score: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class CocoJudgement:
    """What COCO's rules give for the detections of a data set, before it is summed up.

    Attributes:
        images: how many pictures were judged.
        labels: of the classes.
        precision: float64 [10 IoU thresholds, 101 recalls, classes, area: all, small, medium, large]; -1 without truth.
        scores: likewise, the score at which that recall is reached.
    """

    images: int
    labels: tuple[str, ...]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]

    def figures(self) -> AccuracyFigures:
        """The figures in points."""
        per_class = {label: self.family(label)["ap"] for label in self.labels}
        return AccuracyFigures(images=self.images, per_class=per_class, **self.family())

    def family(self, label: str | None = None) -> dict[str, float | None]:
        """The figures of :data:`FAMILY` for one class, or for all, in points; None where there is no truth."""
        rows = slice(None) if label is None else [self.labels.index(label)]
        return {
            name: _points(self.precision[ious, :, :, area][:, :, rows]) for name, (ious, area) in FAMILY_PARTS.items()
        }

    def curve(self, label: str | None = None) -> Curve | None:
        """Precision by recall at IoU 0.50 of one class, or the mean over those with truth; None where there is none.

        The mean of its precisions is AP50.
        """
        rows = [self.labels.index(label)] if label is not None else range(len(self.labels))
        defined = [k for k in rows if self.precision[0, 0, k, 0] > -1]
        if not defined:
            return None
        precision = self.precision[0, :, defined, 0].mean(axis=0)
        score = self.scores[0, :, defined[0], 0].tolist() if label is not None else ()
        return Curve(tuple(RECALLS.tolist()), tuple(precision.tolist()), tuple(score))


def evaluate(data: DataSet, detections: Sequence[Detections]) -> AccuracyFigures:
    """The COCO figures of detections; arguments and errors as for :func:`judge`."""
    return judge(data, detections).figures()


def judge(data: DataSet, detections: Sequence[Detections]) -> CocoJudgement:
    """Judge detections against the boxes of a data set.

    Args:
        data: the truth.
        detections: one per sample, in the order of ``data.samples``, boxes in pixels of the original picture. One whose
            status is not ``OK`` found nothing.

    Raises:
        ValueError: if there are not as many detections as samples, or one carries a label that ``data`` does not have
            or a number that is not finite.
    """
    require_fitting(data, detections)
    if not data.samples or not data.labels:
        nothing = np.full((len(IOUS), len(RECALLS), len(data.labels), len(AREAS)), -1.0)
        return CocoJudgement(len(data), data.labels, nothing, nothing)
    # not at the top: importing this module must stay cheap for those that only carry figures
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(to_coco(data), print_function=_say_nothing)
    answers = truth.loadRes(_results(detections))
    ranges = {name: list(limits) for name, limits in AREAS.items() if name != "all"}
    judge = COCOeval_faster(truth, answers, "bbox", ranges=ranges, print_function=_say_nothing)
    judge.params.maxDets = [MAX_DETECTIONS]
    judge.evaluate()
    judge.accumulate()
    precision, scores = (np.asarray(judge.eval[name], np.float64)[..., 0] for name in ("precision", "scores"))
    return CocoJudgement(len(data), data.labels, precision, scores)


def require_fitting(data: DataSet, detections: Sequence[Detections]) -> None:
    """Check that detections can be judged on a data set.

    Raises:
        ValueError: if there are not as many detections as samples, or one carries a label that ``data`` does not have
            or a number that is not finite.
    """
    if len(detections) != len(data):
        raise ValueError(f"{len(data)} pictures need {len(data)} detections; {len(detections)} were given")
    for sample, found in zip(data.samples, detections, strict=True):
        _require_fitting(found, sample.file_name, len(data.labels))


def _require_fitting(found: Detections, file_name: str, classes: int) -> None:
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ValueError(f"a detection on {file_name} has a box or score that is not finite")
    if len(found) and (found.labels.min() < 0 or found.labels.max() >= classes):
        raise ValueError(f"a detection on {file_name} has a label outside 0 to {classes - 1}")


def _results(detections: Sequence[Detections]) -> list[dict[str, Any]]:
    """The detections as COCO results, numbered as ``to_coco`` numbers the pictures."""
    results = []
    for image_id, found in enumerate(detections, start=1):
        if found.status is not Status.OK:
            continue
        rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": image_id, "category_id": label + 1, "bbox": box, "score": score})
    return results


def _points(precision: NDArray[np.float64]) -> float | None:
    """The mean of what is defined, times 100; None where nothing is."""
    defined = precision[precision > -1]
    return 100.0 * float(np.mean(defined)) if len(defined) else None


def _say_nothing(*_: object) -> None:
    """Takes what faster-coco-eval would print."""
