"""What the report's sections about energy, heat and the soak show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..energy.leading import leading_energy
from ..energy.rows import EnergyRow, Heat, SensorInfo, SoakMinute, SoakRow
from ..energy.words import soak_sentence
from ..measurement import BenchmarkRow
from .energy_charts import EnergyBar, energy_chart, soak_charts
from .results import Result

#: Minutes of a soak above which the page shows some of them; all are in ``results.json``.
SHOWN_MINUTES = 20


@dataclass(frozen=True)
class SoakLine:
    """One minute of a soak in the table."""

    number: int
    minute: SoakMinute
    heat: Heat | None


@dataclass(frozen=True)
class SoakShown:
    """One candidate's soak.

    Attributes:
        result: the candidate.
        row: what was measured.
        sentence: whether it slowed.
        sensor: that the table's temperatures and clocks come from; None where there is none.
        lines: the minutes shown, the first and the last among them.
    """

    result: Result
    row: SoakRow
    sentence: str
    sensor: SensorInfo | None
    lines: tuple[SoakLine, ...]


def energy_part(results: Sequence[Result], benchmark: BenchmarkRow) -> dict[str, Any]:
    """Values of the templates: ``energy`` and ``soak``, None where they were not asked for."""
    candidates = list({(one.subject, one.batch): one for one in reversed(results)}.values())[::-1]
    measured = [(one, row) for one in candidates for row in one.energy]
    soaked = [_soak(one, one.soak) for one in candidates if one.soak is not None and one.soak.minutes]
    energy = None
    if benchmark.settings.energy_seconds is not None:
        bars = [_bar(one, row) for one in candidates if (row := leading_energy(one.energy, one.subject.runtime))]
        energy = {
            "rows": measured,
            "sensors": list({row.sensor.name: row.sensor for _, row in measured}.values()),
            "absence": benchmark.no_energy,
            "seconds": benchmark.settings.energy_seconds,
            "chart": energy_chart([bar for bar in bars if bar is not None]),
        }
    soak = {"shown": soaked, "charts": soak_charts([(one.result, one.row) for one in soaked])} if soaked else None
    return {"energy": energy, "soak": soak}


def _bar(result: Result, row: EnergyRow) -> EnergyBar | None:
    if row.joules_per_frame is None:
        return None
    name = f"{result.title} {result.subject.variant}"
    if result.batch > 1:
        name += f", batch {result.batch}"
    return EnergyBar(name, result.subject.runtime, row.joules_per_frame, row.joules_per_frame_above_idle)


def _soak(result: Result, row: SoakRow) -> SoakShown:
    sensor = min(row.sensors, key=lambda one: ("module", "gpu", "processor").index(one.part), default=None)
    count = len(row.minutes)
    # evenly spread, the first and the last among them
    places = sorted({round(i * (count - 1) / max(1, SHOWN_MINUTES - 1)) for i in range(SHOWN_MINUTES)})
    lines = tuple(
        SoakLine(place + 1, row.minutes[place], _heat_of(row.minutes[place], sensor))
        for place in (places if count > SHOWN_MINUTES else range(count))
    )
    return SoakShown(result, row, soak_sentence(row), sensor, lines)


def _heat_of(minute: SoakMinute, sensor: SensorInfo | None) -> Heat | None:
    return next((one for one in minute.heat if sensor is not None and one.sensor == sensor.name), None)
