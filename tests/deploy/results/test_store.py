from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from temper.core import database
from temper.core.errors import TemperError
from temper.core.files import sha256_file
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.frames import Cause, FileState, Gap, LastSeen, Notice
from temper.deploy.results.records import FrameResult, moment, seconds_of
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections, Status

TIMES = {"decode": 1.0, "preprocess": 0.5, "compute": 4.0, "postprocess": 0.25, "end_to_end": 5.75}


def defect(index: int) -> FrameResult:
    boxes = np.array([[1, 2, 30.5, 40.25], [0, 0, 10, 10]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.4]), np.array([2, 0]), (200, 100), f"{index}.png")
    verdict = Verdict(Outcome.DEFECT, found)
    return FrameResult(
        index, f"{index}.png", "2025-01-01T00:00:00.000Z", verdict, None, None, TIMES, picture="pictures/a.jpg"
    )


def unread(index: int) -> FrameResult:
    verdict = Verdict(Outcome.NOT_INSPECTED, Detections.none((0, 0), status=Status.ERROR))
    return FrameResult(
        index, f"{index}.png", "2025-01-01T00:00:00.000Z", verdict, Cause.ERROR, "torn", {"decode": 1, "end_to_end": 1}
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
        store.begin_run(detector, "line 2")
        store.add([defect(0), unread(1)])
        assert rows(path, "SELECT count(*) FROM frame") == [(2,)]  # while the store is open
        store.end_run("source")
    digest = sha256_file(detector.bundle.folder / "manifest.json")
    run_query = "SELECT number, bundle, manifest_sha256, variant, runtime, source, ended_by FROM run"
    assert rows(path, run_query) == [(1, "tiny", digest, "fp32", "onnxruntime", "line 2", "source")]
    frame_query = "SELECT number, source, verdict, detail, width, height, compute_ms, end_to_end_ms, picture FROM frame"
    assert rows(path, frame_query) == [
        (0, "0.png", "defect", None, 200, 100, 4.0, 5.75, "pictures/a.jpg"),
        (1, "1.png", "not_inspected", "torn", None, None, None, 1.0, None),
    ]
    assert rows(path, "SELECT number, label, score, x1, y1, x2, y2 FROM detection ORDER BY number") == [
        (0, "rough", 0.9, 1, 2, 30.5, 40.25),
        (1, "dark", 0.4, 0, 0, 10, 10),
    ]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_a_second_run_is_added(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    for expected in (1, 2):
        with Store(path) as store:
            run = store.begin_run(detector, "line 2")
            assert run.number == expected
            store.add([defect(0)])
    assert rows(path, "SELECT run.number, count(*) FROM frame JOIN run ON run.id = run_id GROUP BY 1") == [
        (1, 1),
        (2, 1),
    ]


def test_frames_are_stored_all_or_none(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "line 2")
        with pytest.raises(TemperError, match="UNIQUE constraint failed"):
            store.add([defect(0), defect(1), defect(1)])
    assert rows(path, "SELECT count(*) FROM frame") == [(0,)]
    assert rows(path, "SELECT count(*) FROM detection") == [(0,)]


def test_what_was_stored_survives_a_power_cut(tmp_path: Path) -> None:
    with Store(tmp_path / "results.sqlite") as store, store.database.engine.connect() as connection:
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


def test_a_store_of_a_newer_temper_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    Store(path).__exit__()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(TemperError, match="holds results of version 7; this Temper writes 5"):
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
        assert store.begin_run(detector, "line 2").number == 1


def test_a_full_disk_is_one_sentence_and_keeps_what_was_stored(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "line 2")
        store.add([defect(0)])
        # SQLite reports a file at its limit as it reports a full disk
        with store.database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(TemperError, match="No space left on the disk while writing"):
            store.add([defect(i) for i in range(1, 2000)])
    assert rows(path, "SELECT count(*) FROM frame") == [(1,)]


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TemperError, match=r"file is not a folder\. Choose another folder with --out"):
        Store(tmp_path / "file" / "results.sqlite")
    (tmp_path / "results.sqlite").mkdir()
    with pytest.raises(TemperError, match=r"cannot be written \(unable to open database file\)"):
        Store(tmp_path / "results.sqlite")


def late(index: int, camera: str = "top", **more: object) -> FrameResult:
    found = Detections(np.array([[0, 0, 10, 10]], np.float32), np.array([0.5]), np.array([1]), (200, 100))
    values = {
        "camera": camera,
        "frame_id": 65_400 + index,
        "exposed": 1_764_000_000.25 + index,
        "position_m": 0.5 * index,
    }
    verdict = Verdict(Outcome.NOT_INSPECTED, found)
    time = "2025-01-01T00:00:00.000Z"
    return FrameResult(
        index, f"{camera}#{index}", time, verdict, Cause.LATE, "After 9 ms.", TIMES, **{**values, **more}
    )  # type: ignore[arg-type]


def test_a_late_frame_keeps_what_was_found(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2")
        store.add([late(0, latency_ms=9.5, length_m=0.5)])
    assert rows(path, "SELECT line FROM run") == [("mill-2",)]
    query = "SELECT camera, frame_id, exposed, position_m, length_m, latency_ms, verdict, cause, detail FROM frame"
    exposed = "2025-11-24T16:00:00.250000Z"
    told = ("not_inspected", "late", "After 9 ms.")
    assert rows(path, query) == [("top", 65_400, exposed, 0.0, 0.5, 9.5, *told)]
    assert rows(path, "SELECT label FROM detection") == [("bright",)]


def test_gaps_defects_and_notices_are_numbered_by_their_kind(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    gap = Gap("top", 1_764_000_000.0, 1_764_000_002.5, 50, 12.0, 5.0, "The camera was unplugged.")
    scratch = StripDefect(2, 0.75, "major", 10.5, 100.0, 40.0, 3.0, (7, 9), cut=True, repeat_m=1.5, side="bottom")
    notice = Notice("top", "connected", "top is back.")
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2")
        store.add([defect(0), gap, notice, scratch])
        store.add([scratch, gap])
    log = [("frame", 0), ("gap", 0), ("notice", 0), ("defect", 0), ("defect", 1), ("gap", 1)]
    assert rows(path, "SELECT kind, number FROM event ORDER BY id") == log
    assert rows(path, "SELECT since, until, frames, length_m FROM gap WHERE number = 1") == [
        ("2025-11-24T16:00:00.000000Z", "2025-11-24T16:00:02.500000Z", 50, 5.0)
    ]
    query = "SELECT label, severity, position_m, first_frame, last_frame, cut, repeat_m, side FROM defect"
    assert rows(path, f"{query} WHERE number = 0") == [("rough", "major", 10.5, 7, 9, 1, 1.5, "bottom")]


def test_no_gap_ends_before_it_begins(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin_run(detector, "cameras")
        store.add([Gap("top", 1_764_000_000.0, 1_000.0, None, None, None, "The clock was set back.")])
    moment_of_both = "2025-11-24T16:00:00.000000Z"
    assert rows(path, "SELECT since, until FROM gap") == [(moment_of_both, moment_of_both)]


def test_what_could_not_be_stored_may_be_given_again(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    gap = Gap("top", 1_764_000_000.0, None, None, None, None, "The camera was unplugged.")
    with Store(path) as store:
        store.begin_run(detector, "cameras")
        store.add([defect(0)])
        with pytest.raises(TemperError, match="UNIQUE constraint failed"):
            store.add([gap, defect(0)])
        store.add([gap, defect(1)])
    assert rows(path, "SELECT kind, number FROM event ORDER BY id") == [("frame", 0), ("gap", 0), ("frame", 1)]


def test_the_last_frame_of_a_camera_is_known_after_a_restart(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        assert store.last_seen("top") is None
        store.begin_run(detector, "cameras")
        store.add([late(0), late(1), late(2, "bottom")])
    with Store(path) as store:
        store.begin_run(detector, "cameras")
        assert store.last_seen("top") == LastSeen(65_401, 1_764_000_001.25, 0.5, interval=1.0)
        store.add([late(0, "bottom", frame_id=None, exposed=None, position_m=None)])
        assert store.last_seen("bottom") == LastSeen(None, None, None)
        assert store.last_seen("top") == LastSeen(65_401, 1_764_000_001.25, 0.5, interval=1.0)
        assert store.last_seen("side") is None


def test_files_are_remembered_with_their_verdict_until_they_are_gone(tmp_path: Path, detector: BundleDetector) -> None:
    path = tmp_path / "results.sqlite"
    first, again = FileState("live.png", 900, 1_764_000_000_123_456_789), FileState("live.png", 900, 7)
    odd = FileState(os.fsdecode(b"\xff.png"), 1 << 40, -1)
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2")
        store.add([late(0, files=(first, odd))])
        with pytest.raises(TemperError, match="UNIQUE constraint failed"):
            store.add([late(1, files=(again,)), late(0)])
        assert sorted(store.inspected("top"), key=str) == sorted([first, odd], key=str)
        store.add([late(1, files=(again,))])
    with Store(path) as store:
        assert set(store.inspected("top")) == {again, odd}
        assert store.inspected("bottom") == []
        store.forget_files("top", [first, odd])
        store.forget_files("top", [])
        assert store.inspected("top") == [again]


def test_a_camera_that_no_run_had_is_not_looked_for(tmp_path: Path, detector: BundleDetector) -> None:
    with Store(tmp_path / "results.sqlite") as store:
        store.begin_run(detector, "cameras", "mill-2", ["top", "bottom"])
        store.add([late(0), late(1)])
        asked: list[str] = []
        event.listen(store.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        assert store.last_seen("side") is None
        assert not any("FROM frame" in statement for statement in asked)
        assert store.last_seen("top") is not None


def test_a_camera_that_never_gave_a_frame_is_not_looked_for_for_ever(
    tmp_path: Path, detector: BundleDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temper.deploy.results.store.MOST_LOOKED_AT", 4)
    with Store(tmp_path / "results.sqlite") as store:
        store.begin_run(detector, "cameras")
        store.add([late(0), *(late(number, "bottom") for number in range(1, 4))])
        store.begin_run(detector, "cameras")
        assert store.last_seen("top") is not None
        store.add([late(0, "bottom")])
        assert store.last_seen("top") is None
        assert store.last_seen("bottom") is not None


@given(st.floats(0, 4e9))
def test_moments_come_back(seconds: float) -> None:
    assert abs(seconds_of(moment(seconds)) - seconds) <= 1e-6
    assert len(moment(seconds)) == 27  # so that they sort as texts


@given(st.text(max_size=40))
def test_no_text_is_taken_for_a_moment_by_mistake(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(seconds_of(text), float)
