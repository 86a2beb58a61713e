"""A plan as files: ``plan.json``, and ``plan.html``, one page that needs nothing else and can be forwarded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.files import write_json, write_text
from ..report.pages import drawn, page_environment, page_style
from ..report.plot import INK, MUTED, SERIES, SERIES_COLOURS, SURFACE, Chart, draw_legend, render, style_axes
from .capability import MARK
from .optics import LINKS
from .plain import plan_to_plain
from .recipe import PlanRecipe
from .run import Plan, WhatIf
from .steps import demand_steps, optics_steps, supply_steps
from .template import recipe_text
from .words import capability_title, row_words, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_NAME = "plan.html"
JSON_NAME = "plan.json"
#: Devices in the plot; more would hide one another.
PLOTTED = 6


def write_plan(plan: Plan, folder: Path) -> Path:
    """Write both files into a folder, and give the page's path.

    Args:
        plan: what was found.
        folder: it is made if it is missing; older files of these names are replaced.

    Raises:
        TemperError: if they cannot be written.
        MissingDependencyError: if Matplotlib is not installed.
    """
    page = render_page(plan)
    write_json(folder / JSON_NAME, plan_to_plain(plan))
    write_text(folder / PAGE_NAME, page)
    return folder / PAGE_NAME


def render_page(plan: Plan) -> str:
    """The page's HTML."""
    environment = page_environment()
    first = plan.ranked[0] if plan.ranked else None
    rejected = [row_words(row, plan.currency) for row in plan.rejected]
    kinds = {one.supply.capability.kind for one in plan.rows}
    return environment.get_template("plan.html.j2").render(
        plan=plan,
        inputs=_inputs(plan.recipe),
        sentences=sentences(plan),
        optics=optics_steps(plan.demands[0]),
        demands=[(demand, demand_steps(demand)) for demand in plan.demands],
        first=None if first is None else row_words(first, plan.currency),
        first_steps=[] if first is None else supply_steps(first.supply, plan.terms, plan.currency),
        rows=[row_words(row, plan.currency) for row in plan.ranked],
        rejected=rejected,
        kinds=kinds,
        unpriced_currency=bool(plan.terms.prices) and not plan.currency,
        margin=f"{100 * plan.terms.margin:g}",
        chart=drawn(_what_if_chart(plan.what_if[:PLOTTED], plan)) if plan.what_if else None,
        left_out=len(plan.what_if) - PLOTTED,
        links=LINKS,
        tail=plan.recipe.tail,
        recipe=recipe_text(plan.recipe, "plan.yml"),
        mark=MARK,
        style=page_style(environment),
    )


def _inputs(recipe: PlanRecipe) -> list[tuple[str, str]]:
    """What was asked: every field that is not left open."""
    return [
        (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in recipe
        if value is not None and value != ()
    ]


def _what_if_chart(series: Sequence[WhatIf], plan: Plan) -> Chart:
    """Devices by the strip's speed: a full line is measured, a broken one with hollow ends estimated."""
    asked = plan.demands[0].geometry.speed_m_s
    most = max((count for one in series for count in one.devices if count is not None), default=1)

    def draw(figure: Figure, width: float) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        style_axes(axes)
        axes.axvline(asked, color=MUTED, linewidth=1.2)
        for number, one in enumerate(series):
            points = [(x, y) for x, y in zip(one.speeds_m_s, one.devices, strict=True) if y is not None]
            if not points:
                continue
            colour, estimated = SERIES[number % SERIES_COLOURS], one.capability.kind == "estimated"
            # lines that lie on one another are set apart a little
            heights = [y + (number - len(series) / 2) * 0.012 * most for _, y in points]
            speeds = [x for x, _ in points]
            dashes: Any = (0, (4, 3)) if estimated else "solid"
            axes.plot(speeds, heights, color=colour, linewidth=2.2, linestyle=dashes, drawstyle="steps-pre")
            end = axes.plot(
                speeds[-1],
                heights[-1],
                "o",
                markersize=9,
                color=SURFACE if estimated else colour,
                markeredgecolor=colour,
            )
            end[0].set_gid(f"point|{capability_title(one.capability)}: {points[-1][1]} at {speeds[-1]:.2f} m/s")
        axes.set_ylim(0, 1.12 * most + 0.3)
        axes.set_xlim(0, 2.05 * asked)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(
            "speed of the strip [m/s]; the line is what was asked" if width > 500 else "speed of the strip [m/s]"
        )
        axes.set_ylabel("devices")
        axes.tick_params(axis="y", labelcolor=INK)
        _legend(figure, series, width)

    said = "; ".join(f"{capability_title(one.capability)}: {_said(one)}" for one in series)
    return render("what-if", draw, 380, f"Devices by speed of the strip. {said}.")


def _legend(figure: Figure, series: Sequence[WhatIf], width: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=SERIES[n % SERIES_COLOURS], linewidth=2.2, linestyle=(0, (4, 3)) if est else "solid")
        for n, est in enumerate(one.capability.kind == "estimated" for one in series)
    ]
    draw_legend(figure, handles, [capability_title(one.capability) for one in series], columns=3 if width > 500 else 1)


def _said(one: WhatIf) -> str:
    known = [(x, y) for x, y in zip(one.speeds_m_s, one.devices, strict=True) if y is not None]
    if not known:
        return "none at any of these speeds"
    steps = [known[0], *(b for a, b in zip(known, known[1:], strict=False) if a[1] != b[1])]
    return (
        ", ".join(f"{count} from {speed:.2f} m/s" for speed, count in steps)
        + f", and none beyond {known[-1][0]:.2f} m/s"
    )
