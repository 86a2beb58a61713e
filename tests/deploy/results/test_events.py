from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.frames import Cause, Gap, Notice
from temper.deploy.results.events import EventLog
from temper.deploy.results.message import Log
from temper.deploy.results.records import FrameResult
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections

GAP = Gap("top", 1_764_000_000.0, 1_764_000_002.5, 50, 12.0, 5.0, "The camera was unplugged.")
SCRATCH = StripDefect(2, 0.75, "major", 10.5, 100.0, 40.0, 3.0, (7, 9))


def frame(number: int, found: int = 1) -> FrameResult:
    boxes = np.array([[n, 0, n + 10, 10] for n in range(found)], np.float32).reshape(-1, 4)
    detections = Detections(boxes, np.full(found, 0.5), np.ones(found, np.int64), (200, 100))
    outcome = Outcome.DEFECT if found else Outcome.OK
    when = "2025-01-01T00:00:00.000Z"
    times = {"compute": 4.0, "end_to_end": 5.0}
    return FrameResult(number, f"#{number}", when, Verdict(outcome, detections), None, None, times, latency_ms=9.0)


@pytest.fixture
def store(tmp_path: Path, detector: BundleDetector) -> Iterator[Store]:
    with Store(tmp_path / "results.sqlite") as opened:
        opened.begin_run(detector, "cameras", "mill-2")
        yield opened


@pytest.fixture
def log(store: Store) -> Iterator[EventLog]:
    with EventLog(store.path) as opened:
        yield opened


def test_messages_come_in_the_order_in_which_things_were_stored(store: Store, log: EventLog) -> None:
    kept: Log = log
    store.add([frame(0), frame(1, 0), GAP])
    store.add([Notice("top", "connected", "top is back."), SCRATCH, frame(2, 3)])
    told = kept.pending("mqtt", 100)
    run = store.run.id
    keys = [f"{run}:{what}" for what in ("frame:0", "frame:1", "gap:0", "notice:0", "defect:0", "frame:2")]
    assert [message.key for message in told] == keys
    assert [message.event_id for message in told] == sorted(message.event_id for message in told)
    assert [len(message.payload["detections"]) for message in told if message.kind == "frame"] == [1, 0, 3]
    assert log.behind("mqtt") == 6
    assert (log.run(run) or {})["line"] == "mill-2"
    assert log.run("other") is None


def test_payloads_are_plain_and_whole(store: Store, log: EventLog) -> None:
    late = frame(0)
    verdict = Verdict(Outcome.NOT_INSPECTED, late.verdict.defects)
    store.add([FrameResult(**{**vars(late), "verdict": verdict, "cause": Cause.LATE, "detail": "After 9 ms."}), GAP])
    store.add([SCRATCH, Notice("top", "waiting", "top is away.")])
    told, gap, defect, notice = (message.payload for message in log.pending("mqtt", 100))
    when = "2025-01-01T00:00:00.000Z"
    found = [{"label": "bright", "score": 0.5, "x1": 0, "y1": 0, "x2": 10, "y2": 10}]
    assert told == {
        "run": store.run.id, "number": 0, "camera": "files", "source": "#0", "frame_id": None, "exposed": None,
        "time": when, "timestamp_ms": None, "position_m": None, "width": 200, "height": 100, "picture": None,
        "verdict": "not_inspected", "cause": "late", "detail": "After 9 ms.", "latency_ms": 9.0,
        "stages_ms": {"compute": 4.0, "end_to_end": 5.0}, "detections": found, "side": None,
    }  # fmt: skip
    assert gap == {
        "run": store.run.id, "number": 0, "camera": "top", "since": "2025-11-24T16:00:00.000000Z",
        "until": "2025-11-24T16:00:02.500000Z", "frames": 50, "position_m": 12.0, "length_m": 5.0,
        "cause": "The camera was unplugged.", "state": "closed",
    }  # fmt: skip
    assert {name: value for name, value in defect.items() if name != "time"} == {
        "run": store.run.id, "number": 0, "label": "rough", "score": 0.75, "severity": "major", "position_m": 10.5,
        "across_mm": 100.0, "length_mm": 40.0, "width_mm": 3.0, "first_frame": 7, "last_frame": 9, "cut": False,
        "repeat_m": None, "side": None,
    }  # fmt: skip
    assert (notice["state"], notice["message"], notice["number"]) == ("waiting", "top is away.", 0)


