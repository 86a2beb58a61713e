"""A real sshd on a free port of loopback, with keys of its own, and what a user needs to log in there."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from broker import await_port, free_port

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh-keygen") is None or os.geteuid() != 0,
    reason="needs sshd, and root to start it (apt install openssh-server)",
)


def make_key(path: Path, passphrase: str = "") -> Path:
    """A new key pair; gives the private one's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


@dataclass
class SshServer:
    """One running sshd.

    Attributes:
        folder: of its files.
        port: on loopback.
        identity: a private key it lets in.
        known_hosts: a file in which it is.
        process: the server.
    """

    folder: Path
    port: int
    identity: Path
    known_hosts: Path
    process: subprocess.Popen[bytes]

    @property
    def login(self) -> str:
        """As the command line wants it."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def cut(self) -> int:
        """Kill the processes of all sessions, as where a cable is pulled; gives how many there were."""
        sessions = psutil.Process(self.process.pid).children()
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.send_signal(signal.SIGKILL)
        return len(sessions)


def host_line(port: int, host_key: Path) -> str:
    """A line of known_hosts."""
    kind, key = host_key.with_name(f"{host_key.name}.pub").read_text().split()[:2]
    return f"[127.0.0.1]:{port} {kind} {key}\n"


@contextlib.contextmanager
def ssh_server(folder: Path, **more: str) -> Iterator[SshServer]:
    """Start one, with further options of sshd; it and its sessions are killed at the end."""
    assert SSHD is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    host_key, identity, port = make_key(folder / "host_key"), make_key(folder / "id"), free_port()
    shutil.copy(folder / "id.pub", folder / "authorized_keys")
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(host_line(port, host_key))
    options: dict[str, object] = {
        "ListenAddress": "127.0.0.1",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
        "PidFile": folder / "pid",
        **more,
    }
    words = [SSHD, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(host_key)]
    words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    server = SshServer(folder, port, identity, known_hosts, process)
    try:
        await_port(port, process)
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            server.cut()
        process.kill()
        process.wait(10)
