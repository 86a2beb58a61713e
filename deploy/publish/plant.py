"""The rows of the store, copied into the plant's PostgreSQL: many lines in one database, by the same schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, create_engine, make_url, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ...core.database import Database
from ...core.errors import MissingDependencyError, TemperError, UsageError, install_hint
from ...core.passwords import ENCODED
from ..results.message import Message, MessageKind, last_of
from ..results.migrate import upgrade_database
from ..results.schema import Base, CoilTable, CursorTable, DefectTable, DetectionTable, FrameTable, GapTable, RunTable
from ..results.store import KIND
from .settings import PlantSettings
from .sink import SinkAway, SinkRefused

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

Row = dict[str, Any]
BATCH = 500
#: PostgreSQL takes at most 65,535 values in one statement.
MOST_VALUES = 60_000
#: The tables that a message speaks of, and the column with its number; a table stands after those that it refers to.
TABLES: dict[MessageKind, tuple[tuple[type[Base], str], ...]] = {
    "frame": ((FrameTable, "number"), (DetectionTable, "frame_number")),
    "gap": ((GapTable, "number"),),
    "defect": ((DefectTable, "number"),),
    "notice": (),
}
#: What a server that is there says while waiting can help.
PASSING = ("starting up", "shutting down", "too many", "remaining connection slots", "recovery mode")


class PlantSink:
    """Copies rows by their primary key, which no two lines share; a row that is there already is written over.

    A batch is one transaction. The tables are made, or brought up to date, when the database is first reached.

    Args:
        settings: of the plant's database.
        line: name of the line.
        store: the SQLite file that the messages speak of.

    Raises:
        MissingDependencyError: if psycopg is not installed.
        UsageError: if the URL is none of PostgreSQL.
    """

    name = "plant"
    batch = BATCH
    # one transaction for what came meanwhile, not one for each frame
    linger = 0.2
    undeliverable = 0
    complaint: str | None = None

    def __init__(self, settings: PlantSettings, line: str, store: Path) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                "The plant's database needs psycopg, which is not installed. " + install_hint("plant")
            ) from error
        self._settings, self._line, self._path = settings, line, store
        self._url = _postgres_url(settings.url)
        shown = self._url.set(drivername="postgresql", username=None, password=None, query={})
        self.target = f"The plant's database {shown.render_as_string()}"
        # connecting, the lock of an upgrade, and a transaction of several statements
        self.patience = 6 * settings.timeout_seconds
        self._store: Database | None = None
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        # runs that may change still; None: not known which, so all of them are copied
        self._unfinished: set[str] | None = None
        self._delivered = 0

    def open(self) -> None:
        """Connect, and make the tables or bring them up to date.

        Raises:
            SinkAway: if the database is not there.
            SinkRefused: if it does not let this line in.
            TemperError: if its tables are those of a newer Temper, or the store cannot be read.
            UsageError: if the password cannot be read.
        """
        url, seconds = self._url, self._settings.timeout_seconds
        if (password := self._settings.password.read("The password of the plant's database")) is not None:
            url = url.set(password=password)
        self._store = Database(self._path, KIND, read_only=True)
        self._unfinished = None
        with self._store.reading() as reading:
            query = select(CursorTable.event_id).where(CursorTable.sink == self.name)
            self._delivered = reading.execute(query).scalar() or 0
        milliseconds = int(1000 * seconds)
        arguments = {
            "connect_timeout": max(2, round(seconds)),
            "application_name": f"temper {self._line}",
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            # a server whose machine is gone sends nothing, not even that
            "tcp_user_timeout": milliseconds,
        }
        self._engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
        try:
            self._connection = self._engine.connect()
            with self._connection.begin():
                upgrade_database(self._connection)
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def check(self) -> None:
        """Nothing is known between batches."""

    def send(self, messages: Sequence[Message]) -> int:
        """Copy the rows that messages speak of, and what changed in runs and coils.

        Returns:
            The ``event_id`` of the last.

        Raises:
            SinkAway: if the database is gone.
            TemperError: if it refuses the rows, or the store cannot be read.
        """
        if self._connection is None or self._store is None:
            raise SinkAway(f"{self.target} is not connected.")
        with self._store.reading() as reading:
            runs = _runs(reading, messages, self._unfinished)
            coils = changed_coils(reading, self._delivered)
            named = [(table, rows) for kind in TABLES for table, rows in _rows_of(reading, kind, messages)]
        tables: list[tuple[type[Base], list[Row]]] = [(RunTable, runs), (CoilTable, coils), *named]
        try:
            with self._connection.begin():
                for table, rows in tables:
                    _upsert(self._connection, table, rows)
        except SQLAlchemyError as error:
            raise self._explained(error) from error
        self._unfinished = _may_change(runs)
        self._delivered = last_of(messages)
        return self._delivered

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.invalidate()  # nothing is under way, and a connection that hangs is not waited for
            self._connection.close()
        if self._engine is not None:
            self._engine.dispose()
        if self._store is not None:
            self._store.close()
        self._connection = self._engine = self._store = None

    def _explained(self, error: SQLAlchemyError) -> TemperError:
        """What the database or its driver says, as one sentence of the right kind."""
        cause = getattr(error, "orig", None) or error
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        said = lines[0] if lines else type(cause).__name__
        # the server's own word, where a connection was refused, comes after the driver's
        fatal = next((line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line), None)
        state = getattr(cause, "sqlstate", None)
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        # classes of PostgreSQL's codes: 08 connection, 40 rollback, 53 resources, 55 locks, 57 intervention
        passing = lost or (state is None and fatal is None) or (state or "")[:2] in ("08", "40", "53", "55", "57")
        if passing or (fatal is not None and any(word in fatal for word in PASSING)):
            return SinkAway(f"{self.target} cannot be reached: {(fatal or said).rstrip('.')}.")
        return SinkRefused(
            f"{self.target} refuses this line: {(fatal or said).rstrip('.')}. Mend the url, the password or the rights."
        )


def _postgres_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    kinds = ("postgresql", "postgres", "postgresql+psycopg")
    # an @ in the host is one of a password that was cut in two: messages would show its second half
    if url is None or url.drivername not in kinds or not url.database or "@" in (url.host or ""):
        raise UsageError(
            "The url of the plant's database is none of PostgreSQL. Give one such as postgresql://user@host/database; "
            f"in a password {ENCODED}."
        )
    return url.set(drivername="postgresql+psycopg")


def _runs(reading: Connection, messages: Sequence[Message], unfinished: set[str] | None) -> list[Row]:
    """The runs that messages speak of, and those that may have ended since they were copied; all if it is not known."""
    query = select(RunTable.__table__)
    if unfinished is not None:
        query = query.where(RunTable.id.in_({message.payload["run"] for message in messages} | unfinished))
    return [dict(row) for row in reading.execute(query).mappings()]


def _may_change(runs: Sequence[Row]) -> set[str]:
    """Those that have not ended; of a line's only the last one may still, as others that have no end were killed."""
    last = max((row["number"] for row in runs if row["line"] is not None), default=None)
    return {row["id"] for row in runs if row["finished"] is None and (row["line"] is None or row["number"] == last)}


