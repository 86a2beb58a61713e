"""Reading a recipe and running it up to a stage: the same for ``run``, ``distill`` and ``export``."""

from __future__ import annotations

from pathlib import Path

import click


def run_to(goal: str, recipe: Path, overrides: tuple[str, ...], runs: Path, as_json: bool) -> tuple[Path, Path]:
    """Run a recipe up to the stage ``goal``.

    Returns:
        The run's folder, and where its report lies or will lie, both absolute.
    """
    # before anything loads NumPy or Paddle, whose threads are set by the environment
    from ..distill.cpu import prepare_cpu

    prepare_cpu()
    from ..distill.recipe_file import read_recipe
    from ..flow.progress import choose_style, progress
    from ..flow.run import run_recipe
    from ..flow.stages import report_path

    checked = read_recipe(recipe, overrides)
    style = choose_style(as_json)
    if style != "json":
        click.echo(f"Run '{checked.name}' in {runs / checked.name}")
    with progress(style) as report:
        folder = run_recipe(checked, runs, report, goal)
    return folder.path.resolve(), report_path(folder).resolve()
