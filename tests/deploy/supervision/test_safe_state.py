"""The safe state, the state file, the guard of the disk, and what systemd is told."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_supervisor import until
from temper.deploy.supervision import guards
from temper.deploy.supervision import state as state_module
from temper.deploy.supervision.board import Board
from temper.deploy.supervision.guards import DiskGuard
from temper.deploy.supervision.log import in_one_line
from temper.deploy.supervision.safe_state import hold, state_of
from temper.deploy.supervision.state import StateFile
from temper.deploy.supervision.systemd import notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


class Held:
    """A service in its safe state, in a thread."""

    def __init__(self, file: Path, folder: Path | None) -> None:
        self.stop, self.shown, self.changed = threading.Event(), [], None  # type: ignore[var-annotated]
        seen = [(file, state_of(file))]

        def run() -> None:
            reason = "line.yml:3: there is no field 'overlod'.\nDid you mean 'overload'?"
            self.changed = hold(reason, seen, self.stop, folder=folder, show=self.shown.append, look_seconds=0.05)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def end(self) -> bool | None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.changed


def test_the_safe_state_says_what_is_wrong_until_the_file_changes(tmp_path: Path, systemd: socket.socket) -> None:
    file, folder = tmp_path / "line.yml", tmp_path / "service"
    folder.mkdir()
    file.write_text("overlod: {}")
    held = Held(file, folder)
    try:
        told = systemd.recv(4096).decode().splitlines()
        assert told[:2] == ["READY=1", "WATCHDOG=1"]
        assert told[2:] == ["STATUS=line.yml:3: there is no field 'overlod'. Did you mean 'overload'?"]
        until(lambda: (folder / "state.json").is_file())
        state = json.loads((folder / "state.json").read_text())
        assert (state["state"], state["pid"], state["parts"]) == ("held", os.getpid(), {})
        assert state["reason"].startswith("line.yml:3: there is no field")
        age = Board(folder / "board").age("supervisor")
        assert age is not None
        assert age < 10
        assert held.thread.is_alive()
        assert len(held.shown) == 1
        # replaced by another of the same length, as editors do
        partial = tmp_path / "partial"
        partial.write_text("overload: {"[:11])
        os.replace(partial, file)
        held.thread.join(10)
        assert held.changed is True
        assert held.shown[-1] is None
    finally:
        held.end()


def test_the_safe_state_ends_when_it_is_stopped(tmp_path: Path) -> None:
    held = Held(tmp_path / "none.yml", None)
    time.sleep(0.2)
    assert held.thread.is_alive()
    assert held.end() is False


def test_a_file_that_appears_or_gets_readable_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "bundle"
    before = state_of(file)
    assert before is None
    file.write_text("x")
    there = state_of(file)
    assert there != before
    time.sleep(0.02)
    file.chmod(0o600)
    assert state_of(file) != there


def test_a_disk_that_takes_no_state_costs_only_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("temper"), "propagate", True)
    monkeypatch.setattr(state_module, "_AGAIN_SECONDS", 0.0)
    real = state_module.write_json

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    state = StateFile(tmp_path)
    monkeypatch.setattr(state_module, "write_json", broken)
    for _ in range(5):
        state.show({}, "running")
    assert len(caplog.records) == 1, "once, not at every look"
    monkeypatch.setattr(state_module, "write_json", real)
    state.show({"one": {"state": "running"}}, "running")
    written = (tmp_path / "state.json").stat().st_mtime_ns
    state.show({"one": {"state": "running"}}, "running")
    assert (tmp_path / "state.json").stat().st_mtime_ns == written, "only what is new is written"


def test_the_disk_is_told_once_below_its_limit_and_once_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("temper"), "propagate", True)
    caplog.set_level(logging.INFO)
    free = [10 << 20]
    usage = type("Usage", (), {"free": property(lambda _self: free[0])})
    monkeypatch.setattr(guards.shutil, "disk_usage", lambda _folder: usage())
    told: list[float] = []
    guard = DiskGuard(tmp_path, 8 << 20, told.append, look_seconds=0.0)
    for free[0] in (10 << 20, 7 << 20, 6 << 20, 8 << 20, 10 << 20, 10 << 20):
        guard()
    assert told == [10 << 20, 7 << 20, 6 << 20, 8 << 20, 10 << 20, 10 << 20]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert f"7 MiB are free on the disk of {tmp_path}, less than 8 MiB." in caplog.messages[0]


def test_lines_of_a_status_are_no_further_states(systemd: socket.socket) -> None:
    notify("READY=1", status="two\nMAINPID=1\nlines of rtsp://user:secret@camera")
    assert systemd.recv(4096).decode() == "READY=1\nSTATUS=two MAINPID=1 lines of rtsp://user:***@camera"


def test_a_systemd_that_does_not_listen_holds_nobody_up(systemd: socket.socket) -> None:
    started = time.monotonic()
    for _ in range(5000):  # more than its socket takes
        notify("WATCHDOG=1")
    assert time.monotonic() - started < 20
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_an_event_is_a_line() -> None:
    assert in_one_line("one\n  two\r\nthree ") == "one two three"
