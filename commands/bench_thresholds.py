"""``temper bench thresholds``: thresholds for a wanted escape rate, as a new bundle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import RUNTIME_NAMES, found_iou_option, public_key_option, threads_option

if TYPE_CHECKING:
    from ..benchmarks.operating_point import OperatingPoint, Part
    from ..detection.dataset import DataSet
    from ..detection.intervals import Estimate


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A share of a whole, written ``2%`` or ``0.02``."""
    text = value.strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no share; write 2% or 0.02", ctx, param) from None
    if not 0 <= share < 1:
        raise click.BadParameter(f"'{value}' is not from 0% to below 100%; write 2% or 0.02", ctx, param)
    return share


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Data set folder (see 'temper data import').",
)
@click.option(
    "--escape-rate",
    required=True,
    callback=_share,
    metavar="SHARE",
    help="Share of the defects of every class that may escape: 2% or 0.02.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The bundle to make, NAME.temper.  [default: none is made]"
)
@click.option("--choose-on", default="val", show_default=True, help="Split of the data to choose the thresholds on.")
@click.option(
    "--judge-on",
    default="test",
    show_default=True,
    help="Split to judge them on; the same split is dealt in two halves, one for each.",
)
@click.option("--precision", help="fp32, int8 or a variant's name to choose on.  [default: the bundle's first]")
@click.option("--runtime", default="onnxruntime", show_default=True, help=f"{', '.join(RUNTIME_NAMES)}.")
@threads_option
@found_iou_option
@click.option("--closest", is_flag=True, help="Where a class cannot reach the rate, take the lowest there is.")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def thresholds(
    bundle: Path,
    data: Path,
    escape_rate: float,
    out: Path | None,
    choose_on: str,
    judge_on: str,
    precision: str | None,
    runtime: str,
    threads: int | None,
    found_iou: float,
    closest: bool,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Choose the thresholds of BUNDLE for a wanted escape rate on one part of the data, and judge them on another.

    With --out they are written as a new bundle with the same graphs; BUNDLE stays as it is.
    """
    from ..benchmarks.operating_point import Wanted, choose_operating_point, require_new, write_operating_point
    from ..bundle.loader import open_bundle
    from ..bundle.writer import require_bundle_target
    from ..core.errors import TemperError
    from ..flow.progress import choose_style, progress

    if out is not None:
        require_bundle_target(out)
        require_new(bundle, out)
    parts = _parts(data, choose_on, judge_on)
    with open_bundle(bundle, public_key) as opened:
        wanted = Wanted(escape_rate, precision, runtime, threads, found_iou)
        with progress(choose_style(as_json)) as reporter:
            point = choose_operating_point(opened, wanted, *parts, reporter)
        short = point.shortfalls()
        if as_json:
            click.echo(json.dumps({"event": "chosen", **_plain(point, short)}, ensure_ascii=False))
        else:
            _print(point)
        if short and not closest:
            made = "" if out is None else f" {out} was not made."
            raise TemperError(
                f"An escape rate of {100 * escape_rate:g} % cannot be reached.{made} {' '.join(short)} Allow more, "
                "give --closest for the lowest there is, or train a better model."
            )
        for sentence in () if as_json else short:
            click.echo(sentence)
        if out is not None:
            manifest = write_operating_point(opened, point, out)
            if as_json:
                click.echo(json.dumps({"event": "written", "path": str(out), "name": manifest.name}))
            else:
                click.echo(f"Written: {out}, with the graphs of {bundle} and these thresholds; it is not signed.")


def _parts(folder: Path, choose_on: str, judge_on: str) -> tuple[DataSet, DataSet]:
    from ..benchmarks.operating_point import deal_in_two
    from ..core.errors import UsageError
    from ..detection.dataset import SPLITS, load_split

    chosen = load_split(folder, choose_on)
    if choose_on == judge_on:
        return deal_in_two(chosen)
    if not (folder / "annotations" / f"{judge_on}.json").is_file():
        others = [s for s in SPLITS if s != judge_on and (folder / "annotations" / f"{s}.json").is_file()]
        raise UsageError(
            f"{folder} has no split '{judge_on}' to judge on (it has: {', '.join(others)}). Give --judge-on "
            f"{choose_on} to choose on one half of it and judge on the other."
        )
    return chosen, load_split(folder, judge_on)


def _print(point: OperatingPoint) -> None:
    chosen, judged = point.chosen_on, point.judged_on
    click.echo(
        f"{point.variant.name} on {point.wanted.runtime}: chosen on {_count(len(chosen.data))} of {chosen.data.name}, "
        f"judged on {len(judged.data)} of {judged.data.name}; old → new"
    )
    width = max(5, *(len(label) for label in point.choices))
    click.echo(
        f"{'class':<{width}}  {'threshold':>13}  {'missed, chosen':>16}  {'missed, judged':>16}  {'escape, judged':>16}"
        "  false alarms a picture"
    )
    for label in (*point.choices, None):
        thresholds = "" if label is None else f"{chosen.before.thresholds[label]:.3f} → {point.thresholds[label]:.3f}"
        alarms = [figures.alarms[label].per_image for figures in (judged.before, judged.after)]
        click.echo(
            f"{'all' if label is None else label:<{width}}  {thresholds:>13}  {_change(chosen, label):>16}  "
            f"{_change(judged, label):>16}  {_range(judged.after.escape[label].rate):>16}  "
            f"{_rate(alarms[0]):>6} → {_rate(alarms[1])}"
        )
    for line in (*_pictures(judged), *point.cautions()):
        click.echo(line)


def _count(pictures: int) -> str:
    return "1 picture" if pictures == 1 else f"{pictures} pictures"


def _pictures(part: Part) -> list[str]:
    """What becomes of whole pictures."""
    before, after = part.before.sorting, part.after.sorting
    lines = []
    if after.bad:
        lines.append(f"Bad pictures passed: {before.bad_passed} → {after.bad_passed} of {after.bad}.")
    if after.good:
        lines.append(f"Good pictures flagged: {before.good_flagged} → {after.good_flagged} of {after.good}.")
    return lines


def _change(part: Part, label: str | None) -> str:
    before, after = part.before.escape[label], part.after.escape[label]
    return f"{before.missed} → {after.missed} of {after.defects}"


def _range(rate: Estimate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "-"
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.0f}–{100 * rate.high:.0f})"


def _rate(rate: Estimate) -> str:
    return "-" if rate.value is None else f"{rate.value:.2f}"


def _plain(point: OperatingPoint, short: list[str]) -> dict[str, Any]:
    def part(one: Part) -> dict[str, Any]:
        return {
            "data": one.data.name,
            "images": len(one.data),
            **{
                when: {
                    "escape": {label or "": asdict(found) for label, found in figures.escape.items()},
                    "false_alarms": {label or "": asdict(found) for label, found in figures.alarms.items()},
                    "sorting": asdict(figures.sorting),
                }
                for when, figures in (("before", one.before), ("after", one.after))
            },
        }

    return {
        "escape_rate": point.wanted.escape_rate,
        "variant": point.variant.name,
        "runtime": point.wanted.runtime,
        "found_iou": point.wanted.found_iou,
        "thresholds": point.thresholds,
        "reached": {label: choice.reached for label, choice in point.choices.items()},
        "shortfalls": short,
        "cautions": point.cautions(),
        "chosen_on": part(point.chosen_on),
        "judged_on": part(point.judged_on),
    }
