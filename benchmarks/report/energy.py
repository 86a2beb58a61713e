"""Energy, heat and soak as flat figures: one line per candidate, by the sensor that covers the most of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..energy.leading import leading_energy
from ..energy.rows import EnergyRow, Heat, SoakMinute, SoakRow

_HEAT_FIELDS = (
    "temperature_start_c",
    "temperature_end_c",
    "temperature_max_c",
    "clock_start_mhz",
    "clock_end_mhz",
    "throttled",
)
_PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


def flat_energy(rows: Sequence[EnergyRow], runtime: str) -> dict[str, Any]:
    """The columns of a candidate's energy; all None where no sensor told it.

    Args:
        rows: of one candidate, an entry per sensor.
        runtime: that it ran on.
    """
    row = leading_energy(rows, runtime)
    flat: dict[str, Any] = {
        "sensor": row.sensor.name if row else None,
        "sensor_device": row.sensor.device if row else None,
        "sensor_covers": row.sensor.covers if row else None,
        "energy_seconds": row.seconds if row else None,
        "energy_frames": row.frames if row else None,
        "watts_mean": row.heat.watts_mean if row else None,
        "watts_idle": row.watts_idle if row else None,
        "joules_per_frame": row.joules_per_frame if row else None,
        "joules_per_frame_above_idle": row.joules_per_frame_above_idle if row else None,
    }
    return {**flat, **_flat_heat(row.heat if row else None)}


def flat_soak(row: SoakRow | None) -> dict[str, Any]:
    """The columns of a candidate's soak, of its first minute and its last; all None where it was not run on."""
    flat: dict[str, Any] = {
        "soak_minutes": len(row.minutes) if row else None,
        "soak_complete": row.complete if row else None,
        "soak_verdict": row.verdict if row else None,
        "soak_slowdown": row.slowdown.value if row and row.slowdown else None,
        "soak_slowdown_low": row.slowdown.low if row and row.slowdown else None,
        "soak_slowdown_high": row.slowdown.high if row and row.slowdown else None,
    }
    for end, place in (("first", 0), ("last", -1)):
        minute = row.minutes[place] if row and row.minutes else None
        flat |= {f"soak_{end}_{name}": value for name, value in _flat_minute(minute).items()}
    return flat


def _flat_minute(minute: SoakMinute | None) -> dict[str, Any]:
    latency = minute.latency if minute else None
    flat: dict[str, Any] = {}
    for name in _PERCENTILES:
        reason = latency.invalid.get(name) if latency else None
        flat[name] = f"INVALID: {reason}" if reason else getattr(latency, name) if latency else None
    hottest = [one.temperature_max_c for one in minute.heat if one.temperature_max_c is not None] if minute else []
    clocks = [one.clock_end_mhz for one in minute.heat if one.clock_end_mhz is not None] if minute else []
    return {
        **flat,
        "frames_per_second": minute.frames_per_second if minute else None,
        "temperature_max_c": max(hottest, default=None),
        "clock_end_mhz": max(clocks, default=None),
        "resident_mib": minute.resident_mib if minute else None,
    }


def _flat_heat(heat: Heat | None) -> dict[str, Any]:
    return {
        **{name: getattr(heat, name) if heat else None for name in _HEAT_FIELDS},
        "throttle_reasons": ", ".join(heat.throttle_reasons) if heat and heat.throttled is not None else None,
    }
