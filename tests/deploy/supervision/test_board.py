"""Numbers that processes share."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
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
    whole = Board.create(tmp_path / "board", ["store"]).path.read_bytes()
    other = tmp_path / "other"
    for content in (b"x" * 100, b"x", whole[:16], whole[:-8], whole.replace(b'["', b"[["), whole[:12] + b"\xff" * 20):
        other.write_bytes(content)
        with pytest.raises(TemperError, match="is no board"):
            Board(other)


def test_no_half_of_a_number_is_ever_read(tmp_path: Path) -> None:
    """Two values that differ in every byte, written as fast as can be by another process."""
    low, high = (struct.unpack("d", bytes([byte]) * 8)[0] for byte in (0x11, 0x22))
    board = Board.create(tmp_path / "board", ["store"])
    code = (
        "import pathlib; from temper.deploy.supervision.board import Board;"
        f"board = Board(pathlib.Path({str(tmp_path / 'board')!r}))\n"
        f"while True: board.set('store', {low!r}); board.set('store', {high!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        try:
            deadline = time.monotonic() + 60
            while board.get("store") is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            seen = {board.get("store") for _ in range(300_000)}
        finally:
            writer.kill()
    assert seen <= {low, high}


def test_who_has_done_its_work_is_not_overdue(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", ["camera"])
    board.beat("camera")
    assert board.age("camera", time.monotonic() + 100) == pytest.approx(100, abs=5)
    board.rest("camera")
    assert board.age("camera", time.monotonic() + 1e9) == 0.0


def test_a_board_is_read_without_the_right_to_write_it() -> None:
    # not tmp_path, which other users may not enter
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        board = Board.create(Path(place) / "board", ["store"])
        board.path.chmod(0o444)
        board.set("store", 2.5)
        become = "os.setuid(65534);" if os.getuid() == 0 else ""
        code = (
            f"import os, pathlib; from temper.deploy.supervision.board import Board; {become}"
            f"print(Board(pathlib.Path({str(board.path)!r})).get('store'))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "2.5", done.stderr
