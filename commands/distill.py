"""``temper distill``: the training stages of a recipe, each on its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.models import MODELS
from ..detection.figure_names import FIGURE_TITLES
from .compare import compare
from .options import Choice, Group, runs_option
from .sweep import sweep
from .training_options import training_options

if TYPE_CHECKING:
    from ..flow.judge import Judgement
    from ..flow.together import Devices


@click.group(cls=Group)
def distill() -> None:
    """Train a recipe's teacher, student or distilled student, judge them, and tune them.

    The same stages as in 'temper run', in the same folders: what is done here is not done again there.
    """


@distill.command()
@training_options(taught=False)
def teacher(**options: Any) -> None:
    """Train the teacher of RECIPE."""
    _train("teacher", **options)


@distill.command()
@training_options(taught=False)
def student(**options: Any) -> None:
    """Train the student of RECIPE alone, for comparison."""
    _train("student", **options)


@distill.command()
@training_options()
def mgd(**options: Any) -> None:
    """Train the student of RECIPE under its teacher, by the recipe's losses (MGD unless it names others)."""
    _train("distilled", **options)


@distill.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, type=Choice(MODELS), help="Which.  [default: all that are trained]")
@click.option(
    "--split", type=Choice(["train", "val", "test"]), default="val", show_default=True, help="Of the run's data."
)
@runs_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def evaluate(run: Path, models: tuple[str, ...], split: str, runs: Path, as_json: bool) -> None:
    """Measure the mAP of RUN's trained models in Paddle. RUN is a run's folder or its name."""
    from ..distill.cpu import prepare_cpu

    prepare_cpu()
    from ..flow.judge import judge_models
    from ..flow.progress import titles_of
    from ..flow.status import find_run, recipe_of

    folder = find_run(run, runs)
    judged = judge_models(folder, models, split)
    if as_json:
        click.echo(json.dumps({one.model: one.figures.to_dict() for one in judged}))
    else:
        _print_figures(judged, titles_of(recipe_of(folder)))


distill.add_command(sweep)
distill.add_command(compare)


@distill.command(hidden=True)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("model", type=Choice(MODELS))
@click.option(
    "--talk", type=click.Path(path_type=Path), required=True, help="Where it tells the command that started it."
)
def rank(run: Path, model: str, talk: Path) -> None:
    """Take part in a training: what --gpus and --processes start."""
    from ..distill.cpu import prepare_cpu

    prepare_cpu()
    from ..flow.folder import RunFolder
    from ..flow.rank import train_as_rank

    train_as_rank(RunFolder(run), model, talk)


def _train(model: str, recipe: Path, overrides: tuple[str, ...], runs: Path, devices: Devices, as_json: bool) -> None:
    from .run_recipe import run_to

    _, folder = run_to([model], recipe, overrides, runs, as_json, devices=devices)
    from ..distill.training.job import WEIGHTS_NAME
    from ..flow.progress import points, write_json_event

    record = folder.record(model)
    result: dict[str, Any] = record.result if record else {}
    weights = (folder.stage(model) / WEIGHTS_NAME).absolute()
    if as_json:
        write_json_event("run_done", run=str(folder.path), weights=str(weights), accuracy=result.get("accuracy"))
    else:
        click.echo(points(result.get("accuracy", {}).get("ap")))
        click.echo(weights)


def _print_figures(judged: Sequence[Judgement], titles: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("")
    for one in judged:
        table.add_column(titles[one.model], justify="right")
    rows = [(title, [getattr(one.figures, name) for one in judged]) for name, title in FIGURE_TITLES.items()]
    rows += [(label, [one.figures.per_class[label] for one in judged]) for label in judged[0].figures.per_class]
    for title, values in rows:
        table.add_row(title, *("-" if value is None else f"{value:.1f}" for value in values))
    click.echo(f"{judged[0].data}, {judged[0].figures.images} pictures; points from 0 to 100")
    Console(highlight=False).print(table, markup=False)
