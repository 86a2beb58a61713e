"""``temper distill compare``: is a difference a difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import device_option, events_option, overrides_option, runs_option, with_device

if TYPE_CHECKING:
    from ..flow.comparison.run import Comparison, ComparisonOutcome


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Trainings of each model, with the recipe's seed and those that follow it.",
)
@click.option(
    "--way",
    "ways",
    multiple=True,
    metavar="NAME:FIELD=VALUE",
    help="Teach the student in another way, too, for example --way cwd:distillation.mgd=null "
    "--way cwd:distillation.cwd.alpha=5; the same name adds fields to a way.",
)
@click.option(
    "--one-teacher",
    is_flag=True,
    help="Let the first seed's teacher teach all students; else each seed trains its own.",
)
@overrides_option
@runs_option
@device_option
@events_option
def compare(
    recipe: Path,
    seeds: int,
    ways: tuple[str, ...],
    one_teacher: bool,
    overrides: tuple[str, ...],
    runs: Path,
    device: str | None,
    as_json: bool,
) -> None:
    """Train teacher, student and distilled student of RECIPE with several seeds, and say what distilling is worth.

    One training proves little: another seed moves mAP, too. The runs lie in runs/NAME-compare; give the command again
    after an interruption, and it goes on. The last line is the path of the table.
    """
    from .run_recipe import checked_recipe

    overrides = with_device(overrides, device)
    checked, runs = checked_recipe(recipe, overrides, runs)
    from ..flow.comparison.result import PAGE_NAME
    from ..flow.comparison.run import Comparison, parse_ways, run_comparison
    from ..flow.progress import choose_style, progress, titles_of, write_json_event

    others = {
        name: checked_recipe(recipe, (*overrides, *changes), runs)[0] for name, changes in parse_ways(ways).items()
    }
    wanted = Comparison(checked, tuple(range(checked.seed, checked.seed + seeds)), others, one_teacher)
    style = choose_style(as_json)
    where = runs / f"{checked.name}-compare"
    if style == "json":
        write_json_event("comparison_started", comparison=str(where))
    else:
        click.echo(f"Comparison of '{checked.name}' in {where}")
    with progress(style, {**titles_of(checked), **{name: name for name in others}}) as report:
        outcome = run_comparison(wanted, runs, report)
    page = (outcome.folder / PAGE_NAME).absolute()
    if style == "json":
        write_json_event("comparison_done", comparison=str(outcome.folder), page=str(page))
        return
    _print(wanted, outcome)
    click.echo(page)


def _print(wanted: Comparison, outcome: ComparisonOutcome) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..detection.figure_names import FIGURE_TITLES
    from ..flow.comparison.result import main_rows, titles, verdicts

    names = titles(wanted.recipe, outcome.trainings)
    table = Table(title=f"{len(wanted.seeds)} seeds, mean ± deviation; points from 0 to 100", title_justify="left")
    for place, head in enumerate(("", *FIGURE_TITLES.values(), "Above the student alone", "Took")):
        table.add_column(head, justify="right" if place else "left")
    for row in main_rows(names, outcome.trainings):
        table.add_row(*row)
    Console(highlight=False).print(table, markup=False)
    for line in verdicts(names, outcome.trainings):
        click.echo(line.replace("**", ""))
