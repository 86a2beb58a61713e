"""What was seen of a coil: metres inspected and not, and why; its defects; as HTML with a map, and as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...core.database import Database
from .coil import Coil
from .coil_rows import cameras_of, defects_of, frames_of, gaps_of
from .coverage import Coverage, Span, cover
from .records import seconds_of

#: The cause of a gap, among the causes of frames.
GAP = "gap"
#: The first column of the CSV.
NOT_INSPECTED, DEFECT = "not inspected", "defect"
CSV_COLUMNS = (
    "kind", "from_m", "to_m", "cause", "label", "severity", "score", "across_mm", "length_mm", "width_mm", "cut",
    "repeat_m", "position_m", "time", "side",
)  # fmt: skip
#: A map of more stretches or defects is too large to be drawn; the tables and the CSV have all.
MOST_DRAWN = 5_000
#: A count of the strip that goes back by more than this has begun anew.
_BACK_M = 1.0
#: A camera without a frame for so long, and for so many times its usual interval, is told of.
_SILENT_SECONDS, _SILENT_FRAMES = 10.0, 10


@dataclass
class CoilReport:
    """What is known of a coil. Positions count from its beginning.

    Attributes:
        coil: which.
        frames: how many ended as ``ok``, ``defect`` and ``not_inspected``, by camera.
        sides: of the strip, by camera; None where no line said it.
        causes: why frames were not inspected, and how many for each reason.
        coverage: of the strip; None if no frame has a position.
        gaps: the rows of the table, those that reach into the coil.
        defects: the rows of the table, with ``from_m`` and ``to_m``.
        warnings: what has to be known of these figures, a sentence each.
    """

    coil: Coil
    frames: dict[str, Counter[str]] = field(default_factory=dict)
    sides: dict[str, str | None] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    coverage: Coverage | None = None
    gaps: list[dict[str, Any]] = field(default_factory=list)
    defects: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """Metres inspected and not, and why, in a sentence or two."""
        total: Counter[str] = sum(self.frames.values(), Counter())
        counted = f"{total.total()} frames: {total['ok']} ok, {total['defect']} defect, "
        counted += f"{total['not_inspected']} not inspected."
        if self.coverage is None:
            return f"How many metres were inspected is not known, as no frame has a position. {counted}"
        missed = self.coverage.not_inspected_m
        told = f"{self.coverage.inspected_m:.1f} m of {self.coverage.length_m:.1f} m inspected"
        if missed:
            reasons = ", ".join(f"{cause} {metres:.1f} m" for cause, metres in missed.items())
            told += f"; {sum(missed.values()):.1f} m not inspected: {reasons}"
        return f"{told}. {counted}"


def make_report(database: Database, coil: Coil) -> CoilReport:
    """Gather what the store has of a coil.

    Raises:
        TemperError: if the store cannot be read.
    """
    report = CoilReport(coil)
    with database.reading() as connection:
        frames = frames_of(connection, coil)
        report.gaps = gaps_of(connection, coil)
        defects = defects_of(connection, {(frame.run_id, frame.number) for frame in frames})
        cameras = cameras_of(connection, coil, {frame.run_id for frame in frames})
    cameras += [gap["camera"] for gap in report.gaps] + [frame.camera for frame in frames]
    report.frames = {camera: Counter() for camera in cameras}
    for frame in frames:
        report.frames.setdefault(frame.camera, Counter())[frame.verdict] += 1
        report.sides[frame.camera] = frame.side
        if frame.cause is not None:
            report.causes[frame.cause] += 1
    shifts = _shifts(frames, report)
    placed = [frame for frame in frames if frame.position_m is not None]
    starts = [frame.position_m + shifts[frame.run_id] for frame in placed]
    origin = coil.position_m if coil.position_m is not None else min(starts, default=0.0)
    if starts:
        spans: dict[str, list[Span]] = {camera: [] for camera in report.frames}
        spans |= _spans(placed, report.gaps, shifts, origin)
        report.coverage = cover(spans, 0.0, max((span.end_m for own in spans.values() for span in own), default=0))
    unplaced = len(frames) - len(placed)
    if placed and unplaced:
        report.warnings.append(f"{unplaced} frames have no position and are in the counts of frames alone.")
    for row in defects:
        start = row["position_m"] + shifts.get(row["run_id"], 0.0) - origin
        report.defects.append({**row, "from_m": start, "to_m": start + row["length_mm"] / 1000})
    report.defects.sort(key=lambda row: row["from_m"])
    _warn_of_gaps(report)
    _warn_of_silence(report, frames)
    return report


def to_csv(report: CoilReport) -> str:
    """The stretches that were not inspected, then the defects, a row each; the columns are :data:`CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for span in report.coverage.missed if report.coverage else ():
        ends = {"from_m": round(span.start_m, 3), "to_m": round(span.end_m, 3)}
        writer.writerow({"kind": NOT_INSPECTED, "cause": span.cause, **ends})
    for row in report.defects:
        short = {name: round(value, 3) for name, value in row.items() if isinstance(value, float)}
        writer.writerow({**row, **short, "kind": DEFECT, "cut": int(row["cut"])})
    return text.getvalue()


def to_html(report: CoilReport) -> str:
    """One file that needs nothing else, with a map of the strip."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    width = max((row["across_mm"] + row["width_mm"] for row in report.defects), default=1.0)
    return environment.get_template("coil.html.j2").render(report=report, width_mm=width, most_drawn=MOST_DRAWN)


def _shifts(frames: list[Any], report: CoilReport) -> dict[str, float]:
    """What to add to the positions of each run, so that they go on where those of the run before ended."""
    shifts: dict[str, float] = {}
    end = None
    for frame in frames:
        if frame.position_m is None:
            continue
        if frame.run_id not in shifts:
            shifts[frame.run_id] = 0.0
            if end is not None and frame.position_m < end - _BACK_M:
                shifts[frame.run_id] = end - frame.position_m
                report.warnings.append(
                    "The count of metres began anew within this coil, so the strip that passed meanwhile is missing "
                    "here, and later positions are too small by it."
                )
        here = frame.position_m + shifts[frame.run_id]
        end = here if end is None else max(end, here)
    return shifts


def _spans(
    frames: list[Any], gaps: list[dict[str, Any]], shifts: dict[str, float], origin: float
) -> dict[str, list[Span]]:
    """What each camera says of the strip; a frame without a length reaches to the next one."""
    spans: dict[str, list[Span]] = {}
    by_camera: dict[str, list[Any]] = {}
    for frame in frames:
        by_camera.setdefault(frame.camera, []).append(frame)
    for camera, own in by_camera.items():
        starts = [frame.position_m + shifts[frame.run_id] - origin for frame in own]
        own_spans = spans.setdefault(camera, [])
        for place, frame in enumerate(own):
            start = starts[place]
            following = starts[place + 1] if place + 1 < len(starts) else start
            end = start + frame.length_m if frame.length_m is not None else max(following, start)
            own_spans.append(Span(start, end, frame.cause))
    for gap in gaps:
        if gap["position_m"] is not None and gap["length_m"] is not None:
            start = gap["position_m"] + shifts.get(gap["run_id"], 0.0) - origin
            spans.setdefault(gap["camera"], []).append(Span(start, start + gap["length_m"], GAP))
    return spans


def _warn_of_gaps(report: CoilReport) -> None:
    for gap in report.gaps:
        if gap["until"] is None:
            report.warnings.append(
                f"The camera {gap['camera']} has given no frame since {gap['since']}: what passes until it does is not "
                "inspected."
            )
    ended = [gap for gap in report.gaps if gap["until"] is not None]
    unknown = sum(gap["length_m"] is None or gap["position_m"] is None for gap in ended)
    if unknown:
        report.warnings.append(f"{unknown} gaps have no known length: what passed in them was not inspected either.")
    for camera, counts in report.frames.items():
        if report.coverage is not None and not counts:
            report.warnings.append(f"There is no frame of camera {camera}: nothing before it was inspected.")
    if not any(report.frames.values()):
        report.warnings.append("There is no frame of this coil: nothing of it was inspected.")


def _warn_of_silence(report: CoilReport, frames: list[Any]) -> None:
    """A camera that gave nothing until the coil's end, though it was not away as far as anybody noticed."""
    if report.coil.ended is None:
        return
    ended = seconds_of(report.coil.ended)
    away = {gap["camera"] for gap in report.gaps if gap["until"] is None or gap["until"] > report.coil.ended}
    for camera in report.frames.keys() - away:
        moments = [seconds_of(frame.exposed) for frame in frames if frame.camera == camera and frame.exposed]
        if not moments:
            continue
        silent = ended - max(moments)
        if silent > max(_SILENT_SECONDS, _SILENT_FRAMES * (max(moments) - min(moments)) / len(moments)):
            report.warnings.append(
                f"The camera {camera} gave no frame in the last {silent:.0f} s of this coil: what passed then was not "
                "inspected."
            )
