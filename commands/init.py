"""``temper init``: a recipe to start from."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("recipe.yml"))
@click.option(
    "--from", "source", metavar="NAME", help="Copy a recipe that comes with Temper: demo, neu-det-cpu, neu-det."
)
@click.option(
    "--from-paddledet",
    "student",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make the recipe of a student's YAML file of PaddleDetection.",
)
@click.option(
    "--slim",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With it: the YAML file that distils (slim: Distill), with the teacher in it.",
)
@click.option("--data", help="With it: the pictures, in place of the file's own dataset_dir.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def init(
    file: Path, source: str | None, student: Path | None, slim: Path | None, data: str | None, force: bool
) -> None:
    """Write a commented recipe to FILE (recipe.yml if none is named): every field, what it means, what it takes.

    The run gets the file's name, or keeps its own with --from. Change what you like, then 'temper run FILE'.
    """
    from ..core.errors import UsageError, nearest
    from ..core.files import write_text
    from ..distill.recipe_file import shipped_recipes
    from ..distill.recipe_template import starter_recipe, write_recipe

    if source is not None and source not in (known := shipped_recipes()):
        raise UsageError(f"No recipe '{source}' comes with Temper.{nearest(source, known)}")
    if source is not None and student is not None:
        raise UsageError("Give --from or --from-paddledet, not both.")
    if student is None and (slim is not None or data is not None):
        raise UsageError("--slim and --data belong to --from-paddledet.")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already. Name another file, or replace it with --force.")
    if source is not None:
        text = shipped_recipes()[source].read_text(encoding="utf-8")
    elif student is not None:
        from ..distill.paddledet.convert import translate

        made = translate(_run_name(file), student, slim, data)
        for note in made.notes:
            click.echo(f"Note: {note}.", err=True)
        text = write_recipe(made.recipe, str(file), made.notes)
    else:
        text = write_recipe(starter_recipe(_run_name(file)), _as_a_word(file))
    write_text(file, text)
    click.echo(f"Wrote {file}. Start it with: temper run {_as_a_word(file)}")


def _run_name(file: Path) -> str:
    """The file's name, made into one that a run may have."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", file.stem).lstrip("-_.")[:61].rstrip("-")
    return name or "steel"


def _as_a_word(file: Path) -> str:
    """The file as a shell takes it, on one line."""
    word = shlex.quote(str(file))
    return word if word.isprintable() else "FILE"
