"""The report's plot of where the time of a call goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .latency import SAMPLES
from .naming import distinct_names
from .plot import INK, STAGE, SURFACE, WIDE, Chart, draw_legend, render, style_axes
from .results import Result, smallest_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def stage_chart(results: Sequence[Result]) -> Chart:
    """Mean time of each stage of a call, stacked, one bar per candidate."""
    shown = smallest_batch(results)
    names = distinct_names(shown)
    # a name of two lines needs more room
    row = 34 if len({r.subject.runtime for r in shown}) == 1 else 40

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes, grid="x")
        rows = range(len(shown))
        left = [0.0] * len(shown)
        for stage, colour in STAGE.items():
            values = [_stage_ms(r, stage) or 0.0 for r in shown]
            if not any(values):
                continue  # no copies on a processor
            # by row: bars of one name would be drawn over each other
            axes.barh(
                rows,
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
        for place, total in zip(rows, left, strict=True):
            axes.text(total + 0.01 * longest, place, f" {total:.1f} ms", va="center", color=INK)
        axes.set_yticks(rows, names if width == WIDE else [name.replace(" on ", "\non ") for name in names])
        axes.set_xlim(0, longest * (1.16 if width == WIDE else 1.35))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel(f"mean time of one {SAMPLES[shown[0].latency.scenario]} [ms]")
        draw_legend(figure, *axes.get_legend_handles_labels(), columns=4 if width == WIDE else 2)

    bars = "; ".join(
        f"{name}: "
        + ", ".join(f"{_words(stage)} {ms:.2f} ms" for stage in STAGE if (ms := _stage_ms(r, stage)) is not None)
        for name, r in zip(names, shown, strict=True)
    )
    return render("stages", draw, 100 + row * len(shown), f"Where the time of a call goes. {bars}.")


def _stage_ms(result: Result, stage: str) -> float | None:
    """The mean of a stage, None where there was none."""
    summary = result.latency.stages.get(stage)
    return None if summary is None else summary.mean_ms


def _words(stage: str) -> str:
    return stage.replace("_", " ")
