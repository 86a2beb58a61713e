from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
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
    partial_folder,
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
    left = list(tmp_path.iterdir())
    assert sorted(path.is_dir() for path in left) == [False, True], "the folder and its lock"
    with atomic_folder(tmp_path / "set") as mine:
        assert not any(path.exists() for path in left)
        with atomic_folder(tmp_path / "set"):
            assert mine.is_dir(), "somebody is still at work in it"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


_AT_WORK = (
    "import sys; from pathlib import Path; from temper.core.files import atomic_folder\n"
    "with atomic_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'half').touch(); print(folder, flush=True); sys.stdin.read()"
)


def test_what_another_container_is_at_work_on_is_left_alone(tmp_path: Path) -> None:
    """Process numbers mean nothing there: neither is this one's number one of ours, nor ours one of its."""
    apart = ["unshare", "--map-root-user", "-pf", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives out no process namespaces")
    place = str(tmp_path / "set")
    # twice, so that one of the two has a number that is free here
    commands = [[sys.executable, "-c", _AT_WORK, place], [*apart, sys.executable, "-c", _AT_WORK, place]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        folders = []
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, **pipes))  # type: ignore[call-overload]
            stack.callback(process.stdin.close)
            folders.append(Path(process.stdout.readline().strip()))
        subprocess.run([*apart, sys.executable, "-c", _AT_WORK, place], stdin=subprocess.DEVNULL, check=True)
        with atomic_folder(tmp_path / "set"):
            assert all((folder / "half").is_file() for folder in folders)


def test_a_lock_that_is_taken_for_a_left_one_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, taken = fcntl.flock, list[int]()

    def lock(handle: int, how: int) -> None:
        if not taken:  # somebody looks through the folder just before
            taken.append(handle)
            for path in tmp_path.iterdir():
                path.unlink()
        whole(handle, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    with partial_folder(tmp_path, ".x.") as folder:
        assert taken and len(list(tmp_path.iterdir())) == 2 and folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_relative_folder_is_walked_like_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "here" / "data" / "up").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    assert [folder for folder, _, _ in walk_folder(Path("data"))] == ["data"]
    assert len(list(walk_folder(tmp_path / "here" / "data"))) == 1
