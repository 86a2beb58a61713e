"""``temper run``: a whole recipe, from data to report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import STAGES, Choice
from .training_options import training_options

if TYPE_CHECKING:
    from ..flow.together import Devices


@click.command()
@training_options(
    click.option(
        "--again",
        multiple=True,
        type=Choice(STAGES),
        metavar="STAGE",
        help=f"Do a stage even if it is done: {', '.join(STAGES)}. Given again after an interruption, it goes on.",
    )
)
def run(
    recipe: Path, overrides: tuple[str, ...], runs: Path, devices: Devices, again: tuple[str, ...], as_json: bool
) -> None:
    """Do whatever of RECIPE is not done yet: data, teacher, student, distilled student, export, benchmark, report.

    Give it again after an interruption, and it goes on; after a change of the recipe, and it redoes what the change
    touches. RECIPE is a YAML file, or the folder of a run. The last line is the path of the report.
    """
    from .run_recipe import run_to

    _, folder = run_to(["report"], recipe, overrides, runs, as_json, again, devices)
    from ..flow.progress import write_json_event
    from ..flow.stages import report_path

    report = report_path(folder).absolute()
    if as_json:
        write_json_event("run_done", run=str(folder.path), report=str(report))
        return
    for sentence in _summary(report.with_name("results.json")):
        click.echo(sentence)
    click.echo(report)


def _summary(results: Path) -> list[str]:
    """What the report says first: what the figures show, and what limits them."""
    from ..core.files import MAX_RECORD_BYTES, read_json

    told = read_json(results, MAX_RECORD_BYTES)
    care = ["", "Read with care:", *(f"- {sentence}" for sentence in told["warnings"])] if told["warnings"] else []
    return ["", *told["summary"], *care, ""]
