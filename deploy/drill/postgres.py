"""A real PostgreSQL of a drill's or test's own: a cluster in a temporary folder, on a free port, ended with it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import MissingDependencyError, TemperError

#: Who runs the server where this runs as root, which PostgreSQL refuses.
SERVER_USER = "postgres"


class Postgres:
    """One cluster, whose server can be killed and started again.

    Attributes:
        port: of the server on 127.0.0.1.
        user: whom it lets in without a password.
    """

    user = "temper"

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._databases = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        if os.getuid() == 0:
            owner = pwd.getpwnam(SERVER_USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = str(folder / "data")
        self._call("initdb", "--pgdata", data, "--username", self.user, "--auth=trust", "--no-sync", "--encoding=UTF8")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder} -c fsync=off"
        log = str(self._folder / "log")
        self._call(
            "pg_ctl", "start", "--wait", "--timeout=60", "-D", str(self._folder / "data"), "-o", options, "-l", log
        )

    def stop(self, mode: str = "immediate") -> None:
        """End the server: ``immediate`` is as a crash, ``fast`` is in good order. Harmless if it does not run."""
        self._call("pg_ctl", "stop", "--wait", "-D", str(self._folder / "data"), "-m", mode, check=False)

    def new_database(self) -> str:
        """The address of an empty database, as ``postgresql://...``."""
        self._databases += 1
        name = f"plant{self._databases}"
        self.query("postgres", f"CREATE DATABASE {name}")
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def query(self, database: str, statement: str) -> list[list[str]]:
        """What a statement answers, by PostgreSQL's own client: rows of texts."""
        where = ["--host=127.0.0.1", f"--port={self.port}", f"--username={self.user}", f"--dbname={database}"]
        done = self._call("psql", *where, "--no-psqlrc", "--csv", "--tuples-only", "--command", statement)
        return [line.split(",") for line in done.stdout.splitlines()]

    def _call(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        words = [str(self._programs / program), *arguments]
        if os.getuid() == 0:
            words = ["runuser", "-u", SERVER_USER, "--", *words]
        # files, no pipes: the server would keep a pipe open, and whoever reads it would wait for ever
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(words, stdout=out, stderr=subprocess.STDOUT, cwd=self._folder, timeout=90)
            out.seek(0)
            text = out.read()
        if check and done.returncode:
            raise TemperError(f"PostgreSQL: {' '.join(words)}: {text}")
        return subprocess.CompletedProcess(words, done.returncode, text, "")


def find_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, of the newest version there is."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: float(path.parent.name), default=None)


@contextlib.contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL.

    Raises:
        MissingDependencyError: if it is not installed, or cannot be run by this user.
    """
    programs = find_programs()
    if programs is None:
        raise MissingDependencyError("The plant's database needs PostgreSQL: sudo apt-get install postgresql.")
    if os.getuid() == 0 and shutil.which("runuser") is None:
        raise MissingDependencyError("PostgreSQL does not run as root, and there is no runuser to leave root with.")
    # short: the path of a socket has at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="temper-pg-", dir="/tmp"))
    server = None
    try:
        server = Postgres(programs, folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
