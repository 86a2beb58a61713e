"""The rows of one transaction of the store, and the events that tell of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, bindparam, func, insert, select, text, update
from sqlalchemy.engine import Connection

from ..frames import Gap
from ..strip.defect import StripDefect
from .message import OPEN, MessageKind
from .records import (
    FrameResult,
    Item,
    Row,
    defect_row,
    detection_rows,
    frame_row,
    gap_row,
    inspected_rows,
    moment,
    notice_body,
    seconds_of,
)
from .schema import DefectTable, DetectionTable, EventTable, FrameTable, GapTable, InspectedTable


@dataclass(frozen=True)
class OpenGap:
    """A gap that lasts.

    Attributes:
        run_id: of the run that told it.
        number: in that run.
        since: UTC in ISO 8601.
    """

    run_id: str
    number: int
    since: str


def open_gaps(connection: Connection) -> dict[str, OpenGap]:
    """The gaps that last, by camera."""
    columns = (GapTable.camera, GapTable.run_id, GapTable.number, GapTable.since)
    rows = connection.execute(select(*columns).where(GapTable.until.is_(None)).order_by(GapTable.since)).all()
    return {row.camera: OpenGap(row.run_id, row.number, row.since) for row in rows}


def newest_event(connection: Connection) -> int:
    """The id of the event that was stored last, of all there ever were; 0 if there was none."""
    sequence = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :table")
    return int(connection.execute(sequence, {"table": EventTable.__tablename__}).scalar_one())


@dataclass
class Batch:
    """What is stored at once.

    Attributes:
        run_id: of the run that it belongs to.
        labels: the bundle's.
        counts: how many of each kind that run has; goes on.
        time: of storing, UTC in ISO 8601.
        open_gaps: the gap that each camera has now; goes on.
    """

    run_id: str
    labels: tuple[str, ...]
    counts: Counter[MessageKind]
    time: str
    open_gaps: dict[str, OpenGap]
    frames: list[Row] = field(default_factory=list)
    detections: list[Row] = field(default_factory=list)
    gaps: list[Row] = field(default_factory=list)
    gap_ends: list[Row] = field(default_factory=list)
    defects: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    inspected: list[Row] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Take what happened next."""
        if isinstance(item, FrameResult):
            self.frames.append(frame_row(self.run_id, item))
            self.detections += detection_rows(self.run_id, item, self.labels)
            self.inspected += inspected_rows(item.camera, item.files)
            self._log("frame", item.number)
        elif isinstance(item, Gap):
            self._add_gap(item)
        elif isinstance(item, StripDefect):
            number = self._log("defect")
            self.defects.append(defect_row(self.run_id, number, self.time, item, self.labels))
        else:
            self._log("notice", body=notice_body(item))

    def _add_gap(self, gap: Gap) -> None:
        lasts = gap.until is None
        if lasts and gap.camera in self.open_gaps:
            return  # the same: it has not ended since it was told
        if gap.ends and gap.camera in self.open_gaps:
            self.end_gap(gap.camera, gap)
            return
        number = self._log("gap", body=OPEN if lasts else None)
        row = gap_row(self.run_id, number, gap)
        place = len(self.events) - 1
        self.gaps.append({**row, "opened_event": place if lasts else None, "closed_event": None if lasts else place})
        if lasts:
            self.open_gaps[gap.camera] = OpenGap(self.run_id, number, row["since"])

    def end_gap(self, camera: str, end: Gap | None = None) -> None:
        """The gap that a camera has ends.

        Args:
            camera: that has one.
            end: what is known of it now; None where the camera is waited for no more.
        """
        opened = self.open_gaps.pop(camera)
        self._log("gap", opened.number, run_id=opened.run_id)
        until = moment(seconds_of(self.time) if end is None or end.until is None else end.until)
        self.gap_ends.append(
            {
                "_run_id": opened.run_id,
                "_number": opened.number,
                "until": max(until, opened.since),
                "frames": None if end is None else end.frames,
                "length_m": None if end is None else end.length_m,
                # why it began an earlier run knew, as the camera was away before this one
                "cause": end.cause if end is not None and opened.run_id == self.run_id else None,
                "closed_event": len(self.events) - 1,
            }
        )

    def write(self, connection: Connection) -> None:
        """Store it, in the connection's transaction."""
        first = newest_event(connection) + 1
        for place, event in enumerate(self.events):
            event["id"] = first + place
        for row in (*self.gaps, *self.gap_ends):
            for column in ("opened_event", "closed_event"):
                if row.get(column) is not None:
                    row[column] += first
        tables: tuple[tuple[Any, list[Row]], ...] = (
            (FrameTable, self.frames),
            (DetectionTable, self.detections),
            (GapTable, self.gaps),
            (DefectTable, self.defects),
            (EventTable, self.events),
        )
        for table, rows in tables:
            if rows:
                assert isinstance(table.__table__, Table)
                connection.execute(table.__table__.insert(), rows)
        if self.gap_ends:
            connection.execute(_GAP_ENDS, self.gap_ends)
        if self.inspected:  # a name may come again, with another picture
            connection.execute(insert(InspectedTable).prefix_with("OR REPLACE"), self.inspected)

    def _log(
        self, kind: MessageKind, number: int | None = None, body: str | None = None, run_id: str | None = None
    ) -> int:
        if number is None:
            number = self.counts[kind]
            self.counts[kind] += 1
        row = {"run_id": run_id or self.run_id, "kind": kind, "number": number, "time": self.time, "body": body}
        self.events.append(row)
        return number


_GAP = GapTable.__table__
assert isinstance(_GAP, Table)
_GAP_ENDS = (
    update(_GAP)
    .where(_GAP.c.run_id == bindparam("_run_id"), _GAP.c.number == bindparam("_number"))
    .values(
        until=bindparam("until"),
        frames=bindparam("frames"),
        length_m=bindparam("length_m"),
        cause=func.coalesce(bindparam("cause"), _GAP.c.cause),
        closed_event=bindparam("closed_event"),
    )
)
