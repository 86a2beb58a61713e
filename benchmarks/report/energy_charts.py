"""The report's plots of energy and of the soak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..energy.rows import SoakRow
from .plot import (
    INK,
    MUTED,
    SERIES,
    SERIES_COLOURS,
    STAGE,
    SURFACE,
    WIDE,
    Chart,
    SmallChart,
    draw_legend,
    render,
    render_small,
    style_axes,
)
from .results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EnergyBar:
    """One bar: a candidate's joules per frame, and the part of them above idle where that is known."""

    name: str
    runtime: str
    joules: float
    above_idle: float | None


def energy_chart(bars: Sequence[EnergyBar]) -> Chart | None:
    """Joules per frame of each candidate, what the machine would have used at rest apart; None without any."""
    if not bars:
        return None
    many_runtimes = len({bar.runtime for bar in bars}) > 1
    names = [f"{bar.name}\n{bar.runtime}" if many_runtimes else bar.name for bar in bars]
    idle_colour, own_colour = STAGE["decode"], STAGE["compute"]

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes, grid="x")
        idle = [bar.joules - bar.above_idle if bar.above_idle is not None else 0.0 for bar in bars]
        own = [bar.joules - rest for bar, rest in zip(bars, idle, strict=True)]
        rows = range(len(bars))
        axes.barh(rows, idle, color=idle_colour, height=0.62, label="at rest", edgecolor=SURFACE)
        axes.barh(rows, own, left=idle, color=own_colour, height=0.62, label="above idle", edgecolor=SURFACE)
        longest = max(bar.joules for bar in bars)
        for row, bar in enumerate(bars):
            axes.text(bar.joules + 0.01 * longest, row, f" {bar.joules:.3g} J", va="center", color=INK)
        axes.set_yticks(list(rows), names)
        axes.set_xlim(0, longest * (1.16 if width == WIDE else 1.4))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel("energy per frame [J]")
        draw_legend(figure, *axes.get_legend_handles_labels(), columns=2)

    said = "; ".join(f"{bar.name} on {bar.runtime}: {bar.joules:.3g} J" for bar in bars)
    return render("energy", draw, 100 + 34 * len(bars), f"Energy per frame. {said}.")


def soak_charts(soaks: Sequence[tuple[Result, SoakRow]]) -> list[SmallChart]:
    """Per candidate the median of each minute, and the temperature where a sensor told it."""
    charts = []
    for place, (result, row) in enumerate(soaks):
        name = f"{result.title} {result.subject.variant} on {result.subject.runtime}, batch {result.batch}"
        minutes = range(1, len(row.minutes) + 1)
        rates = [minute.frames_per_second for minute in row.minutes]
        colour = SERIES[result.series % SERIES_COLOURS]
        charts.append(_small(f"soak-rate-{place}", name, list(minutes), rates, "frames per s", colour))
        for sensor in row.sensors:
            points = [
                (number, heat.temperature_max_c)
                for number, minute in enumerate(row.minutes, start=1)
                for heat in minute.heat
                if heat.sensor == sensor.name and heat.temperature_max_c is not None
            ]
            if points:
                numbers, degrees = [one for one, _ in points], [value for _, value in points]
                title = f"{name}: {sensor.name}"
                charts.append(
                    _small(f"soak-heat-{place}-{sensor.name}", title, numbers, degrees, "hottest [°C]", MUTED)
                )
    return charts


def _small(
    name: str, title: str, minutes: Sequence[int], values: Sequence[float], label: str, colour: str
) -> SmallChart:
    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        style_axes(axes)
        axes.plot(minutes, values, color=colour, linewidth=1.8, marker="o", markersize=4)
        # from nothing on, so that a small change looks small
        axes.set_ylim(min(0.0, 1.15 * min(values)), max(1.0, 1.15 * max(values)))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("minute")
        axes.set_ylabel(label)

    said = ", ".join(f"{value:.4g}" for value in values)
    return render_small(name, title, draw, f"{title}: {label} by minute: {said}.")
