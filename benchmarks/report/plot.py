"""How the report draws: Matplotlib's SVG with the page's own colours, so that it follows light and dark.

Every colour is drawn as a marker colour that stands for one of the page's CSS variables and is replaced by it
afterwards. Texts stay texts. A plot comes wide and narrow, and the page shows the one that fits; a small
one comes once.
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
from ...deploy.stages import STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours the page defines for models; more models than that begin again.
SERIES_COLOURS = 6

INK, MUTED, LINE, SURFACE = "#010101", "#010102", "#010103", "#010104"
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", SURFACE: "--surface"}
SERIES = [f"#0102{i:02x}" for i in range(SERIES_COLOURS)]
STAGE = {stage: f"#0103{i:02x}" for i, stage in enumerate(STAGES[:-1])}
_VARIABLES |= {colour: f"--series-{i}" for i, colour in enumerate(SERIES)}
_VARIABLES |= {colour: f"--stage-{i}" for i, colour in enumerate(STAGE.values())}

#: Widths and heights are CSS pixels, of which Matplotlib counts 72 an inch.
WIDE, NARROW, _PIXELS_PER_INCH = 1000, 360, 72


#: Of a plot that is one of many side by side; on a phone it takes the whole width.
SMALL_WIDTH, SMALL_HEIGHT = 330, 190


@dataclass(frozen=True)
class Chart:
    """One plot as inline SVG, for wide and for narrow screens, with the text that says what it shows."""

    wide: str
    narrow: str
    description: str


@dataclass(frozen=True)
class SmallChart:
    """One of many small plots side by side: its heading, its inline SVG, and the text that says what it shows."""

    title: str
    svg: str
    description: str


def series_colour(series: int) -> str:
    """The CSS variable of a model's colour."""
    return f"var(--series-{series % SERIES_COLOURS})"


def style_axes(axes: Axes, grid: str = "both") -> None:
    """The look of all plots: no frame, faint lines, muted numbers."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=MUTED, length=3, which="both")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis=grid, color=LINE, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.patch.set_visible(False)


def draw_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """A legend above the plot."""
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, frameon=False, labelcolor=INK, handlelength=1.2,
        columnspacing=1.4, handletextpad=0.6, borderpad=0.1,
    )  # fmt: skip


def render(
    name: str,
    draw: Callable[[Figure, float], None],
    height: float,
    description: str,
    wide: int = WIDE,
    narrow_height: float | None = None,
) -> Chart:
    """Draw a plot wide and narrow.

    Args:
        name: unlike that of any other plot of the page.
        draw: is given an empty figure and its layout, ``WIDE`` or ``NARROW``.
        height: in CSS pixels.
        description: what the plot shows, for those who do not see it.
        wide: width of the wide one in CSS pixels.
        narrow_height: of the narrow one in CSS pixels, where its legend takes more room; ``height`` if None.

    Raises:
        MissingDependencyError: if Matplotlib is not installed.
    """
    return Chart(
        wide=_svg(f"{name}-wide", draw, wide, height, WIDE, description),
        narrow=_svg(f"{name}-narrow", draw, NARROW, narrow_height or height, NARROW, description),
        description=description,
    )


def render_small(name: str, title: str, draw: Callable[[Figure], None], description: str) -> SmallChart:
    """Draw one of many small plots; arguments as for :func:`render`, ``title`` is the heading."""
    svg = _svg(name, lambda figure, _: draw(figure), SMALL_WIDTH, SMALL_HEIGHT, NARROW, description)
    return SmallChart(title, svg, description)


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
