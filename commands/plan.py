"""``temper plan``: which hardware keeps up with a line, with how much margin, and what binds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import HELP_OPTIONS, Choice, public_key_option

if TYPE_CHECKING:
    from ..benchmarks.plan.run import Plan

FILE = click.Path(path_type=Path)
#: The names in ``benchmarks.plan.optics.LINKS``, which is not imported for a help text.
LINK_NAMES = ("GigE", "USB3", "5GigE", "CXP-6", "10GigE", "CXP-12", "CXP-6x4", "CXP-12x4")
#: Fields of the recipe that an option gives as a list.
_LISTS = ("measured", "estimated")
_COMMA_LISTS = ("estimate", "precision", "batch")


@click.command(context_settings=HELP_OPTIONS)
@click.argument("file", metavar="[PLAN]", required=False, type=FILE)
@click.option("--bundle", help="The bundle that shall run.")
@click.option("--strip-width", metavar="LENGTH", help="Of the strip: 1.2m.")
@click.option("--line-speed", metavar="SPEED", help="Of the strip: 15m/s, 900m/min.")
@click.option("--defect", metavar="LENGTH", help="The smallest defect that has to be found: 0.5mm.")
@click.option("--pixels-per-defect", type=float, help="Pixels that it covers in each direction.  [default: 4]")
@click.option("--resolution", metavar="LENGTH", help="Of a pixel.  [default: the coarsest that will do]")
@click.option("--scan", type=Choice(["line", "area"]), help="Kind of the cameras.  [default: line]")
@click.option("--cameras", metavar="N|auto", help="Side by side.  [default: auto, the fewest]")
@click.option("--sensor", metavar="PIXELS", help="8192, or 2448x2048.  [default: the smallest common one]")
@click.option("--link", type=Choice(LINK_NAMES), help=f"{', '.join(LINK_NAMES)}.  [default: the first that will do]")
@click.option("--ports", type=int, help="Camera links that a device has.  [default: enough]")
@click.option(
    "--lens-overlap", metavar="LENGTH", help="That neighbouring cameras both see.  [default: as --tile-overlap]"
)
@click.option("--tile-overlap", type=int, help="Pixels that neighbouring tiles have in common.  [default: 32]")
@click.option("--frame-height", type=int, help="Lines in a frame of a line scan camera.  [default: a tile's height]")
@click.option("--frame-overlap", type=int, help="Lines in common with the frame before.  [default: 32]")
@click.option("--deadline", metavar="TIME", help="From a frame to its result: 50ms.  [default: the frame's successor]")
@click.option("--reach", metavar="LENGTH", help="Instead: way from the camera to what acts on the result: 6m.")
@click.option("--margin", metavar="SHARE", help="Of a device's time that stays free at p99.  [default: 30%]")
@click.option("--queue", type=int, help="Frames that may wait in a device.  [default: 16]")
@click.option(
    "--measured",
    multiple=True,
    metavar="DIR[=DEVICE]",
    help="What 'temper bench run --out DIR' or 'bench remote' measured; several times for several.",
)
@click.option(
    "--estimated", multiple=True, metavar="FILE", help="What 'temper estimate --out' wrote; also several times."
)
@click.option("--estimate", metavar="DEVICE[@MODE],...", help="Devices to estimate now.")
@click.option("--precision", metavar="NAME,...", help="Graphs to plan with.  [default: all]")
@click.option("--batch", metavar="N,...", help="Pictures per call of what is estimated now.  [default: 1]")
@click.option("--devices", metavar="FILE", help="Devices of your own, for --estimate.")
@click.option("--tail", type=float, help="p99 by median that estimates are given.  [default: 1.5]")
@click.option("--host-ms", type=float, help="Per picture, of the processor, that estimates are given.  [default: 0.4]")
@click.option("--max-power", metavar="POWER", help="Of all devices together: 60W.")
@click.option("--prices", metavar="FILE", help="Prices, and watts, by device.")
@click.option("--seed", type=int, help="Of the simulation.  [default: 0]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the page and the figures.")
@click.option("--write", type=FILE, help="Write what was asked to this file, commented, and do no more.")
@click.option("--fail-if-none", is_flag=True, help="End with exit code 1 where nothing keeps up.")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan(
    file: Path | None,
    out: Path | None,
    write: Path | None,
    fail_if_none: bool,
    public_key: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose the hardware for a line: cameras, links, and the devices that keep up.

    PLAN is a plan.yml; options win over it. What a device does comes from measurements, and from estimates for devices
    one has not; the two never look alike. A plan is simulated before it is printed. That nothing keeps up is an answer,
    with exit code 0, unless --fail-if-none is given.
    """
    from ..benchmarks.plan.recipe import read_recipe

    recipe = read_recipe(file, _fields(options))
    if write is not None:
        from ..benchmarks.plan.template import write_recipe

        write_recipe(recipe, write)
        click.echo(f"Written: {write}. Run it with 'temper plan {write}'.")
        return
    from ..benchmarks.plan.run import make_plan

    made = make_plan(recipe, public_key)
    page = None
    if out is not None:
        from ..benchmarks.plan.page import write_plan

        page = write_plan(made, out)
    if as_json:
        from ..benchmarks.plan.plain import plan_to_plain

        click.echo(json.dumps(plan_to_plain(made), ensure_ascii=False, allow_nan=False))
    else:
        _show(made)
        click.echo("Give --out DIR for a page to forward." if page is None else f"Written: {page}")
    if fail_if_none and not made.ranked:
        click.get_current_context().exit(1)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields that options set, as the recipe has them."""
    fields: dict[str, Any] = {name: value for name, value in options.items() if value not in (None, ())}
    for name in _LISTS:
        if name in fields:
            fields[name] = list(fields[name])
    for name in _COMMA_LISTS:
        if name in fields:
            parts = [part.strip() for part in fields[name].split(",") if part.strip()]
            fields[name] = [int(part) if part.isdigit() else part for part in parts] if name == "batch" else parts
    if str(fields.get("cameras", "")).isdigit():
        fields["cameras"] = int(fields["cameras"])
    return fields


def _show(made: Plan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..benchmarks.plan.words import row_words, sentences

    console = Console(highlight=False)
    for sentence in sentences(made):
        console.print(Text(sentence), soft_wrap=not console.is_terminal)
    rows = [row_words(row, made.currency) for row in made.ranked]
    columns = [
        ("", "rank"), ("device", "device"), ("mode", "mode"), ("figures are", "kind"), ("graph", "graph"),
        ("frame p99", "frame"), ("cameras each", "carries"), ("devices", "devices"), ("load", "load"),
        ("watts", "watts"), ("watts are of", "watts_of"), ("cost", "cost"),
        ("binds", "binds"), ("keeps up to", "fastest"), ("simulated p99", "simulated"),
    ]  # fmt: skip
    for warning in made.warnings:
        console.print(Text(f"warning: {warning}"), soft_wrap=True)
    if rows:
        # a pipe has no width: there nothing is cut
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        shown = [(head, name) for head, name in columns if any(getattr(row, name) for row in rows)]
        for head, name in shown:
            table.add_column(head, justify="left" if name in _LEFT else "right", no_wrap=not console.is_terminal)
        for row in rows:
            table.add_row(
                *(Text(getattr(row, name)) for _, name in shown), style="italic yellow" if row.estimated else ""
            )
        (console if console.is_terminal else Console(highlight=False, width=250)).print(table)
    for rejection in (row_words(row, made.currency) for row in made.rejected):
        who = f"{rejection.device} {rejection.mode}".strip()
        console.print(
            Text(f"Rejected: {who} {rejection.graph} ({rejection.kind}): {rejection.reason}."), soft_wrap=True
        )


_LEFT = ("device", "mode", "kind", "graph", "binds", "watts_of")
