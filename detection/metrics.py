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

_AREA_RANGES = {"small": [0.0, SMALL_AREA], "medium": [SMALL_AREA, LARGE_AREA], "large": [LARGE_AREA, 1e10]}


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


def evaluate(data: DataSet, detections: Sequence[Detections]) -> AccuracyFigures:
    """Judge detections against the boxes of a data set.

    Args:
        data: the truth.
        detections: one per sample, in the order of ``data.samples``, boxes in pixels of the original picture. One whose
            status is not ``OK`` found nothing.

    Returns:
        The figures in points.

    Raises:
        ValueError: if there are not as many detections as samples, or one carries a label that ``data`` does not have
            or a number that is not finite.
    """
    if len(detections) != len(data):
        raise ValueError(f"{len(data)} pictures need {len(data)} detections; {len(detections)} were given")
    for sample, found in zip(data.samples, detections, strict=True):
        _require_fitting(found, sample.file_name, len(data.labels))
    if not data.samples or not data.labels:
        return AccuracyFigures(len(data), None, None, None, None, None, None, dict.fromkeys(data.labels))
    precision = _precision(data, detections)
    return AccuracyFigures(
        images=len(data),
        ap=_points(precision[:, :, :, 0]),
        ap50=_points(precision[0, :, :, 0]),
        ap75=_points(precision[5, :, :, 0]),
        ap_small=_points(precision[:, :, :, 1]),
        ap_medium=_points(precision[:, :, :, 2]),
        ap_large=_points(precision[:, :, :, 3]),
        per_class={name: _points(precision[:, :, k, 0]) for k, name in enumerate(data.labels)},
    )


def _require_fitting(found: Detections, file_name: str, classes: int) -> None:
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ValueError(f"a detection on {file_name} has a box or score that is not finite")
    if len(found) and (found.labels.min() < 0 or found.labels.max() >= classes):
        raise ValueError(f"a detection on {file_name} has a label outside 0 to {classes - 1}")


def _precision(data: DataSet, detections: Sequence[Detections]) -> NDArray[np.float64]:
    """Precision [10 IoU thresholds, 101 recalls, classes, area: all, small, medium, large]; -1 without truth."""
    # not at the top: importing this module must stay cheap for those that only carry figures
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(to_coco(data), print_function=_say_nothing)
    answers = truth.loadRes(_results(detections))
    judge = COCOeval_faster(truth, answers, "bbox", ranges=_AREA_RANGES, print_function=_say_nothing)
    judge.params.maxDets = [MAX_DETECTIONS]
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"], np.float64)[..., 0]


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
