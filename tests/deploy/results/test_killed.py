"""What is announced is there, whatever happens to the one who writes."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stored_frames
from stored_frames import frame_result
from temper.core.errors import TemperError
from temper.deploy.detector import BundleDetector
from temper.deploy.results.events import EventLog
from temper.deploy.results.records import FrameResult
from temper.deploy.results.store import Store


def start(bundle: Path, path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, stored_frames.__file__, str(bundle), str(path)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_every_frame_that_was_announced_is_there_after_a_kill(bundle_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    moments = random.Random(5)
    announced: dict[str, int] = {}
    for _ in range(4):
        process = start(bundle_path, path)
        try:
            assert process.stdout is not None
            run, last = process.stdout.readline().split()  # it is at work
            killer = threading.Timer(moments.uniform(0.0, 0.4), process.kill)
            killer.start()
            for line in process.stdout:
                if line.endswith("\n"):
                    run, last = line.split()
            announced[run] = int(last)
        finally:
            process.kill()
            process.wait(10)
    with closing(sqlite3.connect(path)) as connection:
        stored = dict(connection.execute("SELECT run_id, max(number) FROM frame GROUP BY run_id").fetchall())
        counts = dict(connection.execute("SELECT run_id, count(*) FROM frame GROUP BY run_id").fetchall())
        events = dict(connection.execute("SELECT run_id, count(*) FROM event GROUP BY run_id").fetchall())
        found = connection.execute("SELECT sum(number % 4) FROM frame").fetchone()
        assert connection.execute("SELECT count(*) FROM detection").fetchone() == found
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert len(announced) == 4
    assert counts == events == {run: last + 1 for run, last in stored.items()}  # no holes, and each in the log
    assert all(stored[run] >= last for run, last in announced.items())


def test_two_readers_while_one_writes(bundle_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    process = start(bundle_path, path)
    trouble: list[BaseException] = []
    read = {"mqtt": 0, "webhook": 0}

    def forward(sink: str) -> None:
        try:
            with EventLog(path) as log:
                until = time.monotonic() + 1.5
                while time.monotonic() < until:
                    for message in log.pending(sink, 50):
                        assert message.payload["number"] == read[sink]  # one run: in order, without holes
                        assert len(message.payload["detections"]) == read[sink] % 4
                        read[sink] += 1
                        log.delivered(sink, message.event_id) if read[sink] % 50 == 0 else None
                    log.delivered(sink, message.event_id)
        except BaseException as error:
            trouble.append(error)

    try:
        assert process.stdout is not None
        process.stdout.readline()
        threads = [threading.Thread(target=forward, args=(sink,)) for sink in read]
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        for thread in [*threads, drain]:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        process.kill()
        process.wait(10)
    assert trouble == []
    assert min(read.values()) > 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own of 2 MB."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def batch(number: int) -> list[FrameResult]:
    return [frame_result(number + n, found=3) for n in range(16)]


def fill(store: Store, stored: list[int]) -> None:
    """Store batch after batch, and note the numbers of those frames that are stored."""
    while True:
        store.add(batch(len(stored)))
        stored += range(len(stored), len(stored) + 16)


def test_a_full_disk_loses_nothing_that_was_stored_and_goes_on_once_there_is_room(
    small_disk: Path, detector: BundleDetector
) -> None:
    path = small_disk / "results.sqlite"
    ballast = small_disk / "picture.jpg"
    ballast.write_bytes(b"x" * (1 << 20))
    with Store(path) as store:
        store.begin_run(detector, "cameras", "mill-2", ["top"])
        stored: list[int] = []
        with pytest.raises(TemperError, match="No space left on the disk while writing"):
            fill(store, stored)
        number = len(stored)
        with EventLog(path) as log:  # still readable
            assert log.behind("mqtt") == number > 0
        ballast.unlink()
        store.add(batch(number))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM frame").fetchone() == (number + 16,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
