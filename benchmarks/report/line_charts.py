"""The report's curves: FROC, and precision by recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .plot import SERIES, SERIES_COLOURS, SURFACE, Chart, draw_legend, render, style_axes
from .results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: CSS pixels of one of two charts side by side.
_WIDTH, _HEIGHT = 490, 360


def froc_chart(results: Sequence[Result]) -> Chart | None:
    """Share of the defects found by false alarms per picture, one curve per result, a mark where its thresholds are."""
    shown = [(result, point) for result in results if (point := _operating_point(result)) is not None]
    if not shown:
        return None
    # as far as it may interest anybody: beyond the thresholds there is soon a false alarm in every corner
    farthest = max(2.0, *(2.5 * alarms for _, (alarms, _) in shown))

    def draw(figure: Figure, _: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes)
        for result, (alarms, found) in shown:
            colour, curve = _colour(result), result.line.curve("froc") if result.line else None
            if curve is not None and curve.x:
                xs, ys = [0.0, *curve.x], [0.0, *(100 * value for value in curve.y)]
                axes.plot(xs, ys, color=colour, linewidth=1.8, drawstyle="steps-post")
            drawn = axes.plot(alarms, 100 * found, marker="o", color=colour, markersize=10, markeredgecolor=SURFACE)
            drawn[0].set_gid(f"point|{_name(result)}: {100 * found:.1f} % found, {alarms:.2f} false alarms a picture")
        axes.set_xlim(0, farthest)
        _finish(figure, axes, shown, "false alarms per picture", "defects found [%]")

    points = "; ".join(
        f"{_name(result)}: {100 * found:.1f} % found at {alarms:.2f} false alarms per picture"
        for result, (alarms, found) in shown
    )
    return render("froc", draw, _HEIGHT, f"Defects found by false alarms per picture. {points}.", _WIDTH)


def precision_recall_chart(results: Sequence[Result]) -> Chart | None:
    """Precision by recall at IoU 0.50, the mean over the classes, one curve per result."""
    shown = [
        (result, curve)
        for result in results
        if result.line is not None and (curve := result.line.curve("precision-recall")) is not None
    ]
    if not shown:
        return None

    def draw(figure: Figure, _: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes)
        for result, curve in shown:
            axes.plot([100 * x for x in curve.x], [100 * y for y in curve.y], color=_colour(result), linewidth=1.8)
        axes.set_xlim(0, 100)
        _finish(figure, axes, shown, "recall [%]", "precision [%]")

    areas = "; ".join(f"{_name(result)}: {100 * sum(curve.y) / len(curve.y):.1f} on average" for result, curve in shown)
    return render("precision-recall", draw, _HEIGHT, f"Precision by recall at IoU 0.50. {areas}.", _WIDTH)


def _finish(figure: Figure, axes: Axes, shown: Sequence[tuple[Result, object]], across: str, upwards: str) -> None:
    from matplotlib.lines import Line2D

    axes.set_ylim(0, 101)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    colours = {result.title: _colour(result) for result, _ in shown}
    handles = [Line2D([], [], color=colour, linewidth=7, solid_capstyle="round") for colour in colours.values()]
    draw_legend(figure, handles, list(colours), columns=2)


def _operating_point(result: Result) -> tuple[float, float] | None:
    """False alarms per picture and share found at the bundle's thresholds."""
    if result.line is None:
        return None
    missed, alarms = result.line.escape[None].escape.rate.value, result.line.alarms[None].alarms.per_image.value
    return None if missed is None or alarms is None else (alarms, 1 - missed)


def _colour(result: Result) -> str:
    return SERIES[result.series % SERIES_COLOURS]


def _name(result: Result) -> str:
    return f"{result.title} {result.subject.variant}"
