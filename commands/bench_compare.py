"""``temper bench compare``: is B as good and as fast as A."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import UsageError, nearest
from .options import RUNTIME_NAMES, Choice, found_iou_option, public_key_option, threads_option

if TYPE_CHECKING:
    from ..benchmarks.compare.conditions import Condition
    from ..benchmarks.compare.run import Comparison

#: The names of ``benchmarks.compare.run.SMALLEST`` with their units and values, not imported for a help text.
SMALLEST_HELP = "map=0.1 (points), escape=1 (points of per cent), false_alarms=0.05 (per picture), latency=2%"
#: Disagreements that the terminal lists; the files have all.
LISTED = 10


def _conditions(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> list[Condition]:
    from ..benchmarks.compare.conditions import parse_conditions

    return [condition for text in texts for condition in parse_conditions(text)]


def _smallest(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, float]:
    known = ("map", "escape", "false_alarms", "latency")
    values = {}
    for text in texts:
        name, sign, number = (part.strip() for part in text.partition("="))
        if not sign:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE; write map=0.1", ctx, param)
        if name not in known:
            raise click.BadParameter(f"there is no '{name}'.{nearest(name, known)}", ctx, param)
        try:
            value = float(number.removesuffix("%")) / (100 if name == "latency" and number.endswith("%") else 1)
        except ValueError:
            raise click.BadParameter(f"'{number}' is no number; write {name}=0.1", ctx, param) from None
        if not 0 < value < 100:
            raise click.BadParameter(f"{name}={number} is not above 0 and below 100", ctx, param)
        values[name] = value
    return values


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data set folder (see 'temper data import').  [default: none; only latency, on A's golden pictures]",
)
@click.option("--split", default="val", show_default=True, help="Split of the data set to compare on.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the page and the figures.")
@click.option("--runtime", help=f"Of a side that names none: {', '.join(RUNTIME_NAMES)}.  [default: onnxruntime]")
@click.option("--precision", help="Of a side that names none: fp32, int8 or a variant's name.  [default: fp32]")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 1024), help="Pictures per timed call.")
@threads_option
@click.option("--only", type=Choice(["accuracy", "latency"]), help="Compare only this.")
@click.option(
    "--starts",
    default=15,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Pairs of fresh processes whose latencies are compared; more make the interval narrower.",
)
@click.option(
    "--seconds",
    default=6.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Time each side at least this long in all.",
)
@click.option(
    "--level",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0.01, 20),
    metavar="PERCENT",
    help="How often a difference may be claimed of a figure where there is none.",
)
@click.option(
    "--smallest",
    multiple=True,
    callback=_smallest,
    metavar="NAME=VALUE",
    help=f"Smallest effect of interest; several times for several.  [default: {SMALLEST_HELP}]",
)
@found_iou_option
@click.option("--limit", type=click.IntRange(1), help="Compare on this many pictures, evenly spread over the split.")
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    callback=_conditions,
    metavar="CONDITION",
    help="End with exit code 1 where it holds, such as 'map_drop>0.5' or 'latency_ratio>1.1'; several times, or with "
    "commas between, for several.",
)
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def compare(
    a: str,
    b: str,
    data: Path | None,
    split: str,
    out: Path | None,
    conditions: list[Condition],
    public_key: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Hold B against A on the same pictures: accuracy, latency, and the pictures on which they disagree.

    A and B are bundles; BUNDLE:VARIANT@RUNTIME takes one graph of a bundle on one runtime, as in
    NAME.temper:int8@openvino. Each difference comes with its interval and a verdict on B.
    """
    from ..benchmarks.compare.conditions import reasons_to_fail
    from ..benchmarks.compare.run import run_comparison
    from ..benchmarks.compare.side import Defaults, open_side, parse_side
    from ..core.errors import TemperError
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress

    asked = _settings(settings)
    _require_compared(conditions, asked, data is not None)
    defaults = Defaults(settings["precision"], settings["runtime"], settings["batch"], settings["threads"], public_key)
    loaded = None if data is None else load_split(data, split).spread(settings["limit"])
    sides = [open_side(parse_side(text), defaults) for text in (a, b)]
    with progress(choose_style(as_json)) as reporter:
        comparison = run_comparison(sides[0], sides[1], loaded, asked, reporter)
    if out is not None:
        from ..benchmarks.compare.page import write_comparison

        page = write_comparison(comparison, out)
    if as_json:
        click.echo(json.dumps({"event": "compared", **comparison.to_plain()}, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(comparison):
            click.echo(line)
        if out is not None:
            click.echo(f"Written: {page}")
        elif comparison.disagreements:
            click.echo("Give --out DIR to see these pictures with the boxes of both.")
    if reasons := reasons_to_fail(conditions, comparison.values()):
        raise TemperError(f"B fails against A: {'; '.join(reasons)}.")


def _settings(settings: dict[str, Any]) -> Any:
    from ..benchmarks.compare.effect import starts_needed
    from ..benchmarks.compare.latency import LatencySettings
    from ..benchmarks.compare.run import PARTS, SMALLEST, ComparisonSettings

    level, starts, only = settings["level"] / 100, settings["starts"], settings["only"]
    if only != "accuracy" and starts < starts_needed(level):
        raise UsageError(
            f"{starts} starts are too few for a level of {settings['level']:g} %; give --starts "
            f"{starts_needed(level)} or more, or a higher --level."
        )
    return ComparisonSettings(
        parts=PARTS if only is None else (only,),
        level=level,
        smallest={**SMALLEST, **settings["smallest"]},
        found_iou=settings["found_iou"],
        latency=LatencySettings(starts=starts, seconds=settings["seconds"]),
    )


def _require_compared(conditions: list[Condition], asked: Any, has_data: bool) -> None:
    from ..benchmarks.compare.run import figures_compared, require_real_processor

    compared = figures_compared(asked, has_data)
    if not compared:
        raise UsageError("Accuracy needs pictures with their truth: give --data, or compare latency.")
    for one in conditions:
        if one.figure not in compared:
            remedy = "leave out --only" if has_data or one.figure == "latency_ratio" else "give --data"
            raise UsageError(f"--fail-if '{one}' asks about something that is not compared; {remedy}.")
    require_real_processor(asked, has_data, {one.figure for one in conditions})


def _lines(comparison: Comparison) -> list[str]:
    from ..benchmarks.compare.words import disagreement_line, figure_rows, titles_of

    rows = figure_rows(comparison)
    level = 100 * (1 - comparison.settings.level)
    heads = ("", "A", "B", "B against A", f"{level:g} % interval", "verdict on B", "smallest effect of interest")
    table = [heads, *((r.title, r.a, r.b, r.change, r.interval, r.verdict, r.smallest) for r in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    lines = list(titles_of(comparison))
    lines += [
        "  ".join(
            text.ljust(width) if column in (0, 5, 6) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    lines += [f"{row.title}: {row.note}." for row in rows if row.note]
    found = comparison.disagreements
    if comparison.looked is not None:
        lines.append(f"They disagree on {len(found)} of {comparison.images} pictures, at their own thresholds.")
        lines += [f"  {disagreement_line(one)}" for one in found[:LISTED]]
        if len(found) > LISTED:
            lines.append(f"  and on {len(found) - LISTED} more.")
    return lines
