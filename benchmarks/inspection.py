"""Detections of one subject judged for an inspection line, as rows of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..detection.bootstrap import family_intervals
from ..detection.dataset import DataSet
from ..detection.detections import Detections
from ..detection.inspection import (
    SIZES,
    AtThresholds,
    Escape,
    FalseAlarms,
    Inspected,
    Sorting,
    at_thresholds,
    escape,
    false_alarms,
    froc,
    inspect_pictures,
    sort_pictures,
)
from ..detection.intervals import LEVEL, RESAMPLES, SEED, Estimate, draw_pictures
from ..detection.matching import match_detections
from ..detection.metrics import IOUS, CocoJudgement, judge
from .inspection_rows import CurveRow, EscapeRow, FalseAlarmRow, InspectionRow, PrecisionRow, SortingRow
from .measurement import AccuracyRow
from .subject import Subject


@dataclass(frozen=True, eq=False)
class InspectionFigures:
    """What escapes and what is flagged at thresholds per class, the label None meaning all classes together.

    Attributes:
        inspected: what was judged.
        thresholds: by label.
        escape: by label.
        escape_by_size: by COCO size of the true box.
        alarms: by label.
        sorting: of whole pictures.
    """

    inspected: Inspected
    thresholds: Mapping[str, float]
    escape: Mapping[str | None, Escape]
    escape_by_size: Mapping[str, Escape]
    alarms: Mapping[str | None, FalseAlarms]
    sorting: Sorting


def inspection_figures(inspected: Inspected, thresholds: Mapping[str, float]) -> InspectionFigures:
    """Judge at thresholds; at least one picture was inspected."""
    what = at_thresholds(inspected, thresholds)
    draws = draw_pictures(inspected.images)
    labels: list[tuple[str | None, int | None]] = [
        (None, None),
        *((name, k) for k, name in enumerate(inspected.labels)),
    ]
    return InspectionFigures(
        inspected=inspected,
        thresholds=thresholds,
        escape={name: _escape_of_class(inspected, what, number) for name, number in labels},
        escape_by_size={
            size: escape(inspected, what, inspected.defect_size == number) for number, size in enumerate(SIZES)
        },
        alarms={name: false_alarms(inspected, what, draws, number) for name, number in labels},
        sorting=sort_pictures(inspected, what),
    )


def _escape_of_class(inspected: Inspected, what: AtThresholds, label: int | None) -> Escape:
    return escape(inspected, what, None if label is None else inspected.defect_label == label)


@dataclass(frozen=True, eq=False)
class Judged:
    """All that is known of one subject's detections.

    Attributes:
        coco: by COCO's rules, at all thresholds.
        intervals: of COCO's figures by label, None for all, and name.
        truths: true boxes by label.
        line: at the bundle's thresholds.
    """

    coco: CocoJudgement
    intervals: Mapping[str | None, Mapping[str, Estimate]]
    truths: Mapping[str | None, int]
    line: InspectionFigures

    def rows(self, subject: Subject, detections: str) -> list[AccuracyRow | InspectionRow]:
        """The rows; ``detections`` is the file they are kept in, below the folder of the measurements."""
        return [
            AccuracyRow(subject, self.coco.figures(), detections),
            *self._precision_rows(subject),
            *self._line_rows(subject),
            *self._curve_rows(subject),
        ]

    def _precision_rows(self, subject: Subject) -> list[PrecisionRow]:
        return [
            PrecisionRow(subject, label, self.truths[label], dict(figures), LEVEL, RESAMPLES, SEED)
            for label, figures in self.intervals.items()
        ]

    def _line_rows(self, subject: Subject) -> list[InspectionRow]:
        line, iou, images = self.line, self.line.inspected.iou, self.line.inspected.images

        def escaped(group: Literal["all", "class", "size"], name: str | None, figures: Escape) -> EscapeRow:
            threshold = self._threshold(name) if group == "class" else None
            return EscapeRow(subject, group, name, threshold, iou, figures, LEVEL)

        return [
            *(escaped("all" if name is None else "class", name, figures) for name, figures in line.escape.items()),
            *(escaped("size", name, figures) for name, figures in line.escape_by_size.items()),
            *(
                FalseAlarmRow(subject, name, self._threshold(name), iou, images, figures, LEVEL)
                for name, figures in line.alarms.items()
            ),
            SortingRow(subject, images, line.sorting, LEVEL),
        ]

    def _threshold(self, label: str | None) -> float | None:
        return None if label is None else self.line.thresholds.get(label)

    def _curve_rows(self, subject: Subject) -> list[CurveRow]:
        rows = []
        for number, label in enumerate((None, *self.coco.labels), start=-1):
            if (curve := self.coco.curve(label)) is not None:
                row: dict[str, Any] = {
                    "iou": float(IOUS[0]),
                    "x": curve.recall,
                    "y": curve.precision,
                    "score": curve.score,
                }
                rows.append(CurveRow(subject, "precision-recall", label, **row))
            if (found := froc(self.line.inspected, None if label is None else number)) is not None:
                row = {"iou": self.line.inspected.iou, "x": found.false_alarms, "y": found.found, "score": found.score}
                rows.append(CurveRow(subject, "froc", label, **row))
        return rows


def judge_detections(
    data: DataSet, detections: Sequence[Detections], thresholds: Mapping[str, float], found_iou: float
) -> Judged:
    """Judge detections by COCO's rules and as an inspection line does.

    Args:
        data: the truth, at least one picture.
        detections: one per sample in order, boxes in pixels of the pictures, down to the score floor.
        thresholds: of every label.
        found_iou: from which IoU on a detection lies on a defect.
    """
    coco = judge(data, detections)
    intervals = family_intervals(coco, match_detections(data, detections), draw_pictures(len(data)))
    line = inspection_figures(inspect_pictures(data, detections, found_iou), thresholds)
    counts = np.bincount(line.inspected.defect_label, minlength=len(data.labels)).tolist()
    return Judged(coco, intervals, {None: sum(counts), **dict(zip(data.labels, counts, strict=True))}, line)
