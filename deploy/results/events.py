"""The event log of a store as those see it who tell it on: what each of them has not told yet, in order."""

from __future__ import annotations

import contextlib
import json
import os
import select as polling
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection
from sqlalchemy.orm import DeclarativeBase

from ...core.database import Database
from .message import OPEN, Message, MessageKind
from .schema import CursorTable, DefectTable, DetectionTable, EventTable, FrameTable, GapTable, RunTable
from .store import KIND

#: How often a log looks for something new where nobody wakes it.
POLL_SECONDS = 0.2
#: What a message does not carry: it stands for itself in another form, or is of use on the device alone.
_KEPT_HERE = frozenset(("run_id", "full_picture", "picture_bytes", "opened_event", "closed_event"))
_Key = tuple[str, int]
_Payload = dict[str, Any]


class EventLog:
    """The log of one file; any number of sinks and threads may share it.

    A cursor is not forced onto the disk: a power cut may set it back, so that messages are delivered again, which their
    keys tell. The messages themselves are durable before anyone sees them.

    Args:
        path: the SQLite file of the store; it is made if it is missing.
        wake: file descriptor to read from, at the other end of which the store writes; None looks again and again.

    Raises:
        TemperError: if the file is no store of this version, is locked, or cannot be written.
    """

    def __init__(self, path: Path, wake: int | None = None) -> None:
        self._database = Database(path, KIND, durable=False)
        self._wake = wake
        self._changed = threading.Condition()
        self._generation = 0
        self._watched = False
        self._seen = threading.local()
        if wake is not None:
            os.set_blocking(wake, False)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the file descriptor stays its owner's."""
        self._database.close()

    def pending(self, sink: str, limit: int) -> list[Message]:
        """The oldest messages that the sink has not delivered, in order; none if there is nothing new.

        Args:
            sink: name of its cursor; a new one begins with the oldest event there is.
            limit: most messages.

        Raises:
            TemperError: if the file cannot be read.
        """
        with self._changed:  # before the file is read: what is stored from then on ends the next wait
            self._seen.generation = self._generation
        told: list[Message] = []
        after: Any = _cursor(sink)
        with self._database.reading() as connection:
            self._seen.newest = _newest(connection)
            while not told:
                query = select(EventTable.__table__).where(EventTable.id > after).order_by(EventTable.id).limit(limit)
                events = connection.execute(query).all()
                if not events:
                    break
                told = _messages(connection, events)
                after = events[-1].id  # further, if retention has taken the rows of all of these away
        return told

    def delivered(self, sink: str, event_id: int) -> None:
        """Note that the sink has delivered everything up to and with ``event_id``; a cursor never goes back.

        Raises:
            TemperError: if the file cannot be written.
        """
        statement = insert(CursorTable).values(sink=sink, event_id=event_id)
        further = func.max(CursorTable.event_id, statement.excluded.event_id)
        with self._database.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["sink"], set_={"event_id": further}))

    def behind(self, sink: str) -> int:
        """How many messages the sink has not delivered."""
        query = select(func.count()).select_from(EventTable).where(EventTable.id > _cursor(sink))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def run(self, run_id: str) -> dict[str, Any] | None:
        """The row of a run, for sinks that keep whole tables; None if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(RunTable.__table__).where(RunTable.id == run_id)).mappings().first()
        return None if row is None else dict(row)

    def wait(self, seconds: float) -> None:
        """Return as soon as something is stored that this thread's last :meth:`pending` did not see, or in time."""
        until = time.monotonic() + seconds
        if self._wake is None:
            self._look_for_news(until)
            return
        seen = getattr(self._seen, "generation", 0)
        with self._changed:
            while self._generation == seen and (left := until - time.monotonic()) > 0:
                if self._watched:
                    self._changed.wait(left)
                else:
                    self._watch(self._wake, left)

    def _watch(self, wake: int, seconds: float) -> None:
        """Be the one thread that reads the file descriptor, for all that wait; called and left with the lock held."""
        self._watched = True
        self._changed.release()
        try:
            woken = bool(_readable(wake, seconds))
        finally:
            self._changed.acquire()
            self._watched = False
            self._changed.notify_all()
        if not woken:
            return
        with contextlib.suppress(BlockingIOError):
            if not os.read(wake, 4096):  # the writer has gone: from now on there is nothing that wakes
                self._wake = None
        self._generation += 1

    def _look_for_news(self, until: float) -> None:
        seen = getattr(self._seen, "newest", 0)
        while (left := until - time.monotonic()) > 0:
            with self._database.reading() as connection:
                if _newest(connection) > seen:
                    return
            time.sleep(min(left, POLL_SECONDS))


