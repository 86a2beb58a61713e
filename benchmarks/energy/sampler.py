"""Reads a sensor at its own rate, on a thread of the process that waits while the candidate's process works."""

from __future__ import annotations

import threading
from types import TracebackType

from ...core.errors import TemperError
from .sensor import Reading, Sensor


class Sampler:
    """Keeps all readings of a sensor while a ``with`` block lasts.

    A sensor that fails is read no more; ``trouble`` says why, and what it told before is kept.

    Args:
        sensor: read by nobody else meanwhile; whoever opened it closes it.
    """

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self.trouble: str | None = None
        self._readings: list[Reading] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"sensor {sensor.info.name}", daemon=True)

    def __enter__(self) -> Sampler:
        self.read_now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def read_now(self) -> None:
        """Take one reading at once: at the two ends of a stretch, so that nothing beyond it counts."""
        with self._lock:
            if self.trouble is not None:
                return
            try:
                self._readings.append(self.sensor.read())
            except TemperError as error:
                self.trouble = str(error)

    def readings(self) -> list[Reading]:
        """All so far, in the order of time."""
        with self._lock:
            return list(self._readings)

    def forget_before(self, moment: float) -> None:
        """Let go of readings that are not needed any more, but for the last one before a moment."""
        with self._lock:
            before = sum(one.at <= moment for one in self._readings)
            del self._readings[: max(0, before - 1)]

    def _watch(self) -> None:
        while not self._ended.wait(self.sensor.interval_seconds):
            self.read_now()
