"""The example of a subscriber: killed and started again, it has taken each message once and in order."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from broker import broker, needs_mosquitto
from outgoing import MemoryLog, eventually, frame, running
from temper.deploy.publish.mqtt import MqttSink
from temper.deploy.publish.settings import MqttSettings

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "subscribe.py"


def taken(folder: Path) -> list[int]:
    """Numbers of the frames in the file of the example, in the order in which they were taken."""
    try:
        with closing(sqlite3.connect(f"file:{folder}/temper-example.sqlite?mode=ro", uri=True)) as file:
            rows = file.execute("SELECT json_extract(body, '$.number') FROM message ORDER BY rowid")
            return [number for (number,) in rows]
    except sqlite3.OperationalError:
        return []


@needs_mosquitto
def test_the_example_of_a_subscriber_takes_each_message_once(tmp_path: Path) -> None:
    log = MemoryLog()
    with broker(tmp_path / "broker") as made:
        made.start()
        command = [sys.executable, str(EXAMPLE), "127.0.0.1", str(made.port)]

        def subscribe() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=tmp_path, stdout=output)

        with (tmp_path / "out").open("wb") as output, running(MqttSink(MqttSettings(port=made.port), "mill-2"), log):
            example = subscribe()
            try:
                eventually(lambda: b"mill-2 is online" in (tmp_path / "out").read_bytes())
                log.add(*map(frame, range(100)))
                eventually(lambda: len(taken(tmp_path)) > 20)
                example.kill()
                example.wait(10)
                log.add(*map(frame, range(100, 200)))
                eventually(lambda: log.behind("mqtt") == 0)
                example = subscribe()
                eventually(lambda: len(taken(tmp_path)) == 200)
            finally:
                example.kill()
                example.wait(10)
    assert taken(tmp_path) == list(range(200))
    assert b"mill-2 frame 199: ok" in (tmp_path / "out").read_bytes()
