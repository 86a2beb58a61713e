"""SQLite files of our own: marked, versioned, safe against a power cut, and every trouble with them one sentence."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from .errors import TemperError
from .files import explain_os_errors

#: How long a writer waits for another one on the same file.
BUSY_SECONDS = 5.0
#: Marks a connection whose transaction only reads.
_READING = "temper_reading"


@dataclass(frozen=True)
class DatabaseKind:
    """What a file is for.

    Attributes:
        metadata: its tables.
        application_id: marks the file as of this kind (PRAGMA application_id).
        version: of its tables (PRAGMA user_version); a file of a newer version is refused.
        holds: what is in it, for messages.
        instead: what to choose where the file cannot be used, for messages.
        upgrade: brings a file of an older version up to date, in the transaction of the connection it is given, and
            returns what to do once that is stored, or raises a :class:`TemperError`; None refuses older files, too.
    """

    metadata: MetaData
    application_id: int
    version: int
    holds: str
    instead: str
    upgrade: Callable[[Connection, int], Callable[[], None]] | None = None


class Database:
    """A file opened for reading and writing, or for reading alone; use it as a context manager.

    Args:
        path: the file; it is made if it is missing, unless it is only read.
        kind: what it is for.
        read_only: open it without the right to write, neither to the file nor to its folder.
        durable: whether each transaction survives a power cut once it is over. If not, the last ones may be undone by
            one, whole; what durable transactions of others stored before stays.

    Raises:
        TemperError: if the file is not of this kind and version, is locked, or cannot be written.
    """

    def __init__(self, path: Path, kind: DatabaseKind, read_only: bool = False, durable: bool = True) -> None:
        self.path, self._kind = path, kind
        with explain_os_errors(path):
            try:
                if not read_only:
                    path.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise TemperError(f"{error.filename} is not a folder. Choose {kind.instead}.") from error
        self.engine = _open_reader(path) if read_only else _open_engine(path, durable)
        try:
            with self._explained():
                _prepare(self.engine, path, kind, read_only)
        except BaseException:
            self.engine.dispose()
            raise

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection to the file."""
        self.engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A block that is stored whole or not at all; it survives a power cut once the block is left.

        Raises:
            TemperError: if it cannot be stored.
        """
        with self._explained(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A block that sees the file as it is when the block first reads; nobody who writes waits for it.

        Raises:
            TemperError: if it cannot be read.
        """
        with (
            self._explained(),
            self.engine.connect().execution_options(**{_READING: True}) as connection,
            connection.begin(),
        ):
            yield connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise TemperError(_explain(str(error.orig), self.path, self._kind)) from error
        except sqlite3.Error as error:
            raise TemperError(_explain(str(error), self.path, self._kind)) from error


def _open_engine(path: Path, durable: bool) -> Engine:
    # autocommit off in the driver, BEGIN sent by us: otherwise Python's sqlite3 decides where transactions begin
    arguments = {"timeout": BUSY_SECONDS, "isolation_level": None}
    engine = create_engine(URL.create("sqlite", database=str(path.absolute())), connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _open_reader(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        address = f"{path.absolute().as_uri()}?mode=ro"
        # a file with a write-ahead log needs two files beside it, which nobody makes in a folder without the right to;
        # where there is no log, nobody writes and the file is all there is
        if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            address += "&immutable=1"
        return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _prepare(engine: Engine, path: Path, kind: DatabaseKind, read_only: bool) -> None:
    """Make the tables in a new file, refuse what is not ours untouched, and switch on the write-ahead log."""
    once_stored: Callable[[], None] | None = None
    with engine.begin() as connection:
        application, version, tables = (
            int(connection.execute(text(query)).scalar_one())
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if tables == 0 and not read_only:
            kind.metadata.create_all(connection)
            connection.execute(text(f"PRAGMA application_id = {kind.application_id}"))
            connection.execute(text(f"PRAGMA user_version = {kind.version}"))
        elif application != kind.application_id:
            raise TemperError(f"{path} is a database of another program. Choose {kind.instead}.")
        elif version < kind.version and kind.upgrade is not None and not read_only:
            once_stored = kind.upgrade(connection, version)
            connection.execute(text(f"PRAGMA user_version = {kind.version}"))
        elif version != kind.version:
            raise TemperError(
                f"{path} holds {kind.holds} of version {version}; this Temper writes {kind.version}. "
                f"Choose {kind.instead}."
            )
    if once_stored is not None:
        once_stored()
    if read_only:
        return
    # outside of a transaction, where SQLAlchemy's connections never are; kept in the file from then on
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        raw.close()


def _explain(said: str, path: Path, kind: DatabaseKind) -> str:
    """One sentence for what SQLite says; what it says is kept where no case fits."""
    if "not a database" in said:
        return f"{path} is there, but is no SQLite file. Move it away, or choose {kind.instead}."
    if "malformed" in said:
        return f"{path} is damaged ({said}). Move it away, or choose {kind.instead}."
    if "locked" in said:
        return (
            f"{path} is locked by another program for more than {BUSY_SECONDS:g} s. Close that program, "
            f"or choose {kind.instead}."
        )
    if "full" in said or ("disk I/O error" in said and _is_full(path)):
        return (
            f"No space left on the disk while writing {path}. Free some, or choose {kind.instead}; "
            "what was stored before stays."
        )
    if "readonly" in said or "unable to open" in said:
        return f"{path} cannot be written ({said}). Choose {kind.instead} where you may write."
    return f"{path} cannot be used: {said}."


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < 1 << 20
    return False
