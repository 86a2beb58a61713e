"""What is kept, and for how long: pictures within a budget and some days, rows for longer, room for verdicts always."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.engine import Connection

from ...core.database import Database
from ...core.files import PARTIAL_SUFFIX
from .records import moment, seconds_of
from .schema import CoilTable, CursorTable, DefectTable, DetectionTable, EventTable, FrameTable, GapTable, RunTable
from .store import KIND

#: Pictures or rows that are taken away at once. Whoever stores verdicts waits for as long as that takes.
SLICE = 250
#: Where the budget is used up to this share, the oldest pictures go, so that there is room before the next one comes.
FULL_SHARE = 0.95
#: How often the free space of the disk is asked for, in seconds.
FREE_SECONDS = 1.0
_GIGABYTE = 10**9
_PICTURE_COLUMNS = ("run_id", "number", "time", "picture", "full_picture", "picture_bytes")
_DAY = 86_400.0
#: A clock that is further ahead of the newest frame when a store is opened, or runs so many times faster than time,
#: is not believed: one that is set wrong for an hour must not cost a year of verdicts.
_AWAY_DAYS = 7.0
_CATCH_UP = 24.0


@dataclass(frozen=True)
class Limits:
    """How much is kept.

    Attributes:
        gigabytes: of pictures (10^9 bytes).
        days: of pictures.
        verdict_days: of verdicts, gaps, defects, coils and events.
        free_gigabytes: of the disk that pictures leave free for verdicts.
    """

    gigabytes: float = 20.0
    days: float = 30.0
    verdict_days: float = 365.0
    free_gigabytes: float = 1.0


class Retention:
    """Keeps the pictures of a store within their limits, the oldest going first; use it as a context manager.

    Pictures are counted as they are written (:meth:`room_for`) and taken away a slice at a time (:meth:`tidy`). Where
    that cannot keep up, pictures are left out: there are never more than the budget.

    Args:
        path: the SQLite file of the store.
        folder: of the results, which holds the pictures.
        limits: how much is kept.
        clock: seconds of UTC since 1970.
        free_bytes: what is free on the disk of a folder.
        coils_to: names of sinks that coils are copied by: until each has, a coil stays.

    Raises:
        TemperError: if the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        coils_to: Sequence[str] = (),
    ) -> None:
        self._database = Database(path, KIND, durable=False)
        self._folder, self._limits, self._clock, self._free_bytes = folder, limits, clock, free_bytes
        self._coils_to = coils_to
        self._budget = int(limits.gigabytes * _GIGABYTE)
        self._counting = threading.Lock()
        self._asked = float("-inf")
        self._enough_free = True
        self._opened = time.monotonic()
        with self._database.reading() as connection:
            newest = connection.execute(select(func.max(FrameTable.time))).scalar_one()
            self._believed = clock() if newest is None else min(clock(), seconds_of(newest) + _AWAY_DAYS * _DAY)
            self._used = int(
                connection.execute(
                    select(func.sum(FrameTable.picture_bytes)).where(FrameTable.picture_bytes.is_not(None))
                ).scalar_one()
                or 0
            )

    def __enter__(self) -> Retention:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def used_bytes(self) -> int:
        """What the pictures take."""
        return self._used

    def room_for(self, length: int) -> bool:
        """Whether a picture of ``length`` bytes may be written now; if so it counts as written. For any thread."""
        with self._counting:
            if time.monotonic() - self._asked >= FREE_SECONDS:
                self._asked = time.monotonic()
                free = self._free_bytes(self._folder)
                self._enough_free = free - length >= self._limits.free_gigabytes * _GIGABYTE
            if not self._enough_free or self._used + length > self._budget:
                return False
            self._used += length
            return True

    def remove_strays(self) -> int:
        """Remove pictures of frames that were never stored: of runs that were killed. To be called before a run begins.

        A line's runs that never ended were killed, as one service works in a folder. Runs over files may be at work
        beside it, so theirs are looked at after a day.

        Returns:
            How many there were.
        """
        last = func.max(FrameTable.number)
        query = (
            select(RunTable.number, last)
            .outerjoin(FrameTable, FrameTable.run_id == RunTable.id)
            .where(RunTable.finished.is_(None))
            .where(or_(RunTable.line.is_not(None), RunTable.started < moment(self._clock() - _DAY)))
            .group_by(RunTable.number)
        )
        with self._database.reading() as connection:
            killed = connection.execute(query).all()
        removed = 0
        for run, newest in killed:
            for path in (self._folder / "pictures" / f"run-{run}").glob("*"):
                number = path.name.partition("-")[0]
                stored = number.isdecimal() and newest is not None and int(number) <= newest
                if not stored or path.name.endswith(PARTIAL_SUFFIX):
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def tidy(self) -> bool:
        """Take a slice of what is too much or too old away; a few milliseconds.

        Returns:
            Whether there may be more.

        Raises:
            TemperError: if the file cannot be written.
        """
        more_pictures = self._tidy_pictures()
        more_rows = self._tidy_rows(self._days_ago(self._limits.verdict_days))
        return more_pictures or more_rows

    def _now(self) -> float:
        """The time of day, as far as it can be believed: it may go back at once, and forward only so fast."""
        return min(self._clock(), self._believed + _CATCH_UP * (time.monotonic() - self._opened))

    def _days_ago(self, days: float) -> str:
        """So many days before now; of more days than there have been since 1970 that is when it began."""
        return moment(max(0.0, self._now() - days * _DAY))

    def _tidy_pictures(self) -> bool:
        """Files first, then their names: what is cut off in between is done again."""
        oldest = self._days_ago(self._limits.days)
        surplus = self._used - int(self._budget * FULL_SHARE)
        query = (
            select(*(FrameTable.__table__.c[name] for name in _PICTURE_COLUMNS))
            .where(FrameTable.picture_bytes.is_not(None))
            .order_by(FrameTable.time)
            .limit(SLICE)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        gone: list[Any] = []
        freed = 0
        for row in rows:
            if freed >= surplus and row.time >= oldest:
                break
            self._unlink(row.picture, row.full_picture)
            freed += row.picture_bytes
            gone.append(row)
        if gone:
            with self._database.transaction() as connection:
                self._forget(connection, gone)
            with self._counting:
                self._used -= freed
        return bool(rows) and len(gone) == len(rows)

    def _forget(self, connection: Connection, rows: list[Any]) -> None:
        by_run: dict[str, list[int]] = {}
        for row in rows:
            by_run.setdefault(row.run_id, []).append(row.number)
        for run_id, numbers in by_run.items():
            chosen = update(FrameTable).where(FrameTable.run_id == run_id, FrameTable.number.in_(numbers))
            connection.execute(chosen.values(picture=None, full_picture=None, picture_bytes=None))

    def _unlink(self, *names: str | None) -> None:
        for name in names:
            if name is not None:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    (self._folder / name).unlink()

    def _tidy_rows(self, oldest: str) -> bool:
        with self._database.transaction() as connection:
            more, freed = self._delete_rows(connection, oldest)
        with self._counting:  # after it: what could not be deleted takes its room still
            self._used -= freed
        return more

    def _delete_rows(self, connection: Connection, oldest: str) -> tuple[bool, int]:
        """Whether there may be more to delete, and the bytes of the pictures that went with the rows."""
        more = False
        for table, column in ((EventTable, "time"), (GapTable, "since"), (DefectTable, "time")):
            more |= _delete_older(connection, table, column, oldest)
        more |= _delete_coils(connection, oldest, self._coils_to)
        for run_id, finished in connection.execute(
            select(RunTable.id, RunTable.finished).where(RunTable.started < oldest).order_by(RunTable.number)
        ).all():
            frames = connection.execute(
                select(*(FrameTable.__table__.c[name] for name in _PICTURE_COLUMNS))
                .where(FrameTable.run_id == run_id)
                .order_by(FrameTable.number)
                .limit(SLICE)
            ).all()
            old = list(takewhile(lambda row: row.time < oldest, frames))
            if old:
                return True, self._delete_frames(connection, run_id, old)
            if not frames and _is_empty(connection, run_id) and finished is not None:
                connection.execute(delete(RunTable).where(RunTable.id == run_id))
        return more, 0

    def _delete_frames(self, connection: Connection, run_id: str, old: list[Any]) -> int:
        last = old[-1].number
        for row in old:
            self._unlink(row.picture, row.full_picture)
        found = and_(DetectionTable.run_id == run_id, DetectionTable.frame_number <= last)
        connection.execute(delete(DetectionTable).where(found))
        connection.execute(delete(FrameTable).where(FrameTable.run_id == run_id, FrameTable.number <= last))
        return sum(row.picture_bytes or 0 for row in old)


def _delete_older(connection: Connection, table: Any, column: str, oldest: str) -> bool:
    """Delete a slice of the rows from before a moment; whether there may be more."""
    columns = table.__table__.c
    keys = list(table.__table__.primary_key)
    when = columns[column]
    query = select(*keys).where(when < oldest).order_by(when).limit(SLICE)
    if table is GapTable:  # one that lasts, or has ended only now, is not old
        query = query.where(columns.until < oldest)
    rows = connection.execute(query).all()
    if rows:
        same = (key == bindparam(f"_{key.name}") for key in keys)
        names = [f"_{key.name}" for key in keys]
        connection.execute(delete(table).where(*same), [dict(zip(names, row, strict=True)) for row in rows])
    return len(rows) == SLICE


def _delete_coils(connection: Connection, oldest: str, sinks: Sequence[str]) -> bool:
    """Delete a slice of the coils that ended before a moment, of which nothing is left; whether there may be more.

    A sink has a coil as it is once it has delivered a later event.
    """
    coil, event, frame = CoilTable, EventTable, FrameTable
    query = select(coil.id).where(
        coil.ended < oldest,
        ~exists().where(event.id > coil.started_event, event.id <= coil.ended_event),
        ~exists().where(frame.exposed >= coil.started, frame.exposed < coil.ended),
    )
    for sink in sinks:
        reached = select(CursorTable.event_id).where(CursorTable.sink == sink).scalar_subquery()
        query = query.where(coil.ended_event < func.coalesce(reached, 0))
    gone = connection.execute(query.order_by(coil.ended).limit(SLICE)).scalars().all()
    if gone:
        connection.execute(delete(coil).where(coil.id.in_(gone)))
    return len(gone) == SLICE


def _is_empty(connection: Connection, run_id: str) -> bool:
    return not any(
        connection.execute(select(table.number).where(table.run_id == run_id).limit(1)).first()
        for table in (GapTable, DefectTable)
    )
