"""``temper status``: where a run stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..flow.status import StageStatus


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(run: Path, as_json: bool) -> None:
    """Show where RUN stands: its folder (runs/NAME) or its name below runs/."""
    from ..flow.status import run_status

    folder = run if run.exists() or not (Path("runs") / run).exists() else Path("runs") / run
    stages = run_status(folder)
    if as_json:
        click.echo(json.dumps({"run": str(folder), "stages": [stage.to_dict() for stage in stages]}))
        return
    _print_table(folder, stages)


def _print_table(folder: Path, stages: list[StageStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..flow.progress import TITLES, duration

    table = Table(title=f"Run {folder}", title_justify="left")
    for column in ("stage", "state", "time", "epoch", "loss", "mAP"):
        table.add_column(column, justify="left" if column in ("stage", "state") else "right")
    for stage in stages:
        table.add_row(
            TITLES[stage.stage],
            stage.state,
            duration(stage.seconds) if stage.seconds is not None else "",
            f"{stage.epoch}/{stage.epochs}" if stage.epoch is not None else "",
            f"{stage.loss:.3f}" if stage.loss is not None else "",
            f"{stage.map:.1f}" if stage.map is not None else "",
        )
    Console(highlight=False).print(table)