def changed_coils(reading: Connection, delivered: int) -> list[Row]:
    """The coils that began or ended since an event was delivered.

    What changed before that event was stored went along with it: so a coil whose newest event then was an earlier one
    is known already.
    """
    since = or_(CoilTable.started_event >= delivered, CoilTable.ended_event >= delivered)
    return [dict(row) for row in reading.execute(select(CoilTable.__table__).where(since)).mappings()]


def _rows_of(
    reading: Connection, kind: MessageKind, messages: Sequence[Message]
) -> Iterator[tuple[type[Base], list[Row]]]:
    """The rows of the store that messages of a kind speak of, by table."""
    numbers: dict[str, list[int]] = {}
    for message in messages:
        if message.kind == kind:
            numbers.setdefault(message.payload["run"], []).append(message.payload["number"])
    for table, column in TABLES[kind]:
        columns = table.__table__.c
        for run, wanted in numbers.items():
            query = select(table.__table__).where(columns.run_id == run, columns[column].in_(wanted))
            yield table, [dict(row) for row in reading.execute(query).mappings()]


def _upsert(connection: Connection, table: type[Base], rows: Sequence[Row]) -> None:
    """Write rows; those that are there already are written over."""
    if not rows:
        return
    target = table.__table__
    assert isinstance(target, Table)
    keys = [column.name for column in target.primary_key]
    at_once = MOST_VALUES // len(rows[0])
    for start in range(0, len(rows), at_once):
        statement = insert(target).values(list(rows[start : start + at_once]))
        others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others))
