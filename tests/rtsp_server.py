"""The drill's RTSP server as a process, for tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from broker import await_port, free_port
from temper.core.errors import MissingDependencyError
from temper.deploy.cameras.introspection import typelib


class Server:
    def __init__(self, *account: str) -> None:
        self.port, self.account = free_port(), account
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "temper.deploy.drill.rtsp_server", str(self.port), *self.account]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self.port, self.process)

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def url(self, account: str = "", path: str = "line") -> str:
        return f"rtsp://{account}127.0.0.1:{self.port}/{path}"


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that is started; skips the test where there is none."""
    try:
        typelib("GstRtspServer", "1.0")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    one = Server()
    one.start()
    try:
        yield one
    finally:
        one.stop()
