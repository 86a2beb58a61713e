from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from steel_pictures import steel
from stored_frames import frame_result
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Gap
from temper.deploy.results import retention as retention_module
from temper.deploy.results.coil import Coils
from temper.deploy.results.events import EventLog
from temper.deploy.results.pictures import PictureWriter
from temper.deploy.results.records import moment, seconds_of
from temper.deploy.results.retention import SLICE, Limits, Retention
from temper.deploy.results.schema import CoilTable
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections

#: Of the frames of ``frame_result``.
WHEN = seconds_of("2025-01-01T00:00:00Z")
DAY = 86_400.0
PLENTY = 10**15


@pytest.fixture
def store(tmp_path: Path, detector: BundleDetector) -> Iterator[Store]:
    with Store(tmp_path / "results.sqlite") as opened:
        opened.begin_run(detector, "cameras", "mill-2", ["top"])
        yield opened


def retention(
    store: Store,
    bytes_: int,
    days: float = 30,
    verdict_days: float = 365,
    now: float = WHEN,
    coils_to: Sequence[str] = (),
) -> Retention:
    limits = Limits(bytes_ / 1e9, days, verdict_days, free_gigabytes=1.0)
    return Retention(store.path, store.path.parent, limits, lambda: now, lambda _: PLENTY, coils_to)


def rows(store: Store, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.path)) as connection:
        return connection.execute(query).fetchall()


def put(store: Store, number: int, length: int, minute: int = 0) -> Path:
    """A stored frame with a picture of so many bytes."""
    name = f"pictures/run-1/{number:06d}-a.jpg"
    path = store.path.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * length)
    store.add([frame_result(number, minute=minute, picture=name, picture_bytes=length)])
    return path


def test_the_oldest_pictures_go_and_their_verdicts_stay(store: Store) -> None:
    paths = [put(store, number, 100) for number in range(10)]
    with retention(store, 500) as kept:
        assert kept.used_bytes == 1000
        while kept.tidy():
            pass
        assert kept.used_bytes <= 0.95 * 500
    assert [path.exists() for path in paths] == [False] * 6 + [True] * 4
    assert rows(store, "SELECT count(*), count(picture), sum(picture_bytes) FROM frame") == [(10, 4, 400)]


def test_pictures_go_after_their_days_within_the_budget(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_module, "_AWAY_DAYS", 60)  # as if the line had been at work until the present
    paths = [put(store, number, 100, minute=number) for number in range(4)]
    with retention(store, 10_000, days=30, now=WHEN + 30 * DAY + 100) as kept:  # minute 0 and 1 are older
        kept.tidy()
    assert [path.exists() for path in paths] == [False, False, True, True]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_clock_that_is_set_wrong_costs_nothing(store: Store, when: str) -> None:
    """A year ahead, whether it is so when the store is opened or becomes so while it is open."""
    paths = [put(store, number, 100, minute=number) for number in range(4)]
    present = [WHEN + (400 * DAY if when == "before" else 600)]
    limits = Limits(1.0, 30, 365, 1.0)
    with Retention(store.path, store.path.parent, limits, lambda: present[0], lambda _: PLENTY) as kept:
        present[0] = WHEN + 400 * DAY
        kept.tidy()
    assert all(path.exists() for path in paths)
    assert rows(store, "SELECT count(*) FROM frame") == [(4,)]


@settings(max_examples=30)
@given(st.lists(st.one_of(st.integers(0, 400), st.none()), max_size=60), st.integers(1, 2000))
def test_there_is_never_more_than_the_budget(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None], budget: int
) -> None:
    """Pictures come (a length) or the slice is done (None), in any order."""
    folder = tmp_path_factory.mktemp("kept")
    with Store(folder / "results.sqlite") as store, closing(sqlite3.connect(store.path)) as connection:
        values = "'r', 1, 'b', 'm', 'v', 'x', '1', 's', 'top', '2025'"
        connection.execute(
            "INSERT INTO run (id, number, bundle, manifest_sha256, variant, runtime, runtime_version, source, "
            f"cameras, started) VALUES ({values})"
        )
        connection.commit()
        with retention(store, budget) as kept:
            for number, step in enumerate(steps):
                if step is None:
                    kept.tidy()
                elif kept.room_for(step):
                    (folder / f"{number}").write_bytes(b"x" * step)
                    connection.execute(
                        "INSERT INTO frame (run_id, number, camera, source, time, verdict, picture, picture_bytes) "
                        "VALUES ('r', ?, 'top', 's', ?, 'ok', ?, ?)",
                        (number, f"2025-01-01T00:00:{number:02d}.000Z", f"{number}", step),
                    )
                    connection.commit()
                there = sum(path.stat().st_size for path in folder.iterdir() if path.name.isdecimal())
                assert there == kept.used_bytes <= budget


