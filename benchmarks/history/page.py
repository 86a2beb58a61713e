"""A history as one page of charts that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import write_text
from ..report.pages import drawn, page_environment, page_style
from ..report.plot import INK, SERIES, SURFACE, Chart, render, style_axes
from .figures import FIGURES
from .regression import Series
from .words import point_cells, series_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_history(series: Sequence[Series], source: Path, target: Path) -> None:
    """Write a page with a chart and a table for every series.

    Raises:
        TemperError: if it cannot be written.
        MissingDependencyError: if Matplotlib is not installed.
    """
    environment = page_environment()
    parts = [
        {
            "title": series_title(one),
            "chart": drawn(_chart(one, number)),
            "rows": point_cells(one),
            "regressions": [regression.sentence() for regression in one.regressions],
            "not_judged": one.not_judged,
        }
        for number, one in enumerate(series)
    ]
    page = environment.get_template("history.html.j2").render(
        parts=parts, source=str(source), style=page_style(environment)
    )
    write_text(target, page)


def _chart(series: Series, number: int) -> Chart:
    points, kind = series.points, FIGURES[series.key.figure]
    worse = bool(series.regressions)

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes)
        places = range(len(points))
        axes.plot(places, [point.value for point in points], color=SERIES[0], linewidth=1.2, linestyle=(0, (2, 3)))
        for place, point in enumerate(points):
            colour = SERIES[5] if worse and place == len(points) - 1 else SERIES[0]
            if point.low is not None and point.high is not None:
                axes.vlines(place, point.low, point.high, color=colour, linewidth=2.4)
            axes.plot(place, point.value, "o", color=colour, markersize=9, markeredgecolor=SURFACE)
        axes.set_xlim(-0.6, len(points) - 0.4)
        step = max(1, len(points) // (10 if width > 500 else 4))
        axes.set_xticks(list(places)[::step], [point.started[5:10] for point in points][::step])
        axes.tick_params(axis="x", labelcolor=INK)
        axes.set_ylabel(f"{kind.title} [{kind.unit}]" if kind.unit else kind.title)

    said = "; ".join(f"{point.started[:10]}: {point.value:{kind.form}}" for point in points)
    return render(f"history-{number}", draw, 240, f"{series_title(series)}. {said}.")
