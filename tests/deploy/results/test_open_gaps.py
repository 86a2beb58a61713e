"""A gap is stored as it begins, and ended by whichever run has its camera back: told once in each state."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from stored_frames import frame_result
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Gap
from temper.deploy.publish.messages import MODELS, describe
from temper.deploy.results.events import EventLog
from temper.deploy.results.store import Store

BEGIN = 1_764_000_000.0
OUT = "The cable is out."
OPENED = Gap("top", BEGIN, None, None, 12.0, None, OUT)
CLOSED = Gap("top", BEGIN, BEGIN + 2.5, 50, 12.0, 5.0, OUT, ends=True)


def gaps(path: Path) -> list[tuple[object, ...]]:
    query = "SELECT camera, until, frames, length_m, cause, opened_event, closed_event FROM gap ORDER BY opened_event"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def told(path: Path, sink: str = "mqtt") -> list[tuple[str, object, object]]:
    """The messages of gaps: what follows the run in their key, their state and their end."""
    with EventLog(path) as log:
        messages = [message for message in log.pending(sink, 100) if message.kind == "gap"]
    for message in messages:
        MODELS["gap"].model_validate(describe(message, "mill-2"))
    return [(message.key.partition(":")[2], message.payload["state"], message.payload["until"]) for message in messages]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def test_a_gap_is_there_while_it_lasts_and_told_once_in_each_state(path: Path, detector: BundleDetector) -> None:
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        store.add([frame_result(0), OPENED])
        assert gaps(path) == [("top", None, None, None, OUT, 2, None)]
        assert told(path) == [("gap:0:open", "open", None)]
        store.add([OPENED])  # the same one: it was never said to have ended
        store.add([CLOSED, frame_result(1)])
        assert gaps(path) == [("top", "2025-11-24T16:00:02.500000Z", 50, 5.0, OUT, 2, 3)]
        store.add([Gap("top", BEGIN + 9, None, None, None, None, OUT)])
    # whoever hears of it late hears of both states, each as it was
    end = "2025-11-24T16:00:02.500000Z"
    assert told(path) == [("gap:0:open", "open", None), ("gap:0", "closed", end), ("gap:1:open", "open", None)]


def test_a_gap_that_begins_and_ends_in_one_transaction(path: Path, detector: BundleDetector) -> None:
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        store.add([OPENED, CLOSED])
    assert gaps(path) == [("top", "2025-11-24T16:00:02.500000Z", 50, 5.0, OUT, 1, 2)]


def test_what_could_not_be_stored_leaves_the_gap_as_it_was(path: Path, detector: BundleDetector) -> None:
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        store.add([frame_result(0), OPENED])
        with pytest.raises(TemperError, match="UNIQUE constraint failed"):
            store.add([CLOSED, frame_result(0)])
        assert gaps(path)[0][1] is None
        store.add([CLOSED, frame_result(1)])
    assert gaps(path)[0][1:4] == ("2025-11-24T16:00:02.500000Z", 50, 5.0)
    assert len(told(path)) == 2


def test_a_later_run_ends_the_gap_that_a_killed_one_left(path: Path, detector: BundleDetector) -> None:
    with Store(path) as store:
        killed = store.begin_run(detector, "cameras", "mill-2", ["top", "side"])
        store.add([frame_result(0), OPENED, Gap("side", BEGIN, None, None, None, None, OUT)])
    restart = "This program was not running."
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top", "side"])
        # both cameras are away from its beginning, and one of them comes back
        store.add([Gap(camera, BEGIN, None, None, 12.0, None, restart) for camera in ("top", "side")])
        store.add([Gap("top", BEGIN, BEGIN + 90, 900, 12.0, 45.0, restart, ends=True), frame_result(0)])
    first, second = gaps(path)
    assert first[:5] == ("top", "2025-11-24T16:01:30.000000Z", 900, 45.0, OUT)
    assert second[:5] == ("side", None, None, None, OUT)
    with EventLog(path) as log:
        keys = [message.key for message in log.pending("mqtt", 100) if message.kind == "gap"]
    assert keys == [f"{killed.id}:gap:0:open", f"{killed.id}:gap:1:open", f"{killed.id}:gap:0"]


def test_the_gap_of_a_camera_that_the_line_has_no_more_ends_with_the_next_run(
    path: Path, detector: BundleDetector
) -> None:
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top", "side"])
        store.add([OPENED, Gap("side", BEGIN, None, None, None, None, OUT)])
        # a run over files says nothing of cameras
        store.begin_run(detector, "pictures")
        assert [row[1] for row in gaps(path)] == [None, None]
        run = store.begin_run(detector, "cameras", "mill-2", ["top"])
        assert run.number == 3
        store.add([frame_result(0)])
    with closing(sqlite3.connect(path)) as connection:
        (started,) = connection.execute("SELECT started FROM run WHERE number = 3").fetchone()
    top, side = gaps(path)
    assert top[1] is None
    assert side[1] >= started[:-1]
    assert side[2:5] == (None, None, OUT)
    assert [state for _, state, _ in told(path)] == ["open", "open", "closed"]
