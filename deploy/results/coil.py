"""Coils: a name and an interval of time, within which lies what was seen of the strip."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.engine import Connection

from ...core.database import Database
from ...core.errors import UsageError, nearest
from .batch import newest_event
from .records import moment, seconds_of
from .schema import STORE_NAME, CoilTable, FrameTable, RunTable
from .store import KIND

#: Among so many of the last frames one has a position, if they have any.
_PLACED_WITHIN = 1000


@dataclass(frozen=True)
class Coil:
    """A coil.

    Attributes:
        id: the same everywhere, a UUID.
        name: what people know it by.
        line: name of the line; None if the store has none.
        started: UTC in ISO 8601.
        ended: likewise; None while it is on the line.
        position_m: where on the line's count it began; None if not known.
        started_event: the newest event that was stored when it began; 0 if there was none.
        ended_event: likewise of its end; None while it is on the line.
    """

    id: str
    name: str
    line: str | None
    started: str
    ended: str | None
    position_m: float | None
    started_event: int = 0
    ended_event: int | None = None


class Coils:
    """The coils of a folder of results; use it as a context manager.

    Args:
        folder: that holds the store.

    Raises:
        UsageError: if there is no store in it.
        TemperError: if it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / STORE_NAME
        if not path.is_file():
            raise UsageError(
                f"There is no {STORE_NAME} in {folder}. Give the folder that 'temper deploy run' writes to, with "
                "--results."
            )
        self.database = Database(path, KIND)

    def __enter__(self) -> Coils:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def start(self, name: str, now: float) -> tuple[Coil, Coil | None]:
        """Begin a coil; one that is on the line ends with it.

        Args:
            name: what people know it by.
            now: seconds of UTC since 1970.

        Returns:
            The coil, and the one that it ended; None if there was none.

        Raises:
            UsageError: if there is a coil of that name.
        """
        with self.database.transaction() as connection:
            if connection.execute(select(CoilTable.id).where(CoilTable.name == name)).first() is not None:
                raise UsageError(f"There is a coil '{name}' already. Choose another name.")
            before = _open_coil(connection)
            if before is not None:
                _end(connection, before, now)
            line = connection.execute(select(RunTable.line).order_by(RunTable.number.desc()).limit(1)).scalar()
            place = (_position(connection), newest_event(connection))
            coil = Coil(str(uuid.uuid4()), name, line, moment(now), None, *place)
            connection.execute(insert(CoilTable), [vars(coil)])
        return coil, before

    def end(self, now: float) -> Coil:
        """End the coil that is on the line.

        Raises:
            UsageError: if there is none.
        """
        with self.database.transaction() as connection:
            coil = _open_coil(connection)
            if coil is None:
                raise UsageError("There is no coil on the line; 'temper deploy coil list' shows those that were.")
            return _end(connection, coil, now)

    def all(self) -> list[Coil]:
        """The coils, the oldest first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(CoilTable.__table__).order_by(CoilTable.started)).all()
        return [_coil(row) for row in rows]

    def find(self, name: str) -> Coil:
        """A coil by its name.

        Raises:
            UsageError: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(select(CoilTable.__table__).where(CoilTable.name == name)).first()
            if row is None:
                there = connection.execute(select(CoilTable.name)).scalars().all()
                raise UsageError(f"There is no coil '{name}'.{nearest(name, there)}")
        return _coil(row)


def _coil(row: Row[tuple[object, ...]]) -> Coil:
    return Coil(**row._mapping)


def _open_coil(connection: Connection) -> Coil | None:
    query = select(CoilTable.__table__).where(CoilTable.ended.is_(None)).order_by(CoilTable.started.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else _coil(row)


def _end(connection: Connection, coil: Coil, now: float) -> Coil:
    ended = moment(max(now, seconds_of(coil.started)))  # the clock may have been set back
    changes = {"ended": ended, "ended_event": newest_event(connection)}
    connection.execute(update(CoilTable).where(CoilTable.id == coil.id).values(**changes))
    return Coil(**{**vars(coil), **changes})


def _position(connection: Connection) -> float | None:
    """Where the strip is: by the frame that was stored last, as the clock may have been set since others were."""
    for run_id in connection.execute(select(RunTable.id).order_by(RunTable.number.desc())).scalars():
        of_run = FrameTable.run_id == run_id
        newest = connection.execute(select(func.max(FrameTable.number)).where(of_run)).scalar()
        if newest is not None:
            placed = of_run & (FrameTable.number > newest - _PLACED_WITHIN) & FrameTable.position_m.is_not(None)
            query = select(FrameTable.position_m).where(placed).order_by(FrameTable.number.desc()).limit(1)
            return connection.execute(query).scalar()
    return None
