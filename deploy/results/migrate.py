"""Older tables of results brought up to date: Alembic's steps in ``migrations/versions``, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from ...core.errors import TemperError
from ...core.files import explain_os_errors, sync_folder

#: The oldest version that a step leads on from.
OLDEST_VERSION = 2
#: Where Alembic notes how far a database is.
VERSION_TABLE = "temper_schema"
#: One at a time on PostgreSQL: several lines may start at once on a new plant database. Any number, for ever the same.
_LOCK = 0x544D5052


def upgrade_database(connection: Connection, version: int | None = None) -> None:
    """Make the tables of results, or bring them up to date, in the connection's transaction; twice is harmless.

    Args:
        connection: to SQLite or PostgreSQL; whoever calls commits.
        version: of the tables, where it is noted elsewhere, as in a SQLite file; None reads what Alembic noted.

    Raises:
        TemperError: if the tables are those of a newer Temper.
        SQLAlchemyError: what the database says.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    known = {step.revision for step in scripts.walk_revisions()}
    noted = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    if version is not None and str(version) in known:
        noted.stamp(scripts, str(version))
    there = noted.get_current_revision()
    if there is not None and there not in known:
        raise TemperError(
            f"The tables of results in {_place(connection)} are of version {there}, from a newer Temper; this one "
            f"knows {scripts.get_current_head()}. Install that Temper here, or choose another database."
        )

    def steps(revision: Any, _: Any) -> Any:
        return scripts._upgrade_revs("head", revision)

    try:
        with EnvironmentContext(Config(), scripts, fn=steps) as environment:
            environment.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=True)
            environment.run_migrations()
    except CommandError as error:
        raise TemperError(f"The tables of results in {_place(connection)} cannot be upgraded: {error}.") from error


def upgrade_file(connection: Connection, version: int) -> Callable[[], None]:
    """Bring a SQLite file of an older version up to date; a copy lies beside it until that is stored.

    Returns:
        What removes the copy.

    Raises:
        TemperError: if it is too old, or there is no room for the copy.
    """
    path = Path(str(connection.engine.url.database))
    if version < OLDEST_VERSION:
        raise TemperError(
            f"{path} holds results of version {version}, which is too old to be brought up to date. "
            "Choose another folder with --out."
        )
    copy = path.with_name(f"{path.name}.version-{version}")
    _keep_copy(path, copy)
    upgrade_database(connection, version)
    return lambda: copy.unlink(missing_ok=True)


def _keep_copy(path: Path, copy: Path) -> None:
    """The file as it was last stored, under another name, whole or not at all."""
    partial = copy.with_name(f".{copy.name}.partial")
    with explain_os_errors(copy):
        try:
            partial.unlink(missing_ok=True)
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as target:
                source.backup(target)
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(copy)
            sync_folder(copy.parent)
        except sqlite3.Error as error:
            partial.unlink(missing_ok=True)
            raise TemperError(
                f"{path} is of an older Temper and has to be copied before it is brought up to date, which failed: "
                f"{error}."
            ) from error


def _place(connection: Connection) -> str:
    return connection.engine.url.render_as_string(hide_password=True)
