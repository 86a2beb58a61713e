"""The report's plots of a benchmark: accuracy against latency, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .latency import SAMPLES, SPANS
from .plot import (
    INK,
    MUTED,
    SERIES,
    SERIES_COLOURS,
    STAGE,
    SURFACE,
    WIDE,
    Chart,
    draw_legend,
    render,
    style_axes,
)
from .results import Result, leading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"fp32": "o", "int8": "D", "fp16": "^"}


def accuracy_latency_chart(results: Sequence[Result]) -> Chart | None:
    """mAP against median latency: colour by model, mark by precision, a whisker for the spread between rounds."""
    judged = (r for r in _smallest_batch(results) if r.figures is not None and r.figures.ap is not None)
    shown = [r for r in judged if r.median_ms is not None]
    if not shown:
        return None

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes)
        for model in dict.fromkeys(r.subject.model for r in shown):
            own = [r for r in shown if r.subject.model == model]
            _draw_model(axes, own)
        _limit_axes(axes, shown)
        span = SPANS[shown[0].latency.scenario]
        axes.set_xlabel(f"median latency, {span} [ms]   (further left is better)")
        if width < WIDE:
            axes.set_xlabel("median latency [ms], left is better")
        axes.set_ylabel("mAP [points]")
        _point_legend(figure, shown, width)

    points = "; ".join(f"{_name(r)}: {_ap(r):.1f} mAP at {_p50(r):.2f} ms" for r in shown)
    return render("accuracy", draw, 380, f"Accuracy against latency. {points}.")


def stage_chart(results: Sequence[Result]) -> Chart:
    """Mean time of each stage of a call, stacked, one bar per candidate."""
    shown = list(_smallest_batch(results))

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes, grid="x")
        names = [_name(r) for r in shown]
        left = [0.0] * len(shown)
        for stage, colour in STAGE.items():
            values = [_stage_ms(r, stage) or 0.0 for r in shown]
            if not any(values):
                continue  # no copies on a processor
            axes.barh(
                names,
                values,
                left=left,
                color=colour,
                height=0.62,
                label=_words(stage),
                edgecolor=SURFACE,
                linewidth=0.8,
            )
            left = [a + b for a, b in zip(left, values, strict=True)]
        longest = max(left)
        for row, total in enumerate(left):
            axes.text(total + 0.01 * longest, row, f" {total:.1f} ms", va="center", color=INK)
        axes.set_xlim(0, longest * (1.16 if width == WIDE else 1.35))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel(f"mean time of one {SAMPLES[shown[0].latency.scenario]} [ms]")
        draw_legend(figure, *axes.get_legend_handles_labels(), columns=4 if width == WIDE else 2)

    bars = "; ".join(
        f"{_name(r)}: "
        + ", ".join(f"{_words(stage)} {ms:.2f} ms" for stage in STAGE if (ms := _stage_ms(r, stage)) is not None)
        for r in shown
    )
    return render("stages", draw, 100 + 34 * len(shown), f"Where the time of a call goes. {bars}.")


def _draw_model(axes: Axes, results: Sequence[Result]) -> None:
    colour = SERIES[results[0].series % SERIES_COLOURS]
    axes.plot([_p50(r) for r in results], [_ap(r) for r in results], color=colour, linewidth=1.2, linestyle=(0, (2, 3)))
    for r in results:
        rounds = r.latency.round_p50_ms
        axes.hlines(_ap(r), min(rounds), max(rounds), color=colour, linewidth=2.2, alpha=0.55)
        marker = _MARKERS.get(r.subject.precision, "s")
        drawn = axes.plot(_p50(r), _ap(r), marker=marker, color=colour, markersize=12, markeredgecolor=SURFACE)
        drawn[0].set_gid(f"point|{_name(r)}: {_ap(r):.1f} mAP, {_p50(r):.2f} ms")


def _limit_axes(axes: Axes, results: Sequence[Result]) -> None:
    from matplotlib.ticker import LogLocator

    heights = [_ap(r) for r in results]
    # whiskers included
    times = [time for r in results for time in (_p50(r), *r.latency.round_p50_ms)]
    if max(times) > 8 * min(times):
        axes.set_xscale("log")
        axes.set_xlim(min(times) / 1.4, max(times) * 1.4)
        # powers of ten alone would be one or two numbers
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.set_xlim(0, max(times) * 1.12)
    # at least ten points high, so that a small difference looks small
    middle = (max(heights) + min(heights)) / 2
    half = max(5.0, 0.65 * (max(heights) - min(heights)))
    axes.set_ylim(max(0.0, middle - half), min(100.0, middle + half))


def _point_legend(figure: Figure, results: Sequence[Result], width: float) -> None:
    from matplotlib.lines import Line2D

    models = {r.title: SERIES[r.series % SERIES_COLOURS] for r in results}
    precisions = dict.fromkeys(r.subject.precision for r in results)
    handles = [Line2D([], [], color=colour, linewidth=7, solid_capstyle="round") for colour in models.values()]
    handles += [
        Line2D([], [], color=MUTED, marker=_MARKERS.get(p, "s"), linestyle="", markersize=9) for p in precisions
    ]
    draw_legend(figure, handles, [*models, *precisions], columns=6 if width == WIDE else 2)


def _smallest_batch(results: Sequence[Result]) -> list[Result]:
    same = leading(results)
    smallest = min(r.batch for r in same)
    return [r for r in same if r.batch == smallest]


def _stage_ms(result: Result, stage: str) -> float | None:
    """The mean of a stage, None where there was none."""
    summary = result.latency.stages.get(stage)
    return None if summary is None else summary.mean_ms


def _words(stage: str) -> str:
    return stage.replace("_", " ")


def _name(result: Result) -> str:
    return f"{result.title} {result.subject.variant}"


def _p50(result: Result) -> float:
    assert result.median_ms is not None
    return result.median_ms


def _ap(result: Result) -> float:
    assert result.figures is not None
    assert result.figures.ap is not None
    return result.figures.ap