def test_every_sink_has_a_cursor_of_its_own_that_survives(store: Store, log: EventLog) -> None:
    store.add([frame(number) for number in range(5)])
    first = log.pending("mqtt", 2)
    log.delivered("mqtt", first[-1].event_id)
    log.delivered("mqtt", first[0].event_id)  # a cursor never goes back
    with EventLog(store.path) as again:
        assert [message.payload["number"] for message in again.pending("mqtt", 10)] == [2, 3, 4]
        assert [message.payload["number"] for message in again.pending("webhook", 10)] == [0, 1, 2, 3, 4]
        again.delivered("mqtt", 5)
        assert again.pending("mqtt", 10) == []


def test_two_runs_in_one_batch(store: Store, log: EventLog, detector: BundleDetector) -> None:
    store.add([frame(0, 2), frame(1)])
    store.begin_run(detector, "cameras", "mill-2")
    store.add([frame(0), frame(1, 4)])
    assert [len(message.payload["detections"]) for message in log.pending("mqtt", 10)] == [2, 1, 1, 4]


def test_a_waiting_thread_is_woken_and_so_are_all_others(tmp_path: Path, detector: BundleDetector) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        with Store(tmp_path / "results.sqlite", writing) as store, EventLog(store.path, reading) as log:
            store.begin_run(detector, "cameras")
            heard: dict[str, float] = {}
            waiting = threading.Barrier(4)

            def forward(sink: str) -> None:
                assert log.pending(sink, 10) == []
                waiting.wait(10)
                while not log.pending(sink, 10):
                    log.wait(20)
                heard[sink] = time.monotonic()

            threads = [threading.Thread(target=forward, args=(name,)) for name in ("mqtt", "webhook", "plant")]
            for thread in threads:
                thread.start()
            waiting.wait(10)
            stored = time.monotonic()
            store.add([frame(0)])
            for thread in threads:
                thread.join(15)
            assert len(heard) == 3
            assert max(heard.values()) - stored < 5
    finally:
        os.close(reading)
        os.close(writing)


def test_what_was_stored_before_the_wait_ends_it_at_once(tmp_path: Path, detector: BundleDetector) -> None:
    reading, writing = os.pipe()
    try:
        with Store(tmp_path / "results.sqlite", writing) as store, EventLog(store.path, reading) as log:
            store.begin_run(detector, "cameras")
            assert log.pending("mqtt", 10) == []
            store.add([frame(0)])
            began = time.monotonic()
            log.wait(20)
            assert time.monotonic() - began < 5
            log.pending("mqtt", 10)
            log.wait(0.05)  # and nothing new ends the next one only in time
    finally:
        os.close(reading)
        os.close(writing)


def test_a_log_that_nobody_wakes_looks_by_itself(store: Store, log: EventLog) -> None:
    assert log.pending("mqtt", 10) == []
    timer = threading.Timer(0.1, store.add, ([frame(0)],))
    timer.start()
    began = time.monotonic()
    log.wait(20)
    assert time.monotonic() - began < 5
    assert len(log.pending("mqtt", 10)) == 1
    timer.join()


def test_a_writer_that_has_gone_leaves_the_log_looking_by_itself(tmp_path: Path, detector: BundleDetector) -> None:
    reading, writing = os.pipe()
    with Store(tmp_path / "results.sqlite") as store, EventLog(store.path, reading) as log:
        store.begin_run(detector, "cameras")
        os.close(writing)
        log.pending("mqtt", 10)
        log.wait(0.3)
        store.add([frame(0)])
        log.wait(20)
        assert len(log.pending("mqtt", 10)) == 1
    os.close(reading)


def test_a_writer_whose_listener_does_not_listen_goes_on(tmp_path: Path, detector: BundleDetector) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with Store(tmp_path / "results.sqlite", writing) as store:
        store.begin_run(detector, "cameras")
        while True:
            try:
                os.write(writing, b"\0" * 4096)
            except BlockingIOError:
                break
        store.add([frame(0)])
        os.close(reading)
        store.add([frame(1)])
    os.close(writing)
