"""Running a recipe up to a stage: the same for ``run``, ``distill`` and ``export``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..distill.recipe import Recipe
    from ..flow.folder import RunFolder
    from ..flow.run import Runner
    from ..flow.together import Devices


def run_to(
    goals: Sequence[str],
    recipe: Path,
    overrides: tuple[str, ...],
    runs: Path,
    as_json: bool,
    again: Sequence[str] = (),
    devices: Devices | None = None,
) -> tuple[Recipe, RunFolder]:
    """Run a recipe up to each of the stages ``goals``, with the display the user asked for.

    Args:
        goals: stages; what leads to them is done as well.
        recipe: a recipe's file, or the folder of a run, which stands for the recipe it was last started with.
        overrides: changes of the recipe.
        runs: folder of all runs.
        as_json: one JSON object a line instead of a display.
        again: stages to do even if they are done.
        devices: what trainings are spread over; None for one process.

    Returns:
        The checked recipe and the run's folder.

    Raises:
        UsageError: if the recipe has mistakes, the run's folder another name than the run, or the processes no equal
            shares of a batch.
        click.exceptions.Exit: in a process that only takes part in another one's trainings, when these are done.
    """
    checked, runs = checked_recipe(recipe, overrides, runs)
    from ..distill.launched import launched_rank, launched_size
    from ..flow.progress import choose_style, progress, titles_of, write_json_event
    from ..flow.run import run_recipe

    if launched_rank() > 0:
        from ..flow.launched import follow

        follow(checked, runs)
        raise click.exceptions.Exit(0)
    style = choose_style(as_json)
    if style == "json":
        write_json_event("run_started", run=str(runs / checked.name))
    else:
        click.echo(f"Run '{checked.name}' in {runs / checked.name}")
    processes = max(launched_size(), devices.count if devices else 1)
    with progress(style, titles_of(checked)) as report, _way_of_training(checked, devices) as runner:
        folder = run_recipe(checked, runs, report, goals, again, runner, processes)
    return checked, folder


@contextlib.contextmanager
def _way_of_training(recipe: Recipe, devices: Devices | None) -> Iterator[Runner]:
    """What does a stage: this process, those it starts for a training, or those Paddle's launcher started beside it."""
    from ..distill.launched import launched_size
    from ..flow.stages import run_stage

    if launched_size() > 1:
        from ..flow.launched import leading

        with leading(recipe) as leader:
            yield leader
    else:
        yield run_stage if devices is None else partial(run_stage, devices=devices)


def checked_recipe(recipe: Path, overrides: tuple[str, ...], runs: Path) -> tuple[Recipe, Path]:
    """The recipe in a file, or that of a run's folder, and the folder of all runs that it belongs to.

    To be called before anything loads NumPy or Paddle, whose threads are set by the environment.

    Raises:
        UsageError: if the recipe has mistakes, or the run's folder another name than the run.
    """
    from ..distill.cpu import prepare_cpu

    prepare_cpu()
    from ..distill.recipe_file import read_recipe
    from ..flow.folder import RECIPE_NAME

    is_run = (recipe / RECIPE_NAME).is_file()
    checked = read_recipe(recipe / RECIPE_NAME if is_run else recipe, overrides)
    if is_run and not any(text.partition("=")[0].strip() == "name" for text in overrides):
        runs = _folder_of_runs(recipe, checked.name)
    return checked, runs


def _folder_of_runs(run: Path, name: str) -> Path:
    """The folder that a run's own folder lies in."""
    from ..core.errors import UsageError

    # "." and ".." have no name of their own
    folder = run if run.name not in ("", "..") else run.resolve()
    if folder.name != name:
        raise UsageError(
            f"The folder {run} holds the run '{name}'. Give it that name again, or start a run of another name with "
            "--set name=NAME."
        )
    return folder.parent
