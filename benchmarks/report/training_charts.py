"""The report's plots of trainings: accuracy, every loss, and every class, over the epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .curves import Curve, Points
from .plot import SERIES, Chart, SmallChart, draw_legend, render, render_small, style_axes
from .results import ROLE_ORDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Classes with a plot of their own; of more than that, the first.
MOST_CLASSES = 24
#: Lines with more points than this have no marks on them.
_MOST_MARKS = 40
#: A loss that falls by more than this factor is drawn on a scale that shows its end, too.
_LOG_FROM = 25


def accuracy_chart(curves: Sequence[Curve], titles: Mapping[str, str]) -> Chart | None:
    """mAP over the epochs, one line per training; None if nothing was measured."""
    lines = {curve.role: curve.accuracies for curve in curves if curve.accuracies}
    if not lines:
        return None

    def draw(figure: Figure, _: float) -> None:
        axes = figure.add_subplot()
        _draw_lines(axes, lines, titles)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mAP [points]")
        draw_legend(figure, *axes.get_legend_handles_labels(), columns=3)

    return render("map", draw, 280, f"mAP on the validation pictures by epoch. {_in_words(lines, titles)}.")


def loss_charts(curves: Sequence[Curve], titles: Mapping[str, str]) -> list[SmallChart]:
    """One small plot per loss: the detector's own terms, then the distillation losses; then the learning rate."""
    charts = [
        _small(f"loss-{number}", f"{_spaced(name)} loss", lines, titles)
        for number, (name, lines) in enumerate(_by_name({curve.role: curve.losses for curve in curves}))
    ]
    charts += [
        _small(f"distillation-{number}", f"{_abbreviation(name)} distillation loss", lines, titles)
        for number, (name, lines) in enumerate(_by_name({curve.role: curve.distillation for curve in curves}))
    ]
    rates = {curve.role: curve.learning_rates for curve in curves if curve.learning_rates}
    return [*charts, _small("rate", "Learning rate", rates, titles, may_be_log=False)] if rates else charts


def class_charts(curves: Sequence[Curve], labels: Sequence[str], titles: Mapping[str, str]) -> list[SmallChart]:
    """One small plot per class with its AP over the epochs, all to the same height, so that classes compare."""
    found = dict(_by_name({curve.role: curve.per_class for curve in curves}))
    shown = [label for label in labels if label in found][:MOST_CLASSES]
    highest = max((height for label in shown for points in found[label].values() for _, height in points), default=0)
    top = min(100.0, max(10.0, 1.1 * highest))
    return [_small(f"class-{number}", label, found[label], titles, top) for number, label in enumerate(shown)]


def _small(
    name: str,
    title: str,
    lines: Mapping[str, Points],
    titles: Mapping[str, str],
    top: float | None = None,
    may_be_log: bool = True,
) -> SmallChart:
    heights = [height for points in lines.values() for _, height in points]
    is_log = may_be_log and top is None and min(heights) > 0 and max(heights) > _LOG_FROM * min(heights)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _draw_lines(axes, lines, titles)
        if is_log:
            axes.set_yscale("log")
            axes.set_ylim(min(heights) / 1.5, max(heights) * 1.5)
            axes.yaxis.set_major_formatter("{x:g}")
        elif top is not None:
            axes.set_ylim(0, top)

    return render_small(
        name, title + (", log scale" if is_log else ""), draw, f"{title} by epoch. {_in_words(lines, titles)}."
    )


def _draw_lines(axes: Axes, lines: Mapping[str, Points], titles: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    style_axes(axes)
    for role, points in lines.items():
        epochs, heights = zip(*points, strict=True)
        marker = "o" if len(points) <= _MOST_MARKS else ""
        colour = SERIES[ROLE_ORDER.index(role)]
        # drawn over the edge of the plot, so that a line at 0 is as thick as any
        axes.plot(
            epochs, heights, color=colour, linewidth=2.2, label=titles[role], marker=marker, markersize=4.5,
            clip_on=False,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8))


def _by_name(curves: Mapping[str, Mapping[str, Points]]) -> Iterator[tuple[str, dict[str, Points]]]:
    """For every name in any training: the points by role."""
    for name in dict.fromkeys(name for named in curves.values() for name in named):
        yield name, {role: named[name] for role, named in curves.items() if named.get(name)}


def _in_words(lines: Mapping[str, Points], titles: Mapping[str, str]) -> str:
    return "; ".join(
        f"{titles[role]}: {points[0][1]:.3g} in epoch {points[0][0]}, {points[-1][1]:.3g} in epoch {points[-1][0]}"
        for role, points in lines.items()
    )


def _spaced(name: str) -> str:
    words = name.removeprefix("loss_").replace("_", " ")
    return words[:1].upper() + words[1:]


def _abbreviation(name: str) -> str:
    """MGD, CWD, FGD; Response."""
    return name.upper() if len(name) <= 3 else _spaced(name)
