from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from temper.core import files
from temper.core.errors import TemperError
from temper.core.files import (
    PARTIAL_SUFFIX,
    TooLongError,
    atomic_folder,
    read_bytes,
    read_json,
    remove_partial,
    walk_folder,
)


def fill(path: Path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner/file").write_text(text)


@pytest.mark.parametrize("swaps", [True, False])
def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool) -> None:
    if not swaps:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    for text in ("old", "new"):
        fill(tmp_path / "set", text)
        assert (tmp_path / "set/inner/file").read_text() == text
        assert os.listdir(tmp_path) == ["set"], "nothing else is left"


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    fill(tmp_path / "set", "old")

    def interrupted() -> None:
        with atomic_folder(tmp_path / "set") as folder:
            (folder / "half").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "set/inner/file").read_text() == "old"
    assert os.listdir(tmp_path) == ["set"]


def test_where_names_cannot_be_swapped_a_failed_rename_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "set", "old")
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    real = os.replace

    def failing(source: Path, target: Path) -> None:
        if str(source).endswith(PARTIAL_SUFFIX) and Path(target) == tmp_path / "set":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="Input/output error"):
        fill(tmp_path / "set", "new")
    assert (tmp_path / "set/inner/file").read_text() == "old"
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_one_of_both_is_there(tmp_path: Path, number: signal.Signals) -> None:
    code = """
import sys
from pathlib import Path
from temper.core.files import atomic_folder
from temper.core.interruption import listening
with listening():
    for turn in range(10**6):
        with atomic_folder(Path(sys.argv[1])) as folder:
            for name in "abcdefgh":
                (folder / name).write_text(str(turn))
        print(turn, flush=True)
"""
    target = tmp_path / "set"
    for wait in (0.0, 0.003, 0.011, 0.02, 0.033):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(wait)
        process.send_signal(number)
        process.wait(timeout=30)
        process.stdout.close()
        remove_partial(tmp_path)
        assert os.listdir(tmp_path) == ["set"]
        assert len({(target / name).read_text() for name in "abcdefgh"}) == 1, "whole, and of one turn"


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for length in (0, 9, 10):
        path.write_bytes(b"x" * length)
        assert read_bytes(path, 10) == b"x" * length
    path.write_bytes(b"x" * 11)
    with pytest.raises(TooLongError, match=r"/a has more than 10 bytes"):
        read_bytes(path, 10)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none", 10)


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(TooLongError, match="/dev/zero has more than 1,000 bytes"):
        read_bytes(Path("/dev/zero"), 1000)


def test_json_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path) == read_json(path, 6) == [1, 2]
    with pytest.raises(TemperError, match="a.json has more than 5 bytes"):
        read_json(path, 5)


def test_what_a_killed_process_left_is_taken_away_and_a_living_ones_is_not(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from temper.core.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "set")], check=False)
    (left,) = tmp_path.iterdir()
    with atomic_folder(tmp_path / "set") as mine:
        assert not left.exists()
        with atomic_folder(tmp_path / "set"):
            assert mine.is_dir(), "somebody is still at work in it"


def test_a_relative_folder_is_walked_like_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "here" / "data" / "up").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    assert [folder for folder, _, _ in walk_folder(Path("data"))] == ["data"]
    assert len(list(walk_folder(tmp_path / "here" / "data"))) == 1
