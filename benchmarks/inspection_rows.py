"""Rows about accuracy as an inspection line needs it; ``docs/reference/inspection-figures.md`` defines every term.

All shares are from 0 to 1, AP in points from 0 to 100. A row is of one subject, and of all classes where it names none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..detection.inspection import Escape, FalseAlarms, Sorting
from ..detection.intervals import Estimate
from .subject import STRICT, Kind, Subject


@dataclass(frozen=True)
class PrecisionRow:
    """COCO's six figures with intervals.

    Attributes:
        subject: what was judged.
        label: the class; None for all together.
        truths: true boxes there are.
        figures: by name (``ap``, ``ap50``, ``ap75``, ``ap_small``, ``ap_medium``, ``ap_large``), in points.
        level: of the intervals.
        resamples: how often the pictures were drawn again.
        seed: of the draws.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    label: str | None
    truths: int
    figures: dict[str, Estimate]
    level: float
    resamples: int
    seed: int
    row: Literal["average_precision"] = "average_precision"
    kind: Kind = "measured"


@dataclass(frozen=True)
class EscapeRow:
    """How many defects escape at the bundle's thresholds.

    Attributes:
        subject: what was judged.
        group: whether of all defects, of a class or of a size.
        name: of the class or size; None for all.
        threshold: of the class; None for several.
        iou: from which a detection lies on a defect.
        escape: the counts and the rate.
        level: of the interval.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    group: Literal["all", "class", "size"]
    name: str | None
    threshold: float | None
    iou: float
    escape: Escape
    level: float
    row: Literal["escape"] = "escape"
    kind: Kind = "measured"


@dataclass(frozen=True)
class FalseAlarmRow:
    """How often detections at the bundle's thresholds are false alarms; fields as in :class:`EscapeRow`.

    Attributes:
        images: pictures judged.
        alarms: the counts and the rate per picture.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    label: str | None
    threshold: float | None
    iou: float
    images: int
    alarms: FalseAlarms
    level: float
    row: Literal["false_alarms"] = "false_alarms"
    kind: Kind = "measured"


@dataclass(frozen=True)
class SortingRow:
    """What becomes of whole pictures at the bundle's thresholds: good ones flagged, bad ones passed."""

    __pydantic_config__ = STRICT

    subject: Subject
    images: int
    pictures: Sorting
    level: float
    row: Literal["sorting"] = "sorting"
    kind: Kind = "measured"


@dataclass(frozen=True)
class CurveRow:
    """A curve over all thresholds, point by point.

    Attributes:
        subject: what was judged.
        curve: ``precision-recall`` (x recall, y precision, by COCO's rules) or ``froc`` (x false alarms per picture,
            y share of the defects found).
        label: the class; None for all together.
        iou: of the matching.
        x: ascending.
        y: as long as ``x``.
        score: the threshold at each point; empty for a mean of several curves.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    curve: Literal["precision-recall", "froc"]
    label: str | None
    iou: float
    x: tuple[float, ...]
    y: tuple[float, ...]
    score: tuple[float, ...]
    row: Literal["curve"] = "curve"
    kind: Kind = "measured"


InspectionRow = PrecisionRow | EscapeRow | FalseAlarmRow | SortingRow | CurveRow
