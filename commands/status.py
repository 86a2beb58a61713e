"""``temper status``: where a run stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import runs_option

if TYPE_CHECKING:
    from ..flow.status import StageStatus


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@runs_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(run: Path, runs: Path, as_json: bool) -> None:
    """Show where RUN stands: which stages are done or have failed, and what the trainings have reached.

    RUN is a run's folder, or its name below --runs.
    """
    from ..flow.status import find_run, run_status

    folder = find_run(run, runs)
    stages = run_status(folder)
    if as_json:
        click.echo(json.dumps({"run": str(folder), "stages": [stage.to_dict() for stage in stages]}))
        return
    _print_table(folder, stages)


def _print_table(folder: Path, stages: list[StageStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..flow.progress import duration, titles_of
    from ..flow.status import recipe_of

    titles = titles_of(recipe_of(folder))
    table = Table()
    for column in ("stage", "state", "time", "epoch", "loss", "mAP"):
        table.add_column(column, justify="left" if column in ("stage", "state") else "right")
    for stage in stages:
        table.add_row(
            titles[stage.stage],
            stage.state,
            duration(stage.seconds) if stage.seconds is not None else "",
            f"{stage.epoch}/{stage.epochs}" if stage.epoch is not None else "",
            f"{stage.loss:.3f}" if stage.loss is not None else "",
            f"{stage.map:.1f}" if stage.map is not None else "",
        )
    click.echo(f"Run {folder}")
    Console(highlight=False).print(table)
    for stage in stages:
        if stage.why is not None:
            click.echo(f"{titles[stage.stage]} failed: {stage.why}")