def test_a_disk_that_fills_up_stops_pictures_and_not_verdicts(store: Store, tmp_path: Path) -> None:
    free = 5 * 10**9
    limits = Limits(gigabytes=1, free_gigabytes=1)
    found = Detections.none((128, 100))
    with (
        Retention(store.path, tmp_path, limits, free_bytes=lambda _: free) as kept,
        PictureWriter(tmp_path, 1, ["dark"], room=kept.room_for) as pictures,
    ):
        first = frame_result(0, picture=pictures.write(0, "a", steel(True), found))
        written = pictures.flush()
        free = 10**9
        kept._asked = float("-inf")  # as after a second
        second = frame_result(1, picture=pictures.write(1, "b", steel(True), found))
        written |= pictures.flush()
        store.add([one.as_written(written) for one in (first, second)])
        assert pictures.left_out == 1
        assert kept.used_bytes == sum(written.values())
    assert rows(store, "SELECT picture FROM frame ORDER BY number") == [("pictures/run-1/000000-a.jpg",), (None,)]


def test_pictures_of_frames_that_were_never_stored_are_removed(store: Store, tmp_path: Path) -> None:
    kept_one = put(store, 7, 10)
    folder = kept_one.parent
    for name in ("000008-b.jpg", "000009-c.full.jpg", ".000010-d.jpg.abc.partial"):
        (folder / name).write_bytes(b"x")
    with retention(store, 10_000) as kept:
        assert kept.remove_strays() == 3
        assert kept.remove_strays() == 0
    assert list(folder.iterdir()) == [kept_one]


def test_strays_of_files_that_somebody_may_be_at_work_on_stay_for_a_day(
    tmp_path: Path, detector: BundleDetector
) -> None:
    with Store(tmp_path / "results.sqlite") as store:
        store.begin_run(detector, "pictures")
        path = tmp_path / "pictures" / "run-1" / "000000-a.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        with retention(store, 10_000, now=time.time()) as kept:
            assert kept.remove_strays() == 0
        with retention(store, 10_000, now=time.time() + 2 * DAY) as kept:
            assert kept.remove_strays() == 1


def test_for_ever_is_longer_than_there_have_been_days(store: Store) -> None:
    path = put(store, 0, 100)
    with retention(store, 10_000, days=999_999, verdict_days=999_999) as kept:
        assert not kept.tidy()
    assert path.exists()


def test_rows_that_could_not_be_deleted_take_their_room_still(store: Store) -> None:
    put(store, 0, 100)
    store.end_run("signal")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE run SET started = '2025-01-01T00:00:00.000Z'")
        connection.execute("CREATE TRIGGER full BEFORE DELETE ON frame BEGIN SELECT RAISE(ABORT, 'full'); END")
        connection.commit()
    with retention(store, 10_000, verdict_days=1, now=WHEN + 9 * DAY) as kept:
        kept._believed = WHEN + 9 * DAY
        for _ in range(2):
            with pytest.raises(TemperError, match="No space left"):
                kept.tidy()
        assert kept.used_bytes == 100


def test_coils_go_once_nothing_is_left_of_them_and_they_are_told(store: Store) -> None:
    """Ten thousand of them, of an hour each; a line over years must not keep them all."""
    with Coils(store.path.parent) as coils, coils.database.transaction() as connection:
        hours = [{"id": str(n), "name": f"C-{n}", "started": moment(WHEN + 3600 * n)} for n in range(10_000)]
        ends = [{"ended": moment(WHEN + 3600 * (n + 1)), "started_event": 0, "ended_event": 0} for n in range(10_000)]
        connection.execute(insert(CoilTable), [hour | end for hour, end in zip(hours, ends, strict=True)])
    now = WHEN + 3600 * 10_000
    store.add([frame_result(0, exposed=WHEN + 3600 * 10.5)])  # of the eleventh hour
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE frame SET time = ?", (moment(now),))
        connection.execute("UPDATE coil SET ended_event = 1 WHERE id = '20'")
        connection.commit()

    def left() -> list[object]:
        return [name for (name,) in rows(store, "SELECT name FROM coil ORDER BY started")]

    with retention(store, 10_000, verdict_days=365, now=now, coils_to=["plant"]) as kept:
        kept._believed = now
        kept.tidy()
    assert len(left()) == 10_000, "the plant has none of them yet"
    with EventLog(store.path) as log:
        log.delivered("plant", 1)
    with retention(store, 10_000, verdict_days=365, now=now, coils_to=["plant"]) as kept:
        kept._believed = now
        while kept.tidy():
            pass
    # a frame that was exposed in its hour, an event of it, or a year that has not passed
    assert left() == ["C-10", "C-20", *(f"C-{n}" for n in range(10_000 - 365 * 24 - 1, 10_000))]


