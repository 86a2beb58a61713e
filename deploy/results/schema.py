"""The tables of results: one schema for single runs over pictures and for lines, on SQLite and on PostgreSQL alike.

Moments are UTC in ISO 8601; lengths are metres along the strip and millimetres across it; keys are made by whoever
writes, so that rows of many lines meet in one database without a clash.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Double, ForeignKey, ForeignKeyConstraint, Index, Integer, LargeBinary, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: The file's name in the folder of results.
STORE_NAME = "results.sqlite"
#: Marks the file as ours (PRAGMA application_id, "TMPR") and its tables' version (PRAGMA user_version).
APPLICATION_ID = 0x544D5052
SCHEMA_VERSION = 5

#: Whole numbers that may outgrow 32 bits; SQLite counts up only a column that is called INTEGER.
Long = BigInteger().with_variant(Integer, "sqlite")
# rows lie in their key's tree: the key is long, and would otherwise be stored twice
_KEYED = {"sqlite_with_rowid": False}


class Base(DeclarativeBase):
    """What the tables belong to; ``Base.metadata`` is all of them."""

    # what SQLAlchemy makes of a float by itself differs between its versions
    type_annotation_map: ClassVar[dict[type, Any]] = {float: Double()}


class RunTable(Base):
    """One call of ``temper deploy run``, or one start of a line's inspection.

    ``number`` counts the runs of a file from 1, and is what people are shown. ``cameras`` are their names, with commas
    in between; empty where they are not told. ``ended_by`` is ``source`` (its end), ``limit``, ``signal`` or ``error``;
    NULL while it runs and if it was killed.
    """

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    line: Mapped[str | None]
    bundle: Mapped[str]
    manifest_sha256: Mapped[str]
    variant: Mapped[str]
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    source: Mapped[str]
    cameras: Mapped[str]
    started: Mapped[str]
    finished: Mapped[str | None]
    ended_by: Mapped[str | None]


class FrameTable(Base):
    """One picture and its verdict: ``ok``, ``defect`` or ``not_inspected`` (then ``cause`` and ``detail`` say why).

    ``number`` counts the frames of a run from 0. ``picture`` (with the defects drawn) and ``full_picture`` (as the
    camera gave it) are paths below the folder of results, ``picture_bytes`` the length of both files; NULL once they
    are gone. ``latency_ms`` is from exposure to verdict. ``side`` is the strip's, ``top`` or ``bottom``; NULL where no
    line says it.
    """

    __tablename__ = "frame"
    __table_args__ = (
        Index("frame_verdict", "run_id", "verdict"),
        Index("frame_exposed", "exposed"),
        Index(
            "frame_picture",
            "time",
            "picture_bytes",
            sqlite_where=text("picture_bytes IS NOT NULL"),
            postgresql_where=text("picture_bytes IS NOT NULL"),
        ),
        _KEYED,
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Long, primary_key=True, autoincrement=False)
    camera: Mapped[str]
    source: Mapped[str]
    frame_id: Mapped[int | None] = mapped_column(Long)
    exposed: Mapped[str | None]
    time: Mapped[str]
    timestamp_ms: Mapped[float | None]
    position_m: Mapped[float | None]
    length_m: Mapped[float | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    verdict: Mapped[str]
    cause: Mapped[str | None]
    detail: Mapped[str | None]
    picture: Mapped[str | None]
    full_picture: Mapped[str | None]
    picture_bytes: Mapped[int | None] = mapped_column(Long)
    transfer_ms: Mapped[float | None]
    queue_ms: Mapped[float | None]
    decode_ms: Mapped[float | None]
    preprocess_ms: Mapped[float | None]
    host_to_device_ms: Mapped[float | None]
    compute_ms: Mapped[float | None]
    device_to_host_ms: Mapped[float | None]
    postprocess_ms: Mapped[float | None]
    end_to_end_ms: Mapped[float | None]
    latency_ms: Mapped[float | None]
    side: Mapped[str | None]


class DetectionTable(Base):
    """What was found in a frame; the box is in pixels of the picture, continuous edges from 0.

    ``number`` counts within the frame from 0. A frame that was late keeps what was found, too.
    """

    __tablename__ = "detection"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "frame_number"], ["frame.run_id", "frame.number"]),
        _KEYED,
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    frame_number: Mapped[int] = mapped_column(Long, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str]
    score: Mapped[float]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]


class GapTable(Base):
    """A stretch of time in which a camera gave nothing, or this program was not running.

    It is stored when it begins; ``until``, ``frames`` and ``length_m`` when it ends, perhaps by a later run.
    ``opened_event`` and ``closed_event`` are those of the log that told either; NULL where none did.
    """

    __tablename__ = "gap"
    __table_args__ = (Index("gap_since", "since"), _KEYED)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    camera: Mapped[str]
    since: Mapped[str]
    until: Mapped[str | None]
    frames: Mapped[int | None] = mapped_column(Long)
    position_m: Mapped[float | None]
    length_m: Mapped[float | None]
    cause: Mapped[str]
    opened_event: Mapped[int | None] = mapped_column(Long)
    closed_event: Mapped[int | None] = mapped_column(Long)


class DefectTable(Base):
    """A defect of the strip, whole, put together of what frames and cameras saw of it."""

    __tablename__ = "defect"
    __table_args__ = (_KEYED,)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Long, primary_key=True, autoincrement=False)
    time: Mapped[str] = mapped_column(index=True)
    label: Mapped[str]
    score: Mapped[float]
    severity: Mapped[str]
    position_m: Mapped[float]
    across_mm: Mapped[float]
    length_mm: Mapped[float]
    width_mm: Mapped[float]
    first_frame: Mapped[int] = mapped_column(Long)
    last_frame: Mapped[int] = mapped_column(Long)
    cut: Mapped[bool]
    repeat_m: Mapped[float | None]
    side: Mapped[str | None]


class CoilTable(Base):
    """A coil: a name and an interval of time; ``position_m`` is where on the line's count it began.

    ``started_event`` and ``ended_event`` are the newest events that were stored then: what belongs to it is told by
    the order in which things were stored, which no setting of the clock upsets. They say, too, to whom its changes
    are news.
    """

    __tablename__ = "coil"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    line: Mapped[str | None]
    started: Mapped[str]
    ended: Mapped[str | None] = mapped_column(index=True)
    position_m: Mapped[float | None]
    started_event: Mapped[int | None] = mapped_column(Long, index=True)
    ended_event: Mapped[int | None] = mapped_column(Long, index=True)


class EventTable(Base):
    """The log that everything which leaves the device is made of, in order; ids grow and are never used again.

    ``number`` is that of the row in the table that ``kind`` names; ``body`` has the words of a notice, which has no
    table, and is ``open`` where a gap is told that lasts.
    """

    __tablename__ = "event"
    __table_args__ = (Index("event_time", "time"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Long, primary_key=True)
    run_id: Mapped[str]
    kind: Mapped[str]
    number: Mapped[int] = mapped_column(Long)
    time: Mapped[str]
    body: Mapped[str | None]


class InspectedTable(Base):
    """A file of a watched folder that has its verdict, by what tells it from another one of its name.

    It is stored together with the verdict, and forgotten once the file is gone. ``name`` is that in the folder, as the
    bytes that the file system has; ``modified_ns`` is its time of change, nanoseconds since 1970.
    """

    __tablename__ = "inspected"
    __table_args__ = (_KEYED,)

    camera: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    size: Mapped[int] = mapped_column(Long)
    modified_ns: Mapped[int] = mapped_column(Long)


class CursorTable(Base):
    """Up to which event a sink has delivered."""

    __tablename__ = "cursor"

    sink: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(Long)
