from __future__ import annotations

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres import Postgres, postgres  # noqa: F401 (a fixture)
from sqlalchemy import Engine, create_engine, text
from stored_frames import frame_result
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Gap
from temper.deploy.results import migrate
from temper.deploy.results.events import EventLog
from temper.deploy.results.migrate import VERSION_TABLE, upgrade_database
from temper.deploy.results.schema import Base
from temper.deploy.results.store import Store

#: What Temper wrote as version 2, word for word.
VERSION_2 = """
CREATE TABLE run (id INTEGER NOT NULL, bundle VARCHAR NOT NULL, manifest_sha256 VARCHAR NOT NULL,
    variant VARCHAR NOT NULL, runtime VARCHAR NOT NULL, runtime_version VARCHAR NOT NULL, source VARCHAR NOT NULL,
    started VARCHAR NOT NULL,
    finished VARCHAR, ended_by VARCHAR, PRIMARY KEY (id));
CREATE TABLE frame (id INTEGER NOT NULL, run_id INTEGER NOT NULL, frame_index INTEGER NOT NULL, source VARCHAR NOT NULL,
    time VARCHAR NOT NULL, timestamp_ms FLOAT, width INTEGER, height INTEGER, verdict VARCHAR NOT NULL, cause VARCHAR,
    picture VARCHAR, decode_ms FLOAT, preprocess_ms FLOAT, host_to_device_ms FLOAT, compute_ms FLOAT,
    device_to_host_ms FLOAT, postprocess_ms FLOAT, end_to_end_ms FLOAT, PRIMARY KEY (id), UNIQUE (run_id, frame_index),
    FOREIGN KEY(run_id) REFERENCES run (id));
CREATE INDEX frame_verdict ON frame (run_id, verdict);
CREATE TABLE detection (id INTEGER NOT NULL, frame_id INTEGER NOT NULL, label VARCHAR NOT NULL, score FLOAT NOT NULL,
    x1 FLOAT NOT NULL, y1 FLOAT NOT NULL, x2 FLOAT NOT NULL, y2 FLOAT NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(frame_id) REFERENCES frame (id));
CREATE INDEX ix_detection_frame_id ON detection (frame_id);
INSERT INTO run VALUES (1, 'tiny', 'abc', 'fp32', 'onnxruntime', '1.2', 'pictures', '2025-01-01T00:00:00.000Z',
    NULL, NULL);
INSERT INTO run VALUES (2, 'tiny', 'abc', 'fp32', 'onnxruntime', '1.2', 'pictures', '2025-01-02T00:00:00.000Z',
    '2025-01-02T00:01:00.000Z', 'source');
INSERT INTO frame VALUES (1, 1, 0, 'a.png', '2025-01-01T00:00:01.000Z', NULL, 200, 100, 'defect', NULL,
    'pictures/run-1/a.jpg', 1, 2, NULL, 3, NULL, 4, 10);
INSERT INTO frame VALUES (2, 1, 1, 'b.png', '2025-01-01T00:00:02.000Z', NULL, NULL, NULL, 'not_inspected', 'torn', NULL,
    1, NULL, NULL, NULL, NULL, NULL, 1);
INSERT INTO frame VALUES (3, 2, 0, 'a.png', '2025-01-02T00:00:01.000Z', 40, 200, 100, 'defect', NULL,
    NULL, 1, 2, NULL, 3, NULL, 4, 10);
INSERT INTO detection VALUES (1, 1, 'dark', 0.9, 1, 2, 3, 4);
INSERT INTO detection VALUES (2, 1, 'rough', 0.8, 5, 6, 7, 8);
INSERT INTO detection VALUES (3, 3, 'dark', 0.7, 1, 2, 3, 4);
PRAGMA application_id = 0x544D5052;
PRAGMA user_version = 2;
"""
#: What version 5 brought, taken away again.
BACK_TO_4 = """
DROP INDEX ix_coil_ended; DROP INDEX ix_coil_started_event; DROP INDEX ix_coil_ended_event;
ALTER TABLE frame DROP COLUMN side; ALTER TABLE defect DROP COLUMN side;
ALTER TABLE gap DROP COLUMN opened_event; ALTER TABLE gap DROP COLUMN closed_event;
ALTER TABLE coil DROP COLUMN started_event; ALTER TABLE coil DROP COLUMN ended_event;
PRAGMA user_version = 4;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "results.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_2)
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


def test_a_file_of_version_2_is_brought_up_to_date_in_its_place(old: Path) -> None:
    Store(old).close()
    assert rows(old, "SELECT number, line, ended_by FROM run ORDER BY number") == [(1, None, None), (2, None, "source")]
    query = (
        "SELECT run.number, frame.number, camera, frame.source, verdict, cause, detail, picture, end_to_end_ms "
        "FROM frame JOIN run ON run.id = run_id ORDER BY 1, 2"
    )
    assert rows(old, query) == [
        (1, 0, "files", "a.png", "defect", None, None, "pictures/run-1/a.jpg", 10),
        (1, 1, "files", "b.png", "not_inspected", "error", "torn", None, 1),
        (2, 0, "files", "a.png", "defect", None, None, None, 10),
    ]
    query = (
        "SELECT run.number, frame_number, detection.number, label, score, y2 FROM detection "
        "JOIN run ON run.id = run_id ORDER BY 1, 2, 3"
    )
    assert rows(old, query) == [(1, 0, 0, "dark", 0.9, 4), (1, 0, 1, "rough", 0.8, 8), (2, 0, 0, "dark", 0.7, 4)]
    assert rows(old, "PRAGMA user_version") == [(5,)]
    assert rows(old, "PRAGMA foreign_key_check") == []
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]
    assert [path.name for path in old.parent.iterdir()] == ["results.sqlite"]  # no copy is left
    engine = create_engine(f"sqlite:///{old}")
    assert differences(engine) == []
    engine.dispose()


def test_two_that_open_an_old_file_at_once_both_find_the_new_one(old: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        opened = [pool.submit(Store, old), pool.submit(EventLog, old)]
        for one in opened:
            one.result(30).close()
    assert rows(old, "SELECT count(*) FROM frame") == [(3,)]


def test_where_the_upgrade_fails_the_file_is_as_it_was_and_its_copy_too(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise TemperError("the disk has gone")

    monkeypatch.setattr(migrate, "upgrade_database", fails)
    with pytest.raises(TemperError, match="the disk has gone"):
        Store(old)
    for path in (old, old.with_name("results.sqlite.version-2")):
        assert rows(path, "SELECT count(*), max(frame_index) FROM frame") == [(3, 1)]
        assert rows(path, "PRAGMA user_version") == [(2,)]


def test_a_file_of_version_3_keeps_its_rows(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2")
        store.add([frame_result(0, found=2)])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{BACK_TO_4} DROP TABLE inspected; PRAGMA user_version = 3;")
    with Store(path) as store:
        assert store.inspected("top") == []
    assert rows(path, "PRAGMA user_version") == [(5,)]
    assert rows(path, "SELECT count(*) FROM frame") == [(1,)]
    assert rows(path, "SELECT count(*) FROM detection") == [(2,)]


def test_a_file_of_version_4_keeps_its_coils_and_gaps(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2")
        store.add([frame_result(0), frame_result(1), Gap("top", 1.0, 2.0, 3, None, None, "The cable was out.")])
        store.add([frame_result(n) for n in range(2, 6)])
        store.add([frame_result(6)])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(BACK_TO_4)
        connection.execute("UPDATE event SET time = '2025-01-01T00:00:0' || id || '.000Z'")
        connection.executemany(
            "INSERT INTO coil (id, name, started, ended) VALUES (?, ?, ?, ?)",
            [
                ("a", "first", "2025-01-01T00:00:02.500000Z", "2025-01-01T00:00:05.500000Z"),
                ("b", "second", "2025-01-01T00:00:05.500000Z", None),
                ("c", "later", "2026-01-01T00:00:00.000000Z", "2026-01-01T01:00:00.000000Z"),
            ],
        )
        connection.commit()
    Store(path).close()
    assert rows(path, "PRAGMA user_version") == [(5,)]
    assert rows(path, "SELECT name, started_event, ended_event FROM coil ORDER BY id") == [
        ("first", 2, 5), ("second", 5, None), ("later", 8, 8),
    ]  # fmt: skip
    assert rows(path, "SELECT opened_event, closed_event FROM gap") == [(None, 3)]
    assert rows(path, "SELECT count(*), max(side) FROM frame") == [(7, None)]
    engine = create_engine(f"sqlite:///{path}")
    assert differences(engine) == []
    engine.dispose()


def test_a_file_of_version_1_is_too_old(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(TemperError, match="holds results of version 1, which is too old to be brought up to date"):
        Store(old)


def test_a_new_file_has_the_tables_that_the_steps_make(tmp_path: Path) -> None:
    Store(tmp_path / "new.sqlite").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'steps.sqlite'}")
    with engine.begin() as connection:
        upgrade_database(connection)
        upgrade_database(connection)
    engine.dispose()
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE '%temper_schema'"
    new, steps = (
        {name: sorted(re.sub(r"\s", "", str(sql)).split(",")) for name, sql in rows(path, query)}
        for path in (tmp_path / "new.sqlite", tmp_path / "steps.sqlite")
    )
    assert new == steps


def test_the_same_tables_on_postgresql(postgres: Postgres) -> None:  # noqa: F811
    engine = create_engine(postgres.new_database().replace("postgresql://", "postgresql+psycopg://"))

    def upgrade() -> None:
        with engine.begin() as connection:
            upgrade_database(connection)

    with ThreadPoolExecutor(4) as pool:  # several lines that start on a new database at once
        for one in [pool.submit(upgrade) for _ in range(4)]:
            one.result(60)
    assert differences(engine) == []
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '99'"))
    with pytest.raises(TemperError, match=r"are of version 99, from a newer Temper; this one knows 5\."):
        upgrade()
    engine.dispose()


def test_a_plant_database_of_version_4_is_brought_up_to_date(postgres: Postgres) -> None:  # noqa: F811
    engine = create_engine(postgres.new_database().replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        upgrade_database(connection)
        for statement in BACK_TO_4.split(";"):
            if statement.strip() and "PRAGMA" not in statement:
                connection.execute(text(statement))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '4'"))
        connection.execute(text("INSERT INTO coil (id, name, started) VALUES ('a', 'C-1', '2025-01-01T00:00:00Z')"))
    assert differences(engine) != []
    with engine.begin() as connection:
        upgrade_database(connection)
        assert connection.execute(text("SELECT name, started_event FROM coil")).all() == [("C-1", None)]
    assert differences(engine) == []
    engine.dispose()
