"""``temper deploy coil``: where coils begin and end, and what was seen of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import Group

if TYPE_CHECKING:
    from ..deploy.results.coil import Coil

results_option = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the results.",
)


@click.group(cls=Group)
def coil() -> None:
    """Tell where coils begin and end, and report what was seen of one.

    Called by whatever knows of coils: a person, or the line's control.
    """


@coil.command()
@click.argument("name")
@results_option
def start(name: str, results: Path) -> None:
    """Begin the coil NAME now; one that is on the line ends with it."""
    import time

    from ..core.errors import UsageError
    from ..deploy.results.coil import Coils

    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UsageError("The name of a coil is 1 to 200 printable characters.")
    with Coils(results) as coils:
        begun, ended = coils.start(name, time.time())
    if ended is not None:
        click.echo(f"Coil {ended.name} has ended.")
    click.echo(f"Coil {begun.name} has begun{_at(begun)}.")


@coil.command()
@results_option
def end(results: Path) -> None:
    """End the coil that is on the line."""
    import time

    from ..deploy.results.coil import Coils

    with Coils(results) as coils:
        click.echo(f"Coil {coils.end(time.time()).name} has ended.")


@coil.command(name="list")
@results_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_coils(results: Path, as_json: bool) -> None:
    """List the coils, the oldest first."""
    from ..deploy.results.coil import Coils

    with Coils(results) as coils:
        for one in coils.all():
            if as_json:
                click.echo(json.dumps(vars(one), ensure_ascii=False))
            else:
                click.echo(f"{one.name}  {one.started} to {one.ended or 'now, still on the line'}{_at(one)}")


@coil.command()
@click.argument("name")
@results_option
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report with a map here.")
@click.option("--csv", "table", type=click.Path(dir_okay=False, path_type=Path), help="Write defects as a table here.")
def report(name: str, results: Path, html: Path | None, table: Path | None) -> None:
    """Report on the coil NAME: metres inspected, metres not inspected and why, defects."""
    from ..core.files import write_text
    from ..deploy.results.coil import Coils
    from ..deploy.results.coil_report import make_report, to_csv, to_html

    with Coils(results) as coils:
        made = make_report(coils.database, coils.find(name))
    click.echo(made.headline)
    for warning in made.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"{len(made.defects)} defect{'' if len(made.defects) == 1 else 's'} of the strip")
    for path, text in ((html, to_html), (table, to_csv)):
        if path is not None:
            write_text(path, text(made))
            click.echo(f"Written: {path}")


def _at(coil: Coil) -> str:
    return "" if coil.position_m is None else f", at {coil.position_m:.1f} m"
