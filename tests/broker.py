"""A real mosquitto on a free port: plain, with a password, or with TLS, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Certificates

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
MOSQUITTO_PASSWD = shutil.which("mosquitto_passwd")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (apt install mosquitto)")

# with these a broker that is killed keeps what it has acknowledged; without, it loses the subscribers' queues
PERSISTENCE = "persistence true\nautosave_on_changes true\nautosave_interval 1\npersistence_location {folder}/\n"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Wait until somebody listens on a port of loopback."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, "it ended while starting"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port} after {seconds} s")


@dataclass
class Broker:
    """One broker; ``start`` and ``kill`` as often as wanted."""

    folder: Path
    port: int
    options: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        config = self.folder / "mosquitto.conf"
        user = "user root\n" if os.getuid() == 0 else ""
        config.write_text(
            f"{user}listener {self.port} 127.0.0.1\n{self.options}\n" + PERSISTENCE.format(folder=self.folder)
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(config), "-v"], stdout=log, stderr=log)
        await_port(self.port, self.process)

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def broker(folder: Path, options: str = "allow_anonymous true") -> Iterator[Broker]:
    """A broker that is not started yet; killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Broker(folder, free_port(), options)
    try:
        yield made
    finally:
        made.kill()


def with_password(folder: Path, user: str, password: str) -> str:
    """Options of a broker that lets in one user."""
    assert MOSQUITTO_PASSWD is not None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "passwords"
    subprocess.run([MOSQUITTO_PASSWD, "-b", "-c", str(file), user, password], check=True, capture_output=True)
    return f"allow_anonymous false\npassword_file {file}"


def with_tls(certificates: Certificates, client_certificates: bool = False) -> str:
    """Options of a broker with TLS."""
    return (
        f"allow_anonymous true\ncafile {certificates.ca}\ncertfile {certificates.server}\n"
        f"keyfile {certificates.server_key}\nrequire_certificate {str(client_certificates).lower()}"
    )
