"""Running a recipe up to a stage: the same for ``run``, ``distill`` and ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..distill.recipe import Recipe
    from ..flow.folder import RunFolder


def run_to(
    goals: Sequence[str], recipe: Path, overrides: tuple[str, ...], runs: Path, as_json: bool, again: Sequence[str] = ()
) -> tuple[Recipe, RunFolder]:
    """Run a recipe up to each of the stages ``goals``, with the display the user asked for.

    Args:
        goals: stages; what leads to them is done as well.
        recipe: a recipe's file, or the folder of a run, which stands for the recipe it was last started with.
        overrides: changes of the recipe.
        runs: folder of all runs.
        as_json: one JSON object a line instead of a display.
        again: stages to do even if they are done.

    Returns:
        The checked recipe and the run's folder.

    Raises:
        UsageError: if the recipe has mistakes, or the run's folder another name than the run.
    """
    checked, runs = checked_recipe(recipe, overrides, runs)
    from ..flow.progress import choose_style, progress, write_json_event
    from ..flow.run import run_recipe

    style = choose_style(as_json)
    if style == "json":
        write_json_event("run_started", run=str(runs / checked.name))
    else:
        click.echo(f"Run '{checked.name}' in {runs / checked.name}")
    with progress(style) as report:
        folder = run_recipe(checked, runs, report, goals, again)
    return checked, folder


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
