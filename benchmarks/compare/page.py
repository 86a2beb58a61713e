"""A comparison as files: ``comparison.json``, and ``comparison.html``, one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ...core.files import write_json, write_text
from ..report.pages import drawn, page_environment, page_style
from ..report.pictures import Example, draw_misses
from ..report.plot import INK, LINE, MUTED, SERIES, SURFACE, WIDE, render, style_axes
from .run import Comparison, titles
from .words import disagreement_line, figure_rows, titles_of, verdict_sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_NAME = "comparison.html"
JSON_NAME = "comparison.json"
#: Pictures that are drawn; all are listed.
DRAWN = 24

_REPORT = "temper.benchmarks.report"


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write both files into a folder, and give the page's path.

    Args:
        comparison: what was found.
        folder: it is made if it is missing; older files of these names are replaced.

    Raises:
        TemperError: if they cannot be written.
        MissingDependencyError: if Matplotlib is not installed.
    """
    page = render_page(comparison)
    write_json(folder / JSON_NAME, comparison.to_plain())
    write_text(folder / PAGE_NAME, page)
    return folder / PAGE_NAME


def render_page(comparison: Comparison) -> str:
    """The page's HTML."""
    environment = page_environment()
    lines = {one.file: disagreement_line(one).removeprefix(f"{one.file}: ") for one in comparison.disagreements}
    return environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        sides=titles_of(comparison),
        names=titles(comparison),
        sentences=verdict_sentences(comparison),
        rows=figure_rows(comparison),
        percent=f"{100 * (1 - comparison.settings.level):g}",
        chart=_ratio_chart(comparison),
        drawn=_draw(comparison),
        lines=lines,
        most=DRAWN,
        style=page_style(environment),
    )


def _draw(comparison: Comparison) -> list[Example]:
    looked = comparison.looked
    if looked is None:
        return []
    places = {sample.file_name: place for place, sample in enumerate(looked.data.samples)}
    sides = dict(zip(titles(comparison), (comparison.a, comparison.b), strict=True))
    thresholds = {
        title: np.array([side.bundle.manifest.thresholds[name] for name in looked.data.labels], np.float32)
        for title, side in sides.items()
    }
    found = dict(zip(sides, (looked.a.detections, looked.b.detections), strict=True))
    chosen = [places[one.file] for one in comparison.disagreements[:DRAWN]]
    return draw_misses(looked.data, chosen, found, thresholds, comparison.settings.found_iou)


def _ratio_chart(comparison: Comparison) -> Markup | None:
    """The ratio of every start, their interval, and what would be equivalent."""
    latency = comparison.latency
    if latency is None or latency.effect.change is None:
        return None
    change, smallest = latency.effect.change, latency.effect.smallest
    ratios = [start.ratio for start in latency.starts]

    def draw(figure: Figure, width: float) -> None:
        axes = figure.add_subplot()
        style_axes(axes, grid="x")
        axes.axvspan(1 / (1 + smallest), 1 + smallest, color=LINE, alpha=0.45, linewidth=0)
        axes.axvline(1, color=MUTED, linewidth=1.2)
        axes.hlines(-1.4, change.low, change.high, color=INK, linewidth=3)
        axes.plot(change.value, -1.4, marker="D", color=INK, markersize=9, markeredgecolor=SURFACE)
        axes.plot(ratios, range(len(ratios)), "o", color=SERIES[0], markersize=8, markeredgecolor=SURFACE)
        axes.set_ylim(-2.2, len(ratios) - 0.4)
        axes.invert_yaxis()
        axes.set_yticks([-1.4, 0, len(ratios) - 1], ["interval", "start 1", f"start {len(ratios)}"])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlabel("latency of B by A   (left is better)" if width == WIDE else "latency of B by A")

    said = (
        f"Latency of B by A: {change.value:.3f}, interval {change.low:.3f} to {change.high:.3f}; starts: "
        + ", ".join(f"{ratio:.3f}" for ratio in ratios)
    )
    return drawn(render("ratio", draw, 90 + 14 * len(ratios), said))
