"""``temper bench history``: a figure over versions and time."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import Choice, history_option, runs_option

if TYPE_CHECKING:
    from ..benchmarks.history.regression import Series
    from ..benchmarks.history.store import History

#: The names of ``benchmarks.history.figures.FIGURES``, which is not imported for a help text.
FIGURE_NAMES = (
    "p50", "mean", "p90", "p99", "p999", "jitter", "throughput", "map", "ap50", "ap75", "ap_small", "ap_medium",
    "ap_large", "escape_rate", "false_alarms", "load", "first_call", "peak_memory", "file_size",
    "joules_per_frame",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--figure",
    "figures",
    multiple=True,
    type=Choice(FIGURE_NAMES),
    metavar="FIGURE",
    help=f"What to show: {', '.join(FIGURE_NAMES)}; several times for several.  [default: map, p50]",
)
@runs_option
@history_option
@click.option(
    "--add",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Add what 'temper bench run --out DIR' measured first; several times for several.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write charts of it to this file.")
@click.option("--fail-on-regression", is_flag=True, help="End with exit code 1 where a figure got worse.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each series.")
def history(
    names: tuple[str, ...],
    figures: tuple[str, ...],
    runs: Path,
    history: str | None,
    folders: tuple[Path, ...],
    html: Path | None,
    fail_on_regression: bool,
    as_json: bool,
) -> None:
    """Show figures of the bundles NAME over versions and time, and which of them got worse.

    Every 'temper bench run' and 'temper run' adds to the history. A figure got worse where the interval of the latest
    benchmark does not touch that of the one before, or of the best, on the same machine (latency) or data (accuracy).
    A latency has to be beyond what benchmarks of the same graph differ by, too, and measured without warnings.
    """
    from ..benchmarks.history.regression import series_of
    from ..benchmarks.history.store import History, history_path, parse_history
    from ..core.errors import TemperError, UsageError

    path = parse_history(history) if history else history_path(runs)
    if path is None:
        raise UsageError("There is no history to show: --history or TEMPER_HISTORY says 'none'. Name a file.")
    if not path.is_file() and not folders:
        raise UsageError(
            f"There is no history {path} yet. 'temper bench run' makes it, or '--add DIR' of what one measured. "
            "After 'temper run --runs RUNS' name '--runs RUNS'."
        )
    with History(path, read_only=not folders) as opened:
        for folder in folders:
            _add(opened, folder, as_json)
        _require_models(opened, names)
        series = series_of(opened.points(figures or ("map", "p50"), names))
    if html is not None:
        from ..benchmarks.history.page import write_history

        write_history(series, path, html)
    found = [regression for one in series for regression in one.regressions]
    if as_json:
        for one in series:
            click.echo(json.dumps(_plain(one), ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(series):
            click.echo(line)
        for regression in found:
            click.echo(f"Worse: {regression.sentence()}")
        for one in series:
            if one.not_judged:
                click.echo(f"Not judged: {one.not_judged}")
        if html is not None:
            click.echo(f"Written: {html}")
    if found and fail_on_regression:
        count = len(found)
        raise TemperError(f"{count} figure{'' if count == 1 else 's'} got worse. First: {found[0].sentence()}")


def _add(opened: History, folder: Path, as_json: bool) -> None:
    from ..benchmarks.measurement import MEASUREMENTS_NAME, read_rows

    fresh = opened.add(read_rows(folder / MEASUREMENTS_NAME))
    if not as_json:
        click.echo(f"Added: {folder}." if fresh else f"{folder} is in the history already.")


def _require_models(opened: History, names: tuple[str, ...]) -> None:
    from ..core.errors import UsageError, nearest

    known = opened.models()
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else " It is empty."
            raise UsageError(f"The history {opened.path} has no bundle '{name}'.{hint}")


def _lines(series: list[Series]) -> list[str]:
    from ..benchmarks.history.words import point_cells, series_title

    if not series:
        return ["The history has nothing of this."]
    lines = []
    for one in series:
        lines.append(series_title(one))
        rows = [("when", "graph", "temper", "runtime", "value", "95 % interval", ""), *point_cells(one)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [
                text.rjust(width) if column in (4, 5) else text.ljust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def _plain(one: Series) -> dict[str, object]:
    regressions = [
        {"against": r.against, "earlier": r.earlier.started, "same_graph": r.same_graph, "sentence": r.sentence()}
        for r in one.regressions
    ]
    return {
        **asdict(one.key),
        "points": [asdict(point) for point in one.points],
        "regressions": regressions,
        "not_judged": one.not_judged or None,
    }
