"""Numbers that processes share."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from temper.core.errors import TemperError
from temper.deploy.supervision.board import Board


def test_numbers_are_unset_until_they_are_written(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", ["store", "camera top", "größe"])
    assert board.names == ("store", "camera top", "größe")
    assert board.get("store") is None
    assert board.age("store") is None
    board.set("größe", 2.5)
    board.set("unknown", 1.0)
    assert Board(tmp_path / "board").get("größe") == 2.5
    assert board.get("unknown") is None
    board.clear(["größe"])
    assert board.get("größe") is None


def test_a_sign_of_life_is_seen_by_another_process_and_outlives_its_writer(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", ["store"])
    code = (
        "import os, signal, pathlib; from temper.deploy.supervision.board import Board;"
        f"Board(pathlib.Path({str(tmp_path / 'board')!r})).beat('store'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=False)
    age = board.age("store")
    assert age is not None
    assert age <= time.monotonic() - started


def test_a_reader_never_sees_half_a_number(tmp_path: Path) -> None:
    """While another process writes as fast as it can: a moment read in halves would look like hours of silence."""
    board = Board.create(tmp_path / "board", ["before", "store"])
    code = (
        "import pathlib; from temper.deploy.supervision.board import Board\n"
        f"board = Board(pathlib.Path({str(tmp_path / 'board')!r}))\nwhile True: board.beat('store')"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        try:
            while board.get("store") is None:
                time.sleep(0.01)
            began = board.get("store")
            assert began is not None
            seen = [board.get("store") for _ in range(300_000)]
        finally:
            writer.kill()
    assert len(set(seen)) > 100
    assert min(moment or 0.0 for moment in seen) >= began
    board.close()


def test_what_is_no_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="cannot be opened"):
        Board(tmp_path / "none")
    (tmp_path / "other").write_bytes(b"x" * 100)
    with pytest.raises(TemperError, match="is no board"):
        Board(tmp_path / "other")
