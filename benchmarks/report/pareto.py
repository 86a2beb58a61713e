"""The report's Pareto plots: mAP, and what escapes, against latency, with a mark for every candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from .naming import distinct_names
from .plot import INK, MUTED, NARROW, SERIES, SERIES_COLOURS, SURFACE, WIDE, Chart, draw_legend, render, style_axes
from .results import Result, smallest_batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"fp32": "o", "int8": "D", "fp16": "^"}
#: How a mark is filled, by the place of its runtime; more runtimes than that begin again.
_FILLS = ("full", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class Mark:
    """One candidate on one device.

    Attributes:
        name: all that tells it from the other marks.
        model: its title, and ``series``, which decides its colour.
        series: number of the model.
        precision: decides its shape.
        runtime: decides how it is filled.
        device: decides its letter, where there are several.
        latency_ms: median.
        span_ms: ends of its whisker: the fastest and the slowest round's median, or an estimate's interval.
        ap: mAP in points; None where it is not known.
        escape: escape rate in per cent; None where it is not known.
        estimated: whether the latency was reckoned, not measured.
    """

    name: str
    model: str
    series: int
    precision: str
    runtime: str
    device: str
    latency_ms: float
    span_ms: tuple[float, float]
    ap: float | None
    escape: float | None
    estimated: bool = False


@dataclass(frozen=True)
class _Height:
    """What stands upwards: how it is called, and whether more of it is better."""

    name: str
    title: str
    label: str
    unit: str
    more_is_better: bool


_AP = _Height("accuracy", "Accuracy against latency", "mAP [points]", "mAP", True)
_ESCAPE = _Height("escape", "Escape rate against latency", "escape rate [%], lower is better", "% escape", False)


def marks_of(results: Sequence[Result], device: str = "") -> list[Mark]:
    """A mark for every result of the leading scenario with the smallest batch that has a median.

    Args:
        results: of one benchmark.
        device: it was run on; it joins the names where it is given.
    """
    shown = smallest_batch(results)
    return [
        Mark(
            name=f"{name}, {device}" if device else name,
            model=result.title,
            series=result.series,
            precision=result.subject.precision,
            runtime=result.subject.runtime,
            device=device,
            latency_ms=result.median_ms,
            span_ms=(min(result.latency.round_p50_ms), max(result.latency.round_p50_ms)),
            ap=result.figures.ap if result.figures else None,
            escape=_percent(result),
        )
        for name, result in zip(distinct_names(shown), shown, strict=True)
        if result.median_ms is not None
    ]


def accuracy_latency_chart(marks: Sequence[Mark], span: str, with_front: bool = True) -> Chart | None:
    """mAP against median latency; None where no mark has both.

    Colour by model, shape by precision, filling by runtime, a letter by device, hollow where it was estimated; a line
    along those measured that no other one beats in both.

    Args:
        marks: see :func:`marks_of`.
        span: from where to where latency goes, in words.
        with_front: whether that line is drawn; not where marks do not compare.
    """
    return _chart(_AP, {mark: mark.ap for mark in marks if mark.ap is not None}, span, with_front)


def escape_latency_chart(marks: Sequence[Mark], span: str, with_front: bool = True) -> Chart | None:
    """Escape rate against median latency; as :func:`accuracy_latency_chart`."""
    return _chart(_ESCAPE, {mark: mark.escape for mark in marks if mark.escape is not None}, span, with_front)


def device_letters(devices: Sequence[str]) -> dict[str, str]:
    """The letter of each device, in order; of more than 26 also two."""
    return {
        device: (ascii_uppercase[place // 26 - 1] if place >= 26 else "") + ascii_uppercase[place % 26]
        for place, device in enumerate(dict.fromkeys(devices))
    }


def pareto_front(points: Sequence[tuple[float, float]], more_is_better: bool) -> list[tuple[float, float]]:
    """The points that no other one beats: none is as fast and higher (or lower), or faster and as high.

    Args:
        points: (latency, height).
        more_is_better: whether a greater height is.

    Returns:
        Them by latency, each once.
    """
    sign = 1 if more_is_better else -1
    front: list[tuple[float, float]] = []
    for time, height in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * height > sign * front[-1][1]:
            front.append((time, height))
    return front


def _chart(height: _Height, heights: Mapping[Mark, float], span: str, with_front: bool) -> Chart | None:
    if not heights:
        return None
    marks = list(heights)
    letters = device_letters([mark.device for mark in marks])
    runtimes = dict.fromkeys(mark.runtime for mark in marks if not mark.estimated)  # estimates are hollow
    fills = {name: _FILLS[place % len(_FILLS)] for place, name in enumerate(runtimes)}
    entries = _legend_entries(marks, fills, letters)

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes)
        measured = [(mark.latency_ms, value) for mark, value in heights.items() if not mark.estimated]
        front = pareto_front(measured, height.more_is_better)
        if with_front and len(front) > 1:
            axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1.2, linestyle=(0, (2, 3)), zorder=1)
        for mark, value in heights.items():
            _draw_mark(axes, mark, value, "none" if mark.estimated else fills[mark.runtime], height)
            if len(letters) > 1:
                axes.annotate(
                    letters[mark.device], (mark.latency_ms, value), (7, 7), textcoords="offset points", color=INK
                )
        _limit_axes(axes, heights)
        axes.set_xlabel(f"median latency, {span} [ms]   (further left is better)")
        if width < WIDE:
            axes.set_xlabel("median latency [ms], left is better")
        axes.set_ylabel(height.label if width == WIDE else height.label.split(",")[0])
        _legend(figure, entries, width)

    points = "; ".join(f"{mark.name}: {_said(mark, value, height)}" for mark, value in heights.items())
    tall = {width: 280 + 19 * -(-len(entries) // _columns(entries, width)) for width in (WIDE, NARROW)}
    return render(height.name, draw, tall[WIDE], f"{height.title}. {points}.", narrow_height=tall[NARROW])


def _draw_mark(axes: Axes, mark: Mark, value: float, fill: str, height: _Height) -> None:
    colour = SERIES[mark.series % SERIES_COLOURS]
    style = (0, (1, 1.5)) if mark.estimated else "solid"
    axes.hlines(value, *mark.span_ms, color=colour, linewidth=2.2, alpha=0.55, linestyle=style, zorder=2)
    drawn = axes.plot(
        mark.latency_ms, value, zorder=3, **_look(mark.precision, colour, "none" if mark.estimated else fill)
    )
    drawn[0].set_gid(f"point|{mark.name}: {_said(mark, value, height)}")


def _look(precision: str, colour: str, fill: str, size: float = 12) -> dict[str, Any]:
    """How a mark is drawn; an empty one lets nothing through, so that whiskers end at its edge."""
    look: dict[str, Any] = {"marker": _MARKERS.get(precision, "s"), "markersize": size, "color": colour}
    if fill == "none":
        return {**look, "markerfacecolor": SURFACE, "markeredgecolor": colour, "markeredgewidth": 2.2, "linestyle": ""}
    if fill == "full":
        return {**look, "markeredgecolor": SURFACE, "linestyle": ""}
    return {
        **look, "fillstyle": fill, "markerfacecoloralt": SURFACE, "markeredgecolor": colour, "markeredgewidth": 1.4,
        "linestyle": "",
    }  # fmt: skip


def _said(mark: Mark, value: float, height: _Height) -> str:
    time = f"{'~' if mark.estimated else ''}{mark.latency_ms:.2f} ms"
    return f"{value:.1f} {height.unit} at {time}{', estimated' if mark.estimated else ''}"


def _limit_axes(axes: Axes, heights: Mapping[Mark, float]) -> None:
    from matplotlib.ticker import LogLocator

    # whiskers included
    times = [time for mark in heights for time in (mark.latency_ms, *mark.span_ms)]
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
    low, high = min(heights.values()), max(heights.values())
    middle, half = (low + high) / 2, max(5.0, 0.65 * (high - low))
    axes.set_ylim(max(0.0, middle - half), min(100.0, middle + half))


@dataclass(frozen=True)
class _Entry:
    """One line of the legend: a stroke of a colour, a mark of a shape and a filling, or a letter."""

    text: str
    colour: str = MUTED
    precision: str = ""
    fill: str = "full"
    letter: str = ""


def _legend_entries(marks: Sequence[Mark], fills: Mapping[str, str], letters: Mapping[str, str]) -> list[_Entry]:
    models = {mark.model: SERIES[mark.series % SERIES_COLOURS] for mark in marks}
    entries = [_Entry(model, colour) for model, colour in models.items()]
    entries += [_Entry(precision, precision=precision) for precision in dict.fromkeys(mark.precision for mark in marks)]
    if len(fills) > 1:
        entries += [_Entry(f"on {runtime}", precision="fp32", fill=fill) for runtime, fill in fills.items()]
    if reckoned := list(dict.fromkeys(mark.runtime for mark in marks if mark.estimated)):
        entries.append(_Entry(f"estimated, on {' or '.join(reckoned)}", precision="fp32", fill="none"))
    if len(letters) > 1:
        entries += [_Entry(device, letter=letter) for device, letter in letters.items()]
    return entries


def _legend(figure: Figure, entries: Sequence[_Entry], width: float) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for one in entries:
        if one.letter:
            look: dict[str, Any] = {"marker": f"${one.letter}$", "markersize": 8, "markeredgewidth": 0, "color": INK}
            handles.append(Line2D([], [], linestyle="", **look))
        elif one.precision:
            handles.append(Line2D([], [], **_look(one.precision, one.colour, one.fill, 9)))
        else:
            handles.append(Line2D([], [], color=one.colour, linewidth=7, solid_capstyle="round"))
    draw_legend(figure, handles, [one.text for one in entries], columns=_columns(entries, width))


def _columns(entries: Sequence[_Entry], width: float) -> int:
    """Columns of a legend that fit into a plot, by the longest text at some 8 pixels a letter."""
    room = 8 * max(len(one.text) for one in entries) + 45
    return max(1, min(6 if width == WIDE else 2, (960 if width == WIDE else 340) // room))


def _percent(result: Result) -> float | None:
    rate = result.line.escape[None].escape.rate.value if result.line else None
    return None if rate is None else 100 * rate
