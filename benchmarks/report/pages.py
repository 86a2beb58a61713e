"""What every page has in common: the templates' environment, the style, and how a chart stands in it."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .plot import Chart, SmallChart

_LOADER = PackageLoader("temper.benchmarks.report", "templates")


def page_environment() -> Environment:
    """An environment that escapes what it is given, and knows no undefined name."""
    return Environment(loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def page_style(environment: Environment) -> Markup:
    """The style sheet, to stand in the page itself."""
    return Markup(_LOADER.get_source(environment, "style.css")[0])


def drawn(chart: Chart | SmallChart) -> Markup:
    """A chart as a part of the page; its SVG is Matplotlib's, which escapes the texts it was given."""
    if isinstance(chart, SmallChart):
        return Markup(f'<div class="chart">{chart.svg}</div>')
    return Markup(
        f'<div class="chart"><div class="wide">{chart.wide}</div><div class="narrow">{chart.narrow}</div></div>'
    )
