"""The report's plots: Matplotlib's SVG with the page's own colours, so that they follow light and dark.

Every colour is drawn as a marker colour that stands for one of the page's CSS variables and is replaced by it
afterwards. Texts stay texts. Each plot comes wide and narrow; the page shows the one that fits.
"""

from __future__ import annotations

import html
import io
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import MissingDependencyError
from ..measurement import STAGES
from .curves import Curve
from .results import ROLE_ORDER, ROLE_TITLES, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours the page defines for models; more models than that begin again.
SERIES_COLOURS = 6

_INK, _MUTED, _LINE, _SURFACE = "#010101", "#010102", "#010103", "#010104"
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _LINE: "--line", _SURFACE: "--surface"}
_SERIES = [f"#0102{i:02x}" for i in range(SERIES_COLOURS)]
_STAGE = {stage: f"#0103{i:02x}" for i, stage in enumerate(STAGES[:-1])}
_VARIABLES |= {colour: f"--series-{i}" for i, colour in enumerate(_SERIES)}
_VARIABLES |= {colour: f"--stage-{i}" for i, colour in enumerate(_STAGE.values())}

_MARKERS = {"fp32": "o", "int8": "D", "fp16": "^"}
#: Widths and heights are CSS pixels, of which Matplotlib counts 72 an inch.
_WIDE, _NARROW, _PIXELS_PER_INCH = 1000, 360, 72


@dataclass(frozen=True)
class Chart:
    """One plot as inline SVG, for wide and for narrow screens, with the text that says what it shows."""

    wide: str
    narrow: str
    description: str


def series_colour(series: int) -> str:
    """The CSS variable of a model's colour."""
    return f"var(--series-{series % SERIES_COLOURS})"


def accuracy_latency_chart(results: Sequence[Result]) -> Chart | None:
    """mAP against median latency: colour by model, mark by precision, a whisker for the spread between rounds."""
    shown = [r for r in _smallest_batch(results) if r.figures is not None and r.figures.ap is not None]
    if not shown:
        return None

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        _style(axes)
        for model in dict.fromkeys(r.subject.model for r in shown):
            own = [r for r in shown if r.subject.model == model]
            _draw_model(axes, own)
        _limit_axes(axes, shown)
        axes.set_xlabel("median latency, encoded picture to boxes [ms]   (further left is better)")
        if width < _WIDE:
            axes.set_xlabel("median latency [ms], left is better")
        axes.set_ylabel("mAP [points]")
        _point_legend(figure, shown, width)

    points = "; ".join(f"{_name(r)}: {_ap(r):.1f} mAP at {_p50(r):.2f} ms" for r in shown)
    return _render("accuracy", draw, 380, f"Accuracy against latency. {points}.")


def stage_chart(results: Sequence[Result]) -> Chart:
    """Mean time of each stage of a call, stacked, one bar per candidate."""
    shown = list(_smallest_batch(results))

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        _style(axes, grid="x")
        names = [_name(r) for r in shown]
        left = [0.0] * len(shown)
        for stage, colour in _STAGE.items():
            values = [r.latency.stages[stage].mean_ms for r in shown]
            axes.barh(
                names, values, left=left, color=colour, height=0.62, label=stage, edgecolor=_SURFACE, linewidth=0.8
            )
            left = [a + b for a, b in zip(left, values, strict=True)]
        longest = max(left)
        for row, total in enumerate(left):
            axes.text(total + 0.01 * longest, row, f" {total:.1f} ms", va="center", color=_INK)
        axes.set_xlim(0, longest * (1.16 if width == _WIDE else 1.35))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_xlabel("mean time of one call [ms]")
        _legend(figure, *axes.get_legend_handles_labels(), columns=4 if width == _WIDE else 2)

    bars = "; ".join(
        f"{_name(r)}: " + ", ".join(f"{stage} {r.latency.stages[stage].mean_ms:.2f} ms" for stage in _STAGE)
        for r in shown
    )
    return _render("stages", draw, 100 + 34 * len(shown), f"Where the time of a call goes. {bars}.")