def _readable(descriptor: int, seconds: float) -> bool:
    poll = polling.poll()  # select() knows no descriptor above 1023
    poll.register(descriptor, polling.POLLIN)
    return bool(poll.poll(1000 * seconds))


def _cursor(sink: str) -> Any:
    """The sink's place in the log, inside of another query."""
    place = select(CursorTable.event_id).where(CursorTable.sink == sink).scalar_subquery()
    return func.coalesce(place, 0)


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.max(EventTable.id))).scalar_one() or 0)


def _messages(connection: Connection, events: Sequence[Any]) -> list[Message]:
    payloads = _payloads(connection, events)
    return [
        _message(event, payload)
        for event in events
        if (payload := payloads.get((event.kind, event.run_id, event.number))) is not None
    ]


def _message(event: Any, payload: _Payload) -> Message:
    """What is told of an event; of a gap that lasted then what was known then, though it may have ended since."""
    key = f"{event.run_id}:{event.kind}:{event.number}"
    if event.kind == "gap":
        unknown = dict.fromkeys(("until", "frames", "length_m"))
        payload = payload | (unknown | {"state": OPEN} if event.body == OPEN else {"state": "closed"})
        key += f":{OPEN}" if event.body == OPEN else ""
    return Message(event.id, key, event.kind, payload)


def _payloads(connection: Connection, events: Sequence[Any]) -> dict[tuple[MessageKind, str, int], _Payload]:
    """What is to be told of each event, by kind, run and number."""
    found: dict[tuple[MessageKind, str, int], _Payload] = {}
    makers: dict[MessageKind, Callable[[Connection, list[Any]], dict[_Key, _Payload]]] = {
        "frame": _frames,
        "gap": lambda connection, wanted: _rows(connection, GapTable, wanted),
        "defect": lambda connection, wanted: _rows(connection, DefectTable, wanted),
        "notice": _notices,
    }
    for kind, make in makers.items():
        wanted = [event for event in events if event.kind == kind]
        if wanted:
            found |= {(kind, *key): payload for key, payload in make(connection, wanted).items()}
    return found


def _frames(connection: Connection, events: list[Any]) -> dict[_Key, _Payload]:
    frames = _rows(connection, FrameTable, events)
    for frame in frames.values():
        stages = {name[:-3]: frame.pop(name) for name in _STAGES}
        frame["stages_ms"] = {stage: duration for stage, duration in stages.items() if duration is not None}
        frame["detections"] = []
        del frame["length_m"]
    query = select(DetectionTable.__table__).where(_among(DetectionTable, "frame_number", events))
    for row in connection.execute(query.order_by(*DetectionTable.__table__.primary_key)).mappings():
        detection = {name: row[name] for name in ("label", "score", "x1", "y1", "x2", "y2")}
        frames[row["run_id"], row["frame_number"]]["detections"].append(detection)
    return frames


def _rows(connection: Connection, table: type[DeclarativeBase], events: list[Any]) -> dict[_Key, _Payload]:
    found = {}
    for row in connection.execute(select(table.__table__).where(_among(table, "number", events))).mappings():
        plain = {"run": row["run_id"]} | {name: value for name, value in row.items() if name not in _KEPT_HERE}
        found[row["run_id"], row["number"]] = plain
    return found


def _notices(_: Connection, events: list[Any]) -> dict[_Key, _Payload]:
    return {
        (event.run_id, event.number): {"run": event.run_id, "number": event.number, "time": event.time}
        | cast("dict[str, Any]", json.loads(event.body))
        for event in events
    }


def _among(table: type[DeclarativeBase], column: str, events: list[Any]) -> Any:
    """A condition that takes few rows more than those of the events: they lie close together in each run."""
    spans: dict[str, tuple[int, int]] = {}
    for event in events:
        low, high = spans.get(event.run_id, (event.number, event.number))
        spans[event.run_id] = min(low, event.number), max(high, event.number)
    columns = table.__table__.c
    return or_(*(and_(columns.run_id == run_id, columns[column].between(*span)) for run_id, span in spans.items()))


_STAGES = tuple(
    column.name
    for column in FrameTable.__table__.columns
    if column.name.endswith("_ms") and column.name not in ("timestamp_ms", "latency_ms")
)
