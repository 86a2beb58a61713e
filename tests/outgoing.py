"""Messages to be told, a log of them in memory, and a forwarder at work in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from temper.core.events import Event
from temper.deploy.publish.settings import Backoff
from temper.deploy.publish.sink import Forwarder, Sink
from temper.deploy.results.message import Message, MessageKind

RUN = "0d9e4c1e-6a3f-4c57-9c06-7b7e4fb1a001"
QUICK = Backoff(first=0.05, most=0.4, slow=0.5)


def frame(number: int, **changes: Any) -> Message:
    """The message of an inspected frame."""
    payload = {
        "run": RUN,
        "number": number,
        "camera": "top",
        "source": f"top frame {number}",
        "frame_id": number,
        "exposed": "2026-01-02T03:04:05.000000Z",
        "time": "2026-01-02T03:04:05.012Z",
        "timestamp_ms": None,
        "position_m": 0.5 * number,
        "width": 4096,
        "height": 1024,
        "verdict": "ok",
        "cause": None,
        "detail": None,
        "picture": None,
        "latency_ms": 12.0,
        "side": "top",
        "stages_ms": {"compute": 4.0, "end_to_end": 6.0},
        "detections": [],
    }
    return message("frame", number, payload | changes)


def gap(number: int, **changes: Any) -> Message:
    """The message of a gap of ten frames."""
    payload = {
        "run": RUN,
        "number": number,
        "camera": "top",
        "since": "2026-01-02T03:04:05.000000Z",
        "until": "2026-01-02T03:04:15.000000Z",
        "frames": 10,
        "position_m": 1.0,
        "length_m": 5.0,
        "cause": "the camera did not answer",
        "state": "closed",
    }
    return message("gap", number, payload | changes)


def defect(number: int, **changes: Any) -> Message:
    """The message of a minor scratch."""
    payload = {
        "run": RUN,
        "number": number,
        "time": "2026-01-02T03:04:05.012Z",
        "label": "scratches",
        "score": 0.9,
        "severity": "minor",
        "position_m": 1.0,
        "across_mm": 20.0,
        "length_mm": 30.0,
        "width_mm": 2.0,
        "first_frame": 2,
        "last_frame": 3,
        "cut": False,
        "repeat_m": None,
        "side": "top",
    }
    return message("defect", number, payload | changes)


def notice(number: int, state: str = "connected") -> Message:
    """The message of a camera's state."""
    payload = {
        "run": RUN,
        "number": number,
        "camera": "top",
        "state": state,
        "message": f"the camera top is {state}",
        "time": "2026-01-02T03:04:05.012Z",
    }
    return message("notice", number, payload)


def message(kind: MessageKind, number: int, payload: dict[str, Any]) -> Message:
    return Message(number + 1, f"{RUN}:{kind}:{number}", kind, payload)


class MemoryLog:
    """A log that keeps nothing on the disk; messages may be added while it is read."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[Message] = []
        self._cursors: dict[str, int] = {}

    def add(self, *messages: Message) -> None:
        """Add messages; their ids are given by the order in which they come."""
        with self._changed:
            for told in messages:
                event_id = 2 * len(self._messages) + 1  # with holes
                self._messages.append(Message(event_id, told.key, told.kind, told.payload))
            self._changed.notify_all()

    def pending(self, sink: str, limit: int) -> list[Message]:
        with self._changed:
            return self._waiting(sink)[:limit]

    def delivered(self, sink: str, event_id: int) -> None:
        with self._changed:
            assert event_id >= self._cursors.get(sink, 0), "a cursor never goes back"
            self._cursors[sink] = event_id
            self._changed.notify_all()

    def behind(self, sink: str) -> int:
        with self._changed:
            return len(self._waiting(sink))

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(seconds)

    def _waiting(self, sink: str) -> list[Message]:
        cursor = self._cursors.get(sink, 0)
        return self._messages[(cursor + 1) // 2 :]


class Running:
    """A forwarder in a thread, what it reported, and when it beat."""

    def __init__(self, sink: Sink, log: MemoryLog, backoff: Backoff = QUICK, drain_seconds: float = 5.0) -> None:
        self.events: list[Event] = []
        self.beats = [time.monotonic()]
        self.stop = threading.Event()
        self.forwarder = Forwarder(sink, log, backoff, self.events.append, drain_seconds)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.forwarder.run(self.stop, lambda: self.beats.append(time.monotonic()))
        except BaseException as error:
            self.error = error

    def warnings(self) -> list[str]:
        return [event.data["message"] for event in list(self.events) if event.kind == "warning"]

    def longest_silence(self) -> float:
        """Seconds between two beats, at most."""
        beats = list(self.beats)
        return max((after - before for before, after in zip(beats, beats[1:], strict=False)), default=0.0)

    def end(self, seconds: float = 10.0) -> None:
        self.stop.set()
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it does not stop"
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def running(sink: Sink, log: MemoryLog, backoff: Backoff = QUICK, drain_seconds: float = 5.0) -> Iterator[Running]:
    """A forwarder at work, stopped at the end."""
    work = Running(sink, log, backoff, drain_seconds)
    try:
        yield work
    finally:
        work.end()


def eventually(condition: Callable[[], bool], seconds: float = 20.0, what: str = "it") -> None:
    """Wait for something to become true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
