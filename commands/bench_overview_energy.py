"""What ``temper bench run`` prints of energy, heat and soaks: a line per candidate and sensor, a sentence per soak."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..benchmarks.energy.rows import EnergyRow
    from ..benchmarks.measurement import Measurements


def energy_overview(measured: Measurements) -> list[str]:
    """The lines; none where neither was asked for."""
    from ..benchmarks.energy.words import soak_sentence

    lines = []
    if measured.energy:
        lines.append(
            f"{'model':<24} {'graph':<8} {'runtime':<12} {'batch':>5} {'sensor':<10} {'idle W':>8} {'mean W':>8} "
            f"{'J/frame':>9} {'above idle':>10} {'max °C':>7} {'throttling':<12}  (measured)"
        )
        lines += [_line(row) for row in measured.energy]
    if measured.soak:
        lines.append("Soak:")
        lines += [f"  {soak_sentence(row)}" for row in measured.soak if row.minutes]
    return lines


def _line(row: EnergyRow) -> str:
    def figure(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    heat = row.heat
    throttling = "not told" if heat.throttled is None else ", ".join(heat.throttle_reasons) or "none seen"
    return (
        f"{row.subject.model:<24} {row.subject.variant:<8} {row.subject.runtime:<12} {row.batch:>5} "
        f"{row.sensor.name:<10} {figure(row.watts_idle, '.1f'):>8} {figure(heat.watts_mean, '.1f'):>8} "
        f"{figure(row.joules_per_frame, '.3g'):>9} {figure(row.joules_per_frame_above_idle, '.3g'):>10} "
        f"{figure(heat.temperature_max_c, '.0f'):>7} {throttling:<12}"
    ).rstrip()
