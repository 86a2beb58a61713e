"""A real GigE Vision camera on loopback, one at a time on this machine, ended for sure."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from temper.core.errors import MissingDependencyError
from temper.deploy.cameras.discovery import gige_in_use
from temper.deploy.cameras.introspection import aravis
from temper.deploy.drill.gige_camera import CONTROL_PORT, LOOPBACK_LOCK, SentFrame, read_sent

_serials = itertools.count()
_held = False
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """So that no camera outlives a test that is killed, and answers for the next one's."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def require_aravis() -> None:
    """Skip where Aravis is not installed."""
    try:
        aravis()
    except MissingDependencyError as error:
        pytest.skip(str(error))


class Camera:
    """The counting camera as a program, to be started, killed and started again."""

    def __init__(self, folder: Path, serial: str, options: tuple[str, ...] = ()) -> None:
        self.serial = serial
        self.counts = folder / f"sent-{serial}"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def id(self) -> str:
        return f"Aravis-Fake-{self.serial}"

    @property
    def sent(self) -> list[SentFrame]:
        return read_sent(self.counts)

    def start(self) -> None:
        command = [sys.executable, "-m", "temper.deploy.drill.gige_camera", "--serial", self.serial]
        self._process = subprocess.Popen(
            [*command, "--counts", str(self.counts), *self._options],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)
            if number == signal.SIGKILL:
                self._process.wait()
                assert self._process.stdout is not None
                self._process.stdout.close()
                self._process = None


@contextlib.contextmanager
def one_camera_at_a_time() -> Iterator[None]:
    """Two cameras on one address start without a word and answer for one another: so there is never a second one."""
    global _held
    assert not _held, "this process has a camera already: a fixture's, perhaps"
    with (Path(tempfile.gettempdir()) / LOOPBACK_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _held = True
        try:
            _await_free_address()
            yield
        finally:
            _held = False


def _await_free_address(seconds: float = 120.0) -> None:
    """Wait for whoever runs a camera here without the lock."""
    until = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", CONTROL_PORT))
            return
        if time.monotonic() > until:
            pytest.skip("another camera runs on 127.0.0.1")
        time.sleep(0.2)


def _await_camera(seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while gige_in_use("127.0.0.1", 0.2) is None:
        assert time.monotonic() < until, "the camera does not answer"
        time.sleep(0.05)


@contextlib.contextmanager
def counting_camera(folder: Path, *options: str) -> Iterator[Camera]:
    """A camera that counts what it sends; ``options`` are those of its command line."""
    require_aravis()
    with one_camera_at_a_time():
        camera = Camera(folder, f"T{os.getpid()}x{next(_serials)}", options)
        try:
            camera.start()
            yield camera
        finally:
            camera.kill()


@contextlib.contextmanager
def lossy_camera(per_thousand: int) -> Iterator[str]:
    """Aravis's own fake camera that loses packets; gives its id."""
    require_aravis()
    program = shutil.which("arv-fake-gv-camera-0.8")
    if program is None:
        pytest.skip("arv-fake-gv-camera-0.8 is not installed (apt package aravis-tools-cli)")
    serial = f"L{os.getpid()}x{next(_serials)}"
    with one_camera_at_a_time():
        command = [program, "-i", "127.0.0.1", "-s", serial, "-r", str(per_thousand)]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
        ) as process:
            try:
                _await_camera()
                yield f"Aravis-Fake-{serial}"
            finally:
                process.kill()
