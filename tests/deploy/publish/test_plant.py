"""Against a real PostgreSQL: two lines in one database, a server that is killed and started again, refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from outgoing import eventually, running
from postgres import Postgres, postgres
from sqlalchemy import insert
from sqlalchemy.engine import Connection
from temper.core.errors import UsageError
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.frames import Cause, Gap, Notice
from temper.deploy.publish.messages import MODELS, describe
from temper.deploy.publish.plant import PlantSink, changed_coils
from temper.deploy.publish.settings import PlantSettings, Secret
from temper.deploy.publish.sink import SinkAway, SinkRefused
from temper.deploy.results.coil import Coils
from temper.deploy.results.events import EventLog
from temper.deploy.results.records import FrameResult
from temper.deploy.results.schema import CoilTable
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections

__all__ = ["postgres"]

GAP = Gap("top", 1_764_000_000.0, 1_764_000_002.5, 50, 12.0, 5.0, "The camera was unplugged.")
SCRATCH = StripDefect(2, 0.75, "major", 10.5, 100.0, 40.0, 3.0, (7, 9))


def frame(number: int, found: int = 0, cause: Cause | None = None) -> FrameResult:
    boxes = np.array([[n, 0, n + 10, 10] for n in range(found)], np.float32).reshape(-1, 4)
    detections = Detections(boxes, np.full(found, 0.5), np.ones(found, np.int64), (200, 100))
    outcome = Outcome.NOT_INSPECTED if cause else Outcome.DEFECT if found else Outcome.OK
    when = "2025-01-01T00:00:00.000Z"
    detail = "The queue was full." if cause else None
    return FrameResult(number, f"#{number}", when, Verdict(outcome, detections), cause, detail, {"compute": 4.0})


@pytest.fixture
def store(tmp_path: Path, detector: BundleDetector) -> Iterator[Store]:
    with Store(tmp_path / "results.sqlite") as opened:
        opened.begin_run(detector, "cameras", "mill-2")
        yield opened


def sink(url: str, store: Path) -> PlantSink:
    return PlantSink(PlantSettings(url, timeout_seconds=3), "mill-2", store)


def count(postgres: Postgres, url: str, statement: str) -> list[list[str]]:
    return postgres.query(url.rpartition("/")[2], statement)


def test_what_the_store_tells_keeps_to_the_schema(store: Store) -> None:
    store.add([frame(0), frame(1, 2), frame(2, cause=Cause.DROPPED), GAP, SCRATCH])
    store.add([Notice("top", "connected", "top is back.")])
    with EventLog(store.path) as log:
        told = log.pending("any", 100)
    assert {message.kind for message in told} == set(MODELS)
    for message in told:
        MODELS[message.kind].model_validate(describe(message, "mill-2"))


def test_two_lines_meet_in_one_database_and_twice_is_once(
    store: Store, postgres: Postgres, tmp_path: Path, detector: BundleDetector
) -> None:
    url = postgres.new_database()
    with Store(tmp_path / "other.sqlite") as other:
        other.begin_run(detector, "cameras", "mill-3")
        for each in (store, other):
            each.add([frame(0), frame(1, 3), frame(2, cause=Cause.LATE), GAP, SCRATCH])
            each.add([Notice("top", "waiting", "top is gone.")])
        other.end_run("signal")
        for path in (store.path, other.path, store.path):
            ours = sink(url, path)
            ours.open()
            with EventLog(path) as log:
                messages = log.pending("again", 100)
            assert ours.send(messages) == messages[-1].event_id
            ours.close()
    tables = {"run": 2, "frame": 6, "detection": 6, "gap": 2, "defect": 2}
    for table, rows in tables.items():
        assert count(postgres, url, f"SELECT count(*) FROM {table}") == [[str(rows)]], table
    by_line = "SELECT line, ended_by, count(*) FROM run JOIN frame ON run_id = run.id GROUP BY 1, 2 ORDER BY 1"
    assert count(postgres, url, by_line) == [["mill-2", "", "3"], ["mill-3", "signal", "3"]]


def test_a_run_that_ends_later_is_written_over(store: Store, postgres: Postgres) -> None:
    url = postgres.new_database()
    with EventLog(store.path) as log, running(sink(url, store.path), log):
        store.add([frame(0)])
        eventually(lambda: log.behind("plant") == 0)
        store.end_run("signal")
        store.add([frame(1)])
        eventually(lambda: log.behind("plant") == 0)
    assert count(postgres, url, "SELECT ended_by FROM run") == [["signal"]]


def test_a_batch_reads_the_coils_that_changed_alone(
    store: Store, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    with Coils(tmp_path) as coils:
        with coils.database.transaction() as connection:
            rows = [
                {"id": str(n), "name": f"C-{n}", "started": f"{n:05d}", "ended": f"{n + 1:05d}", "started_event": 0,
                 "ended_event": 0}
                for n in range(10_000)
            ]  # fmt: skip
            connection.execute(insert(CoilTable), rows)
        read: list[int] = []

        def counted(reading: Connection, delivered: int) -> list[dict[str, object]]:
            found = changed_coils(reading, delivered)
            read.append(len(found))
            return found

        monkeypatch.setattr("temper.deploy.publish.plant.changed_coils", counted)
        with EventLog(store.path) as log, running(sink(url, store.path), log):
            for number, change in enumerate((None, None, "start", None, None, "end", None, None)):
                if change == "start":
                    coils.start("C-new", 1_764_000_000.0)
                if change == "end":
                    coils.end(1_764_000_060.0)
                store.add([frame(number)])
                eventually(lambda: log.behind("plant") == 0, 30)
        assert read[0] == 10_000
        assert all(count <= 1 for count in read[1:])
        assert sum(read[1:]) >= 2
    assert count(postgres, url, "SELECT count(*) FROM coil") == [["10001"]]
    new = "SELECT started_event, ended, ended_event FROM coil WHERE name = 'C-new'"
    assert count(postgres, url, new) == [["2", "2025-11-24T16:01:00.000000Z", "5"]]


def test_a_server_killed_while_rows_flow_loses_none(store: Store, postgres: Postgres) -> None:
    url = postgres.new_database()
    fed = threading.Event()

    def feed() -> None:
        for number in range(0, 600, 3):
            store.add([frame(number), frame(number + 1, 1), frame(number + 2, cause=Cause.LOST)])
        fed.set()

    with EventLog(store.path) as log, running(sink(url, store.path), log) as work:
        threading.Thread(target=feed, daemon=True).start()
        for _ in range(2):
            eventually(lambda: work.forwarder.progress.trouble is None and work.forwarder.progress.sent > 0)
            postgres.stop("immediate")
            try:
                store.add([GAP])
                eventually(lambda: work.forwarder.progress.trouble is not None)
            finally:
                postgres.start()
        assert fed.wait(20)
        eventually(lambda: log.behind("plant") == 0)
    assert work.forwarder.progress.retried >= 2
    assert work.longest_silence() < 1
    assert count(postgres, url, "SELECT count(*), count(DISTINCT number), max(number) FROM frame") == [
        ["600", "600", "599"]
    ]
    assert count(postgres, url, "SELECT count(*) FROM detection") == [["200"]]
    assert count(postgres, url, "SELECT count(*) FROM gap") == [["2"]]


def test_refusals_are_one_sentence(store: Store, postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with pytest.raises(SinkRefused, match='refuses this line: database "nowhere" does not exist. Mend'):
        sink(url.rpartition("/")[0] + "/nowhere", store.path).open()
    postgres.query("postgres", "CREATE ROLE reader LOGIN")
    with pytest.raises(SinkRefused, match="refuses this line: permission denied for schema public"):
        sink(url.replace("temper@", "reader:hidden@"), store.path).open()
    with pytest.raises(SinkAway, match="cannot be reached: .*[Cc]onnection refused") as caught:
        sink("postgresql://temper:hidden@127.0.0.1:1/plant", store.path).open()
    assert "hidden" not in str(caught.value)
    absent = PlantSettings(url, Secret(file=tmp_path / "none"))
    with pytest.raises(UsageError, match="password of the plant's database cannot be read"):
        PlantSink(absent, "mill-2", store.path).open()


@pytest.mark.parametrize(
    "url", ["mysql://u@h/d", "postgresql://u@h", "nonsense", "postgresql://u@h:port/d", "postgresql://u:a@b@h/d", ""]
)
def test_an_url_that_is_none_of_postgresql(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of PostgreSQL"):
        sink(url, tmp_path / "results.sqlite")
