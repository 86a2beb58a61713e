"""From readings of a sensor to energy and heat over a stretch of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .rows import Heat
from .sensor import Reading


class WrappingCounter:
    """A counter that begins again at 0 when it is full, made one that goes on.

    It has to be read at least once in the time that it takes to fill up.

    Args:
        full: the largest value it shows, in its own unit.
        first: what it shows now.

    Example:
        >>> counter = WrappingCounter(full=99, first=90)
        >>> counter.advance(95), counter.advance(4)
        (5, 14)
    """

    def __init__(self, full: int, first: int) -> None:
        self._full = full
        self._last = first
        self._total = 0

    def advance(self, value: int) -> int:
        """How far it has gone since construction, in its own unit.

        Args:
            value: what it shows now.
        """
        step = value - self._last
        # after the largest value comes 0
        self._total += step if step >= 0 else step + self._full + 1
        self._last = value
        return self._total


def energy_between(readings: Sequence[Reading], start: float, end: float) -> float | None:
    """Joules between two moments.

    Of a counter the difference, with straight lines between its readings; of power samples the area below the straight
    lines between them.

    Args:
        readings: in the order of time.
        start: seconds on the clock of the readings.
        end: likewise, after ``start``.

    Returns:
        None where nothing is known of energy over the whole stretch: there is neither a counter nor power in every
        reading, the first reading came after ``start`` or the last before ``end``, or the counter went back.
    """
    if len(readings) < 2 or readings[0].at > start or readings[-1].at < end or end <= start:
        return None
    times = np.array([one.at for one in readings])
    counted = [one.joules for one in readings if one.joules is not None]
    if len(counted) == len(readings):
        if np.any(np.diff(counted) < 0):  # the driver was loaded anew
            return None
        first, last = np.interp([start, end], times, counted)
        return float(last - first)
    powers = [one.watts for one in readings if one.watts is not None]
    if len(powers) < len(readings):
        return None
    moments = np.concatenate(([start], times[(times > start) & (times < end)], [end]))
    watts = np.interp(moments, times, powers)
    return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(moments)))


def heat_between(sensor: str, readings: Sequence[Reading], start: float, end: float) -> Heat:
    """Power, temperatures, clocks and throttling of a sensor between two moments.

    Args:
        sensor: its name.
        readings: in the order of time.
        start: seconds on the clock of the readings.
        end: likewise, after ``start``.
    """
    energy = energy_between(readings, start, end)
    within = [one for one in readings if start <= one.at <= end]
    before = [one for one in readings if one.at < start]
    after = [one for one in readings if one.at > end][:1]
    # a stretch shorter than the sensor's interval has the reading after it
    shown = [*before[-1:], *within, *([] if within else after)]
    temperatures = [one.temperature_c for one in shown if one.temperature_c is not None]
    clocks = [one.clock_mhz for one in shown if one.clock_mhz is not None]
    # a reading tells of the throttling since the one before it, so the one after the end tells of the end
    told = [one.throttle for one in [*within, *after] if one.throttle is not None]
    reasons = sorted(frozenset[str]().union(*told))
    return Heat(
        sensor=sensor,
        watts_mean=None if energy is None else energy / (end - start),
        temperature_start_c=temperatures[0] if temperatures else None,
        temperature_end_c=temperatures[-1] if temperatures else None,
        temperature_max_c=max(temperatures, default=None),
        clock_start_mhz=clocks[0] if clocks else None,
        clock_end_mhz=clocks[-1] if clocks else None,
        throttled=bool(reasons) if told else None,
        throttle_reasons=tuple(reasons),
    )
