"""A history as people read it, for the terminal and the page."""

from __future__ import annotations

from .figures import FIGURES
from .regression import Series


def series_title(series: Series) -> str:
    """What a series is of: figure, graph, runtime, and the data and machine that all its points share."""
    key, kind, last = series.key, FIGURES[series.key.figure], series.points[-1]
    unit = f" [{kind.unit}]" if kind.unit else ""
    batch = "" if key.batch is None else f", batch {key.batch}"
    threads = "" if key.threads is None else f", {key.threads} threads"
    where = f"on {last.data} ({last.data_sha256[:8]})"
    if key.machine:
        where = f"on pictures of {key.data}, {last.machine_title}"
    scenario = "" if key.scenario in ("", "single-stream") else f", {key.scenario}"
    conditions = f" ({key.conditions})" if key.conditions else ""
    return (
        f"{kind.title}{unit}: {key.model} {key.variant}, {key.runtime}{batch}{threads}{scenario}{conditions}, {where}"
    )


def point_cells(series: Series) -> list[tuple[str, ...]]:
    """A row for every point: when, graph, Temper, runtime, value, interval, and what is said of it."""
    form = FIGURES[series.key.figure].form
    rows: list[tuple[str, ...]] = []
    for point in series.points:
        said = "worse than " + " and ".join(r.against for r in series.regressions) if series.regressions else ""
        interval = "–" if point.low is None or point.high is None else f"{point.low:{form}} to {point.high:{form}}"
        remark = said if point is series.points[-1] else ""
        warned = "measured with warnings" if point.warnings else ""
        rows.append(
            (
                point.started.replace("T", " ").removesuffix("+00:00"),
                point.graph_sha256[:8],
                point.temper,
                point.runtime_version,
                format(point.value, form),
                interval,
                "; ".join(text for text in (remark, warned) if text),
            )
        )
    return rows
