"""A line on a watched folder, killed at any moment: every file has exactly one verdict in the end."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import inspect_folder
import pytest
from steel_pictures import steel
from temper.deploy.cameras.folder_files import DONE
from temper.deploy.results.schema import STORE_NAME
from temper.deploy.results.store import Store

FILES = 120


@contextmanager
def inspecting(bundle: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The inspecting part, at work; killed if it still runs at the end."""
    words = [sys.executable, inspect_folder.__file__, str(bundle), str(config)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def write_config(tmp_path: Path, afterwards: str, cameras: tuple[str, ...] = ("drop",)) -> Path:
    config = tmp_path / "line.json"
    sections = [
        {
            "name": name,
            "type": "folder",
            "path": str(tmp_path / name),
            "settle_seconds": 0.05,
            "give_up_seconds": 0.1,
            "reconnect_seconds": 0.5,
            "afterwards": afterwards,
        }
        for name in cameras
    ]
    for name in cameras:
        (tmp_path / name).mkdir()
    content = {
        "line": "mill-2",
        "cameras": sections,
        "checks": {"frozen_after": 0},
        "overload": {"policy": "block", "queue": 4},
        "engine": {"threads": 1, "batch": 1},
        "results": {"folder": str(tmp_path / "results"), "pictures": "none"},
        "metrics": None,
    }
    config.write_text(json.dumps(content))
    return config


def verdicts(tmp_path: Path) -> Counter[str]:
    """How many verdicts each file has."""
    with closing(sqlite3.connect(tmp_path / "results" / STORE_NAME)) as connection:
        return Counter(source for (source,) in connection.execute("SELECT source FROM frame").fetchall())


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.02)


@pytest.mark.parametrize("afterwards", ["keep", "delete"])
def test_every_file_has_exactly_one_verdict_however_often_it_is_killed(
    afterwards: str, bundle_path: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path, afterwards)
    picture = cv2.imencode(".png", steel(False))[1].tobytes()
    for number in range(FILES):
        (tmp_path / "drop" / f"{number:03d}.png").write_bytes(picture)
    moments = random.Random(7)
    store = tmp_path / "results" / STORE_NAME
    Store(store).close()
    killed_at = []
    for _ in range(2):
        before = verdicts(tmp_path).total()
        with inspecting(bundle_path, config):
            wait_for(lambda before=before: verdicts(tmp_path).total() > before)  # type: ignore[misc]
            time.sleep(moments.uniform(0.0, 0.05))  # the moment of a kill
        killed_at.append(verdicts(tmp_path).total())
    assert killed_at[0] < FILES, "it was killed at work"
    with inspecting(bundle_path, config) as process:
        wait_for(lambda: len(verdicts(tmp_path)) == FILES)
        process.terminate()
        assert process.wait(20) == 0
    assert set(verdicts(tmp_path).values()) == {1}
    names = {f"{number:03d}.png" for number in range(FILES)}
    left = set(os.listdir(tmp_path / "drop"))
    assert left == (names if afterwards == "keep" else set())
    with Store(store) as opened:
        assert {file.name for file in opened.inspected("drop")} >= (names if afterwards == "keep" else set())


def test_what_one_folder_cannot_do_does_not_end_the_other(bundle_path: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, "move", ("drop", "other"))
    picture = cv2.imencode(".png", steel(False))[1].tobytes()
    (tmp_path / "drop" / DONE / "000.png").mkdir(parents=True)
    for name in ("drop", "other"):
        for number in range(3):
            (tmp_path / name / f"{number:03d}.png").write_bytes(picture)
    Store(tmp_path / "results" / STORE_NAME).close()
    with inspecting(bundle_path, config) as process:
        wait_for(lambda: verdicts(tmp_path).total() == 6)
        (tmp_path / "drop" / "003.png").write_bytes(picture)
        wait_for(lambda: verdicts(tmp_path).total() == 7)
        process.terminate()
        assert process.wait(20) == 0
    assert os.listdir(tmp_path / "other") == [DONE]
    assert sorted(os.listdir(tmp_path / "drop")) == ["000.png", DONE]
    with closing(sqlite3.connect(tmp_path / "results" / STORE_NAME)) as connection:
        told = connection.execute("SELECT body FROM event WHERE kind = 'notice'").fetchall()
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
    assert sum("000.png cannot be put away" in body for (body,) in told) == 1
