"""``temper distill sweep``: tune fields of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.models import MODELS
from ..detection.figure_names import FIGURE_TITLES
from .options import device_option, events_option, overrides_option, runs_option, with_device

if TYPE_CHECKING:
    from ..flow.sweep.run import Sweep, SweepOutcome


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Trainings in all.")
@click.option(
    "--set-range",
    "ranges",
    multiple=True,
    metavar="FIELD=LOW:HIGH[:log]",
    help="Vary a number; with :log by order of magnitude, for example distillation.mgd.alpha=0.1:10:log.",
)
@click.option("--choices", multiple=True, metavar="FIELD=A,B,C", help="Vary a field between a few values.")
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="distilled",
    show_default=True,
    help="Which training is tuned.",
)
@click.option(
    "--metric",
    type=click.Choice(list(FIGURE_TITLES)),
    default="ap",
    show_default=True,
    help="What is maximised; ap is mAP.",
)
@click.option(
    "--judge-on",
    type=click.Choice(["val", "train"]),
    default="val",
    show_default=True,
    help="The validation pictures, or a fifth of the training pictures that the trials then do not train on. "
    "The test pictures are never looked at.",
)
@click.option(
    "--pruner",
    type=click.Choice(["median", "hyperband", "none"]),
    default="median",
    show_default=True,
    help="What stops trials that fall behind at an evaluation.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the suggestions.")
@click.option("--again", is_flag=True, help="Forget the trials of an earlier sweep of this recipe.")
@overrides_option
@runs_option
@device_option
@events_option
def sweep(recipe: Path, runs: Path, device: str | None, again: bool, as_json: bool, **options: Any) -> None:
    """Tune fields of RECIPE: train with other values again and again, and write the best recipe.

    Data and teacher are made once, in the run's own folder. The trials lie in runs/NAME-sweep; give the command again
    after an interruption, and it goes on, or with more --trials, and it adds to them. The last line is the path of the
    best recipe.
    """
    from .run_recipe import checked_recipe

    checked, runs = checked_recipe(recipe, with_device(options["overrides"], device), runs)
    from ..flow.progress import choose_style, progress, titles_of, write_json_event
    from ..flow.sweep.result import BEST_NAME
    from ..flow.sweep.run import Sweep, run_sweep
    from ..flow.sweep.space import parse_space

    space = parse_space(options["ranges"], options["choices"])
    settings = {name: options[name] for name in ("trials", "model", "metric", "judge_on", "pruner", "seed")}
    wanted = Sweep(checked, space, **settings)
    style = choose_style(as_json)
    where = runs / f"{checked.name}-sweep"
    if style == "json":
        write_json_event("sweep_started", sweep=str(where))
    else:
        click.echo(f"Sweep of '{checked.name}' in {where}")
    with progress(style, titles_of(checked)) as report:
        outcome = run_sweep(wanted, runs, report, again)
    best = (outcome.folder / BEST_NAME).absolute()
    if style == "json":
        results = [one.to_dict() for one in outcome.results]
        recipe_of_best = str(best) if best.is_file() else None
        write_json_event("sweep_done", sweep=str(outcome.folder), best=recipe_of_best, results=results)
        return
    _print(wanted, outcome)
    click.echo(best if best.is_file() else (outcome.folder / "result.md").absolute())


def _print(wanted: Sweep, outcome: SweepOutcome) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..flow.sweep.result import table_heads, table_rows

    table = Table(title="Trials, the best first; points from 0 to 100", title_justify="left")
    for number, head in enumerate(heads := table_heads(wanted.space, wanted.metric)):
        is_text = number <= len(wanted.space) or number == len(heads) - 1
        table.add_column(head, justify="left" if is_text else "right")
    for row in table_rows(outcome.results, wanted.space, wanted.metric):
        table.add_row(*row)
    Console(highlight=False).print(table, markup=False)
