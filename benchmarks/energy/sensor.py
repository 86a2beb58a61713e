"""What a sensor of energy and heat has to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .rows import SensorInfo


@dataclass(frozen=True)
class Reading:
    """What a sensor said at one moment; None where it does not tell.

    Attributes:
        at: seconds on the system's monotonic clock.
        joules: of a counter, since the sensor was opened; wrap-around is already made up for.
        watts: power, of sensors without a counter.
        temperature_c: the hottest of the part that it watches.
        clock_mhz: of the part that it watches.
        throttle: why its clock is held down now, or was since the last reading; empty where it is not.
    """

    at: float
    joules: float | None = None
    watts: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttle: frozenset[str] | None = None

    @property
    def tells(self) -> bool:
        """Whether there is anything in it."""
        parts = (self.joules, self.watts, self.temperature_c, self.clock_mhz, self.throttle)
        return any(part is not None for part in parts)


class Sensor(Protocol):
    """One sensor, open until it is closed; it is read by one thread at a time."""

    @property
    def info(self) -> SensorInfo:
        """What it is and what it covers."""

    @property
    def interval_seconds(self) -> float:
        """How often it has something new to say."""

    def read(self) -> Reading:
        """What it says now; may wait for up to two intervals.

        Raises:
            TemperError: if it does not answer any more.
        """

    def close(self) -> None:
        """Let go of it; it is not read again."""
