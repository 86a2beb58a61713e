"""How numbers are written in the pages; a dash is what there is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...detection.intervals import Estimate
from .pages import drawn


def points(value: float | None) -> str:
    """Points from 0 to 100."""
    return "–" if value is None else f"{value:.1f}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in per cent."""
    return "–" if share is None else f"{100 * share:.1f}"


def interval(estimate: Estimate | None, form: str = "%.1f", factor: float = 1) -> str:
    """The ends of an interval; empty where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{form % (factor * estimate.low)}–{form % (factor * estimate.high)}"


def milliseconds(value: float | None) -> str:
    """Three digits or so."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def count(value: float) -> str:
    """A rate or a number of things."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def size(number: int) -> str:
    """Bytes as megabytes of 10^6."""
    return f"{number / 1e6:.1f}" if number >= 1e6 else f"{number / 1e6:.2f}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


#: The templates' filters, by the names they have there.
FILTERS: dict[str, Callable[..., Any]] = {
    "points": points,
    "percent": percent,
    "interval": interval,
    "ms": milliseconds,
    "count": count,
    "size": size,
    "duration": duration,
    "chart": drawn,
}