def curve_chart(curves: Sequence[Curve], values: str) -> Chart | None:
    """One line per training over its epochs; ``values`` is ``"accuracies"`` or ``"losses"``."""
    lines = [(curve, getattr(curve, values)) for curve in curves if getattr(curve, values)]
    if not lines:
        return None
    is_loss = values == "losses"

    def draw(figure: Figure, width: float) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        _style(axes)
        for curve, points in lines:
            colour = _SERIES[ROLE_ORDER.index(curve.role)]
            epochs, heights = zip(*points, strict=True)
            marker = "o" if len(points) <= 40 else ""
            title = ROLE_TITLES[curve.role]
            axes.plot(epochs, heights, color=colour, linewidth=2.2, label=title, marker=marker, markersize=4.5)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss" if is_loss else "mAP [points]")
        _legend(figure, *axes.get_legend_handles_labels(), columns=3)

    what = "The detector's own training loss" if is_loss else "mAP on the validation pictures"
    ends = "; ".join(
        f"{ROLE_TITLES[c.role]}: {p[0][1]:.2f} in epoch {p[0][0]}, {p[-1][1]:.2f} in epoch {p[-1][0]}" for c, p in lines
    )
    return _render(values, draw, 290, f"{what} by epoch. {ends}.", wide=_WIDE // 2)


def _draw_model(axes: Axes, results: Sequence[Result]) -> None:
    colour = _SERIES[results[0].series % SERIES_COLOURS]
    axes.plot([_p50(r) for r in results], [_ap(r) for r in results], color=colour, linewidth=1.2, linestyle=(0, (2, 3)))
    for r in results:
        rounds = r.latency.round_p50_ms
        axes.hlines(_ap(r), min(rounds), max(rounds), color=colour, linewidth=2.2, alpha=0.55)
        marker = _MARKERS.get(r.subject.precision, "s")
        drawn = axes.plot(_p50(r), _ap(r), marker=marker, color=colour, markersize=12, markeredgecolor=_SURFACE)
        drawn[0].set_gid(f"point|{_name(r)}: {_ap(r):.1f} mAP, {_p50(r):.2f} ms")


def _limit_axes(axes: Axes, results: Sequence[Result]) -> None:
    times, heights = [_p50(r) for r in results], [_ap(r) for r in results]
    if max(times) > 8 * min(times):
        axes.set_xscale("log")
        axes.set_xlim(min(times) / 1.4, max(times) * 1.4)
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

    models = {r.title: _SERIES[r.series % SERIES_COLOURS] for r in results}
    precisions = dict.fromkeys(r.subject.precision for r in results)
    handles = [Line2D([], [], color=colour, linewidth=7, solid_capstyle="round") for colour in models.values()]
    handles += [
        Line2D([], [], color=_MUTED, marker=_MARKERS.get(p, "s"), linestyle="", markersize=9) for p in precisions
    ]
    _legend(figure, handles, [*models, *precisions], columns=6 if width == _WIDE else 2)


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, frameon=False, labelcolor=_INK, handlelength=1.2,
        columnspacing=1.4, handletextpad=0.6, borderpad=0.1,
    )  # fmt: skip


def _style(axes: Axes, grid: str = "both") -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_MUTED, length=3, which="both")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis=grid, color=_LINE, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(_MUTED)
    axes.yaxis.label.set_color(_MUTED)
    axes.patch.set_visible(False)


def _render(
    name: str, draw: Callable[[Figure, float], None], height: float, description: str, wide: int = _WIDE
) -> Chart:
    return Chart(
        wide=_svg(f"{name}-wide", draw, wide, height, _WIDE, description),
        narrow=_svg(f"{name}-narrow", draw, _NARROW, height, _NARROW, description),
        description=description,
    )


def _svg(
    name: str, draw: Callable[[Figure, float], None], width: float, height: float, layout: float, description: str
) -> str:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"The report's plots need Matplotlib, which cannot be imported ({error}). "
            "Install it with 'pip install matplotlib'."
        ) from error
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 13,
        "axes.labelsize": 13,
        "legend.fontsize": 13,
        "figure.facecolor": "none",
    }
    with rc_context(settings):
        figure = Figure(figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), layout="constrained")
        draw(figure, layout)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(text.getvalue(), name, description)


def _for_page(svg: str, name: str, description: str) -> str:
    """Matplotlib's file as a part of a page: no header, ids of its own, the page's colours, a label and hints."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="point\|([^"]*)">', r"<g><title>\1</title>", svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"#010[0-9a-f]{3}", lambda match: f"var({_VARIABLES.get(match[0], '--ink')})", svg)
    svg = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", svg)
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
    assert size is not None
    head = (
        f'<svg viewBox="0 0 {size[1]} {size[2]}" role="img" aria-label="{html.escape(description)}" '
        'xmlns:xlink="http://www.w3.org/1999/xlink"'
    )
    return re.sub(r"^<svg[^>]*", lambda _: head, svg, count=1).strip()


def _smallest_batch(results: Sequence[Result]) -> list[Result]:
    smallest = min(r.batch for r in results)
    return [r for r in results if r.batch == smallest]


def _name(result: Result) -> str:
    return f"{result.title} {result.subject.variant}"


def _p50(result: Result) -> float:
    return result.latency.stages["end_to_end"].p50_ms


def _ap(result: Result) -> float:
    assert result.figures is not None
    assert result.figures.ap is not None
    return result.figures.ap
