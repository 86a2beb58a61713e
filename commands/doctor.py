"""``temper doctor``: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ..flow.doctor import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def doctor(as_json: bool) -> None:
    """Print what this machine can do, and what to install for the rest: Paddle, GPUs, runtimes, CPU, cameras."""
    from .. import __version__
    from ..flow.doctor import examine

    if as_json:
        findings = examine()
        click.echo(json.dumps({"temper": __version__, "findings": [finding.to_dict() for finding in findings]}))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        with console.status("Looking at this machine, some seconds ..."):
            findings = examine()
    else:
        findings = examine()
    _print(findings, console)


def _print(findings: list[Finding], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = Text("yes", style="green") if finding.found else Text("no", style="yellow")
        table.add_row(mark, Text(finding.name, style="bold"), Text(finding.text))
    console.print(table)
    advised = [finding for finding in findings if finding.advice]
    if advised:
        console.print("\nWhat could be added:", style="bold")
    # one line each however long, so that a command can be copied whole
    for advice in dict.fromkeys(finding.advice for finding in advised):
        names = ", ".join(finding.name for finding in advised if finding.advice == advice)
        console.print(f"  {names}: {advice}", markup=False, soft_wrap=True)
