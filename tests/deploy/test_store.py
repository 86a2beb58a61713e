from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from temper.core import database
from temper.core.errors import TemperError
from temper.core.files import sha256_file
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.store import FrameResult, Store
from temper.detection.detections import Detections, Status

LABELS = ("dark", "bright", "rough")
TIMES = {"decode": 1.0, "preprocess": 0.5, "compute": 4.0, "postprocess": 0.25, "end_to_end": 5.75}


def defect(index: int) -> FrameResult:
    boxes = np.array([[1, 2, 30.5, 40.25], [0, 0, 10, 10]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.4]), np.array([2, 0]), (200, 100), f"{index}.png")
    verdict = Verdict(Outcome.DEFECT, found)
    return FrameResult(
        index, f"{index}.png", "2025-01-01T00:00:00.000Z", verdict, None, TIMES, picture="pictures/a.jpg"
    )


def unread(index: int) -> FrameResult:
    verdict = Verdict(Outcome.NOT_INSPECTED, Detections.none((0, 0), status=Status.ERROR))
    return FrameResult(
        index, f"{index}.png", "2025-01-01T00:00:00.000Z", verdict, "torn", {"decode": 1, "end_to_end": 1}
    )


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_any_sqlite_client_reads_what_was_stored(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "deep" / "results.sqlite"
    with Store(path) as store:
        run = store.begin_run(detector, "line 2")
        store.add_frames(run, [defect(0), unread(1)], LABELS)
        assert rows(path, "SELECT count(*) FROM frame") == [(2,)]  # while the store is open
        store.end_run(run, "source")
    digest = sha256_file(detector.bundle.folder / "manifest.json")
    run_query = "SELECT id, bundle, manifest_sha256, variant, runtime, source, ended_by FROM run"
    assert rows(path, run_query) == [(1, "tiny", digest, "fp32", "onnxruntime", "line 2", "source")]
    frame_query = (
        "SELECT frame_index, source, verdict, cause, width, height, compute_ms, end_to_end_ms, picture FROM frame"
    )
    assert rows(path, frame_query) == [
        (0, "0.png", "defect", None, 200, 100, 4.0, 5.75, "pictures/a.jpg"),
        (1, "1.png", "not_inspected", "torn", None, None, None, 1.0, None),
    ]
    assert rows(path, "SELECT frame_id, label, score, x1, y1, x2, y2 FROM detection ORDER BY id") == [
        (1, "rough", 0.9, 1, 2, 30.5, 40.25),
        (1, "dark", 0.4, 0, 0, 10, 10),
    ]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_a_second_run_is_added(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    for expected in (1, 2):
        with Store(path) as store:
            run = store.begin_run(detector, "line 2")
            assert run == expected
            store.add_frames(run, [defect(0)], LABELS)
    assert rows(path, "SELECT run_id, count(*) FROM frame GROUP BY run_id") == [(1, 1), (2, 1)]


def test_frames_are_stored_all_or_none(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        run = store.begin_run(detector, "line 2")
        with pytest.raises(TemperError, match="UNIQUE constraint failed"):
            store.add_frames(run, [defect(0), defect(1), defect(1)], LABELS)
    assert rows(path, "SELECT count(*) FROM frame") == [(0,)]
    assert rows(path, "SELECT count(*) FROM detection") == [(0,)]


def test_what_was_stored_survives_a_power_cut(tmp_path: Path) -> None:
    with Store(tmp_path / "results.sqlite") as store, store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no database at all" * 100, "is no SQLite file"), (b"S" * 10, "is no SQLite file")],
)
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with pytest.raises(TemperError, match=sentence):
        Store(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(TemperError, match=r"is a database of another program\. Choose another folder"):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    Store(path).__exit__()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(TemperError, match="holds results of version 7; this Temper writes 2"):
        Store(path)


def test_a_locked_store_is_one_sentence(
    tmp_path: Path, detector: BundleDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TemperError, match=r"is locked by another program for more than 0\.1 s"):
            store.begin_run(detector, "line 2")
        other.rollback()
        other.close()
        assert store.begin_run(detector, "line 2") == 1


def test_a_full_disk_is_one_sentence_and_keeps_what_was_stored(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        run = store.begin_run(detector, "line 2")
        store.add_frames(run, [defect(0)], LABELS)
        # SQLite reports a file at its limit as it reports a full disk
        with store._database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(TemperError, match="No space left on the disk while writing"):
            store.add_frames(run, [defect(i) for i in range(1, 2000)], LABELS)
    assert rows(path, "SELECT count(*) FROM frame") == [(1,)]


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TemperError, match=r"file is not a folder\. Choose another folder with --out"):
        Store(tmp_path / "file" / "results.sqlite")
    (tmp_path / "results.sqlite").mkdir()
    with pytest.raises(TemperError, match=r"cannot be written \(unable to open database file\)"):
        Store(tmp_path / "results.sqlite")
