"""The report's figures for an inspection line: what escapes, what is flagged, and their curves, by subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...detection.inspection import SIZES
from ...detection.intervals import Estimate
from ..inspection_rows import CurveRow, EscapeRow, FalseAlarmRow, InspectionRow, PrecisionRow, SortingRow
from ..measurement import Measurements, to_plain
from ..subject import Subject


@dataclass(frozen=True)
class LineFigures:
    """The rows of one subject; the label None means all classes together.

    Attributes:
        precision: AP with intervals, by label.
        escape: by label.
        sizes: escape by COCO size.
        alarms: by label.
        sorting: of whole pictures.
        curves: of all classes together and of each.
    """

    precision: Mapping[str | None, PrecisionRow]
    escape: Mapping[str | None, EscapeRow]
    sizes: Mapping[str, EscapeRow]
    alarms: Mapping[str | None, FalseAlarmRow]
    sorting: SortingRow
    curves: Sequence[CurveRow]

    def curve(self, kind: str) -> CurveRow | None:
        """The curve of all classes together, if there is one; ``kind`` as in :class:`CurveRow`."""
        return next((row for row in self.curves if row.curve == kind and row.label is None), None)


def line_figures(measurements: Measurements) -> dict[Subject, LineFigures]:
    """The figures of every subject that was judged."""
    return {
        sorting.subject: LineFigures(
            precision={row.label: row for row in measurements.precision if row.subject == sorting.subject},
            escape={
                row.name: row for row in measurements.escape if row.subject == sorting.subject and row.group != "size"
            },
            sizes={
                str(row.name): row
                for row in measurements.escape
                if row.subject == sorting.subject and row.group == "size"
            },
            alarms={row.label: row for row in measurements.false_alarms if row.subject == sorting.subject},
            sorting=sorting,
            curves=[row for row in measurements.curves if row.subject == sorting.subject],
        )
        for sorting in measurements.sorting
    }


def plain_line(line: LineFigures) -> dict[str, Any]:
    """For ``results.json``: the rows as they are, without the subject, which they are below."""
    groups: dict[str, Sequence[InspectionRow]] = {
        "average_precision": list(line.precision.values()),
        "escape": [*line.escape.values(), *line.sizes.values()],
        "false_alarms": list(line.alarms.values()),
        "sorting": [line.sorting],
        # those of each class stay with the measurements, they are long
        "curves": [row for row in line.curves if row.label is None],
    }
    plain = {name: [_without_subject(to_plain(row)) for row in rows] for name, rows in groups.items()}
    return {**plain, "sorting": plain["sorting"][0]}


def flat_line(line: LineFigures | None, labels: Sequence[str]) -> dict[str, Any]:
    """For ``results.csv``: one value a column; all None where nothing was judged."""
    everything = line.escape[None].escape if line else None
    counts = ("defects", "missed", "named_wrongly", "below_threshold")
    pictures = line.sorting.pictures if line else None
    return {
        **_ends("ap", line.precision[None].figures["ap"] if line else None),
        **{name: getattr(everything, name) if everything else None for name in counts},
        **_value_and_ends("escape_rate", everything.rate if everything else None),
        **{f"escape_rate_{size}": line.sizes[size].escape.rate.value if line else None for size in SIZES},
        **{f"escape_rate_class_{name}": _class_rate(line, name) for name in labels},
        "false_alarms": line.alarms[None].alarms.false_alarms if line else None,
        **_value_and_ends("false_alarms_per_image", line.alarms[None].alarms.per_image if line else None),
        **{f"false_alarms_per_image_class_{name}": _class_alarms(line, name) for name in labels},
        **{
            name: getattr(pictures, name) if pictures else None
            for name in ("good", "good_flagged", "bad", "bad_passed")
        },
    }


def _without_subject(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("subject", "row")}


def _ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {f"{name}_low": estimate.low if estimate else None, f"{name}_high": estimate.high if estimate else None}


def _value_and_ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {name: estimate.value if estimate else None, **_ends(name, estimate)}


def _class_rate(line: LineFigures | None, label: str) -> float | None:
    return line.escape[label].escape.rate.value if line and label in line.escape else None


def _class_alarms(line: LineFigures | None, label: str) -> float | None:
    return line.alarms[label].alarms.per_image.value if line and label in line.alarms else None
