"""A line on trial: a camera that counts, a broker with a subscriber, the service: each a process that can be killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ...core.errors import MissingDependencyError, TemperError, install_hint
from ..results.schema import STORE_NAME
from .gige_camera import LOOPBACK_LOCK, SentFrame, read_sent

_PERSISTENT = "persistence true\nautosave_on_changes true\nautosave_interval 1\n"


class Process:
    """A program of the rig.

    Args:
        command: what is run.
        log: file for what it says.
        environment: variables beside this process's own.
        sign: the line on standard output that says that it is ready; None does not wait.
    """

    def __init__(
        self, command: list[str], log: Path, environment: Mapping[str, str] | None = None, sign: str | None = None
    ):
        self._command, self._log, self._sign = command, log, sign
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None while it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._sign else log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        if self._sign and self._process.stdout is not None:
            said = self._process.stdout.readline().decode().strip()
            if said != self._sign:
                raise TemperError(f"{self._command[0]} did not start; see {self._log}.")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; after SIGKILL wait until it is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait()
            self._let_go()

    def stop(self, seconds: float = 40.0) -> int | None:
        """Ask it to end, and give its exit code; it is killed if it does not."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            code: int | None = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            self._process.kill()
            self._process.wait()
        self._let_go()
        return code

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


class Subscriber:
    """Hears everything on a broker, and keeps each key once, in the order of its first arrival.

    Args:
        port: of the broker on loopback.
        topic: below which it listens.
    """

    def __init__(self, port: int, topic: str) -> None:
        try:
            import paho.mqtt.client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            told = "The drill needs paho-mqtt, which is not installed. "
            raise MissingDependencyError(told + install_hint("plant")) from error
        self.keys: OrderedDict[str, float] = OrderedDict()
        self.heard = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="drill", clean_session=False)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port, keepalive=10)
        self._client.loop_start()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        with contextlib.suppress(ValueError):
            told = json.loads(message.payload)
            if "key" in told:
                self.heard += 1
                self.keys.setdefault(told["key"], time.time())

    def close(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()


class Rig:
    """Everything of one drill, below one folder.

    Args:
        folder: for results and logs; new.
        bundle: that inspects.
        fps: frames a second of the camera.
        size: width and height of its frames.
        changes: of the line's configuration, by section.
        environment: further variables of the service.
        broker: whether there is a broker.
        results: folder of the results; below ``folder``.
        first_frame: whether to wait for a verdict before anything is broken.
        images: folder of pictures that the camera sends; synthetic ones without.
        public_key: that must have signed the bundle; None asks for no signature.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        fps: float = 25.0,
        size: tuple[int, int] = (512, 512),
        changes: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        broker: bool = True,
        results: Path | None = None,
        first_frame: bool = True,
        images: Path | None = None,
        public_key: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=results is not None)
        self.folder, self.results = folder, results or folder / "results"
        self.counts = folder / "sent"
        self._first_frame = first_frame
        self.store = self.results / STORE_NAME
        self.serial = f"D{os.getpid()}"
        self.broker_port = free_port() if broker else None
        self.metrics_port = free_port()
        self.config = {**self._config(fps, size), **(changes or {})}
        (folder / "line.yml").write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        camera = [
            sys.executable,
            "-m",
            f"{__package__}.gige_camera",
            "--serial",
            self.serial,
            "--counts",
            str(self.counts),
            *(() if images is None else ("--images", str(images))),
        ]
        self.camera = Process(camera, folder / "camera.log", sign="ready")
        command = [sys.executable, "-m", "temper", "deploy", "run", str(bundle), "--config", str(folder / "line.yml")]
        command += [] if public_key is None else ["--public-key", str(public_key)]
        self.service = Process(command, folder / "service.log", environment)
        self.broker = self._broker() if broker else None
        self.subscriber: Subscriber | None = None

    def __enter__(self) -> Rig:
        self._lock = (Path(tempfile.gettempdir()) / LOOPBACK_LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            if self.broker is not None and self.broker_port is not None:
                self.broker.start()
                wait_for(lambda: _listens(self.broker_port or 0), 20, "the broker to listen")
                self.subscriber = Subscriber(self.broker_port, "temper")
            self.camera.start()
            self.service.start()
            if self._first_frame:
                wait_for(lambda: self.frames() > 0, 120, "the first verdict")
            else:
                wait_for(lambda: len(self.parts()) == 2, 120, "the service to start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self.camera.kill()
        if self.subscriber is not None:
            self.subscriber.close()
        if self.broker is not None:
            self.broker.kill()
        self._lock.close()

    @property
    def sent(self) -> list[SentFrame]:
        """What the camera has sent so far."""
        return read_sent(self.counts)

    def frames(self) -> int:
        """How many frames are stored."""
        return self.count("frame")

    def count(self, table: str) -> int:
        """How many rows a table of the store has."""
        return int(self._query(f"SELECT count(*) FROM {table}"))

    def verdicts(self) -> dict[str, int]:
        """How many frames ended as what, with the cause of those that were not inspected."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=5)) as connection:
            rows = connection.execute("SELECT verdict, cause, count(*) FROM frame GROUP BY 1, 2").fetchall()
        return {verdict if cause is None else f"{verdict}, {cause}": count for verdict, cause, count in rows}

    def newest_event(self) -> int:
        """The number of the last event that is stored."""
        return int(self._query("SELECT coalesce(max(id), 0) FROM event"))

    def wait_for_frames(self, seconds: float) -> float:
        """Wait until another frame is stored; gives the seconds it took."""
        before = self.frames()
        started = time.monotonic()
        wait_for(lambda: self.frames() > before, seconds, "another verdict")
        return time.monotonic() - started

    def wait_until_told(self, sink: str, seconds: float) -> None:
        """Wait until a sink has delivered everything that is stored now; frames go on coming meanwhile."""
        newest = self.newest_event()
        query = f"SELECT coalesce((SELECT event_id FROM cursor WHERE sink = '{sink}'), 0)"
        wait_for(lambda: int(self._query(query)) >= newest, seconds, f"{sink} to deliver what waits")

    def parts(self) -> dict[str, int]:
        """The process ids of the service's parts that run."""
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((self.results / "service" / "state.json").read_text(encoding="utf-8"))
            return {name: part["pid"] for name, part in state["parts"].items() if part["pid"]}
        return {}

    def _query(self, statement: str) -> Any:
        address = f"file:{self.store}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=5)) as connection:
                return connection.execute(statement).fetchone()[0]
        except sqlite3.Error:  # not there yet
            return 0

    def _config(self, fps: float, size: tuple[int, int]) -> dict[str, Any]:
        camera = {
            "name": "top",
            "type": "aravis",
            # by its id it may be found through another interface, to which a camera on loopback cannot send
            "address": "127.0.0.1",
            "pixel_format": "Mono8",
            "region": [0, 0, *size],
            "frame_rate": float(fps),
            "packet_bytes": 8996,
            "mm_per_pixel": 0.3,
            "reconnect_seconds": 1.0,
            "silence_seconds": 3.0,
        }
        return {
            "line": "drill",
            "cameras": [camera],
            "strip": {"by": "speed", "metres_per_second": 3.0},
            "results": {"folder": str(self.results)},
            "mqtt": {"port": self.broker_port} if self.broker_port is not None else None,
            "metrics": {"port": self.metrics_port},
        }

    def _broker(self) -> Process:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise MissingDependencyError("The drill needs the broker mosquitto: sudo apt-get install mosquitto.")
        user = "user root\n" if os.getuid() == 0 else ""
        config = self.folder / "mosquitto.conf"
        places = f"persistence_location {self.folder}/\n"
        listener = f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        config.write_text(user + listener + _PERSISTENT + places, encoding="utf-8")
        return Process([program, "-c", str(config)], self.folder / "broker.log")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float, what: str, stop: threading.Event | None = None) -> None:
    """Wait until something is so.

    Raises:
        TemperError: if it is not within ``seconds``.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until or (stop is not None and stop.is_set()):
            raise TemperError(f"Waited {seconds:.0f} s for {what}, and it did not come.")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