def test_a_gap_that_lasts_or_has_just_ended_is_not_old(store: Store) -> None:
    store.add([Gap("top", WHEN, None, None, None, None, "Unplugged.")])
    store.add([Gap("side", WHEN, WHEN + 8 * DAY, None, None, None, "Unplugged.")])
    store.add([Gap("back", WHEN, WHEN + 1, None, None, None, "Unplugged.")])
    with retention(store, 10_000, verdict_days=1, now=WHEN + 9 * DAY - 10) as kept:
        kept._believed = WHEN + 9 * DAY - 10
        while kept.tidy():
            pass
    assert rows(store, "SELECT camera FROM gap ORDER BY number") == [("top",), ("side",)]


def test_rows_go_after_their_days_and_the_log_goes_on(store: Store, detector: BundleDetector) -> None:
    path = put(store, 0, 100)
    gap = Gap("top", WHEN, WHEN + 1, 3, None, None, "Unplugged.")
    store.add([frame_result(number, found=2) for number in range(1, 2 * SLICE)])
    store.add([gap, StripDefect(0, 0.5, "major", 1.0, 10.0, 40.0, 3.0, (2, 2))])
    store.add([frame_result(2 * SLICE, found=1, minute=600)])  # ten hours later
    store.end_run("signal")
    with closing(sqlite3.connect(store.path)) as connection:  # events and defects bear the time of storing
        for table in ("event", "defect"):
            connection.execute(f"UPDATE {table} SET time = '2025-01-01T00:00:00.000Z'")
        connection.execute("UPDATE run SET started = '2025-01-01T00:00:00.000Z'")
        connection.execute("UPDATE event SET time = '2025-01-01T10:00:00.000Z' WHERE number = ?", (2 * SLICE,))
        connection.commit()
    with retention(store, 10_000, verdict_days=1, now=WHEN + DAY + 3600) as kept:
        while kept.tidy():
            pass
        assert kept.used_bytes == 0
    assert not path.exists()
    counts = "SELECT (SELECT count(*) FROM frame), (SELECT count(*) FROM detection), (SELECT count(*) FROM event)"
    assert rows(store, counts) == [(1, 1, 1)]
    assert rows(store, "SELECT (SELECT count(*) FROM gap), (SELECT count(*) FROM defect)") == [(0, 0)]
    assert rows(store, "PRAGMA foreign_key_check") == []
    with EventLog(store.path) as log:
        assert [message.payload["number"] for message in log.pending("mqtt", 10)] == [2 * SLICE]
    store.begin_run(detector, "cameras", "mill-2", ["top"])
    with retention(store, 10_000, verdict_days=1, now=WHEN + 3 * DAY) as kept:
        while kept.tidy():
            pass
        kept.tidy()
    assert rows(store, "SELECT number, ended_by FROM run") == [(2, None)]
    with EventLog(store.path) as log:
        assert log.pending("mqtt", 10) == []


def test_a_log_passes_over_what_is_gone(store: Store) -> None:
    store.add([frame_result(number) for number in range(5)])
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DELETE FROM frame WHERE number < 4")
        connection.commit()
    with EventLog(store.path) as log:
        assert [message.payload["number"] for message in log.pending("mqtt", 2)] == [4]


def test_thumbnails_and_full_frames(tmp_path: Path) -> None:
    found = Detections.none((128, 100))
    wide = cv2.resize(steel(True), (2000, 500))
    with PictureWriter(tmp_path, 2, ["dark"], side=640) as pictures:
        thumbnail, full = pictures.write(4, "top#4", wide, found), pictures.write_full(4, "top#4", wide)
        lengths = pictures.flush()
    assert (thumbnail, full) == ("pictures/run-2/000004-top_4.jpg", "pictures/run-2/000004-top_4.full.jpg")
    shapes = [picture.shape for name in (thumbnail, full) if (picture := cv2.imread(str(tmp_path / name))) is not None]
    assert shapes == [(160, 640, 3), (500, 2000, 3)]
    result = frame_result(4, picture=thumbnail, full_picture=full).as_written(lengths)
    assert result.picture_bytes == sum((tmp_path / name).stat().st_size for name in (thumbnail, full))
    assert frame_result(4, picture=thumbnail, full_picture=full).as_written({}).picture is None


def test_where_room_is_kept_a_picture_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with PictureWriter(tmp_path, 1, ["dark"], room=lambda _: True) as pictures:
        pictures.write(0, "a", steel(True), Detections.none((128, 100)))
        assert (pictures.flush(), pictures.left_out) == ({}, 1)


def test_verdicts_do_not_wait_for_pictures(tmp_path: Path) -> None:
    with PictureWriter(tmp_path, 1, ["dark"], most_waiting=2) as pictures:
        wide = cv2.resize(steel(True), (4096, 1024))
        names = [pictures.write(n, "a", wide, Detections.none((4096, 1024))) for n in range(12)]
        written = pictures.flush()
    assert names[0] in written
    assert 0 < pictures.left_out == sum(name is None for name in names)
