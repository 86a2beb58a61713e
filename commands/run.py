"""``temper run``: a whole recipe, from data to report."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import overrides_option, runs_option


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@overrides_option
@runs_option
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="Where to train; overrides the recipe.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for every event.")
def run(recipe: Path, overrides: tuple[str, ...], runs: Path, device: str | None, as_json: bool) -> None:
    """Do whatever of RECIPE is not done yet: data, teacher, student, MGD student, export, benchmark, report.

    Run it again after an interruption, or after a change of the recipe: finished stages are skipped.
    """
    from .run_recipe import run_to

    if device is not None:
        overrides = (*overrides, f"device={device}")
    folder, report = run_to("report", recipe, overrides, runs, as_json)
    if as_json:
        click.echo(json.dumps({"event": "run_done", "run": str(folder), "report": str(report)}))
    else:
        click.echo(f"\nThe report: {report}")
