"""``temper export``: a recipe's trained models as bundles."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Choice, device_option, events_option, overrides_option, runs_option, with_device

MODELS = ("teacher", "student", "distilled")


@click.group()
def export() -> None:
    """Export a recipe's trained models to bundles.

    The same stages as in 'temper run', in the same folders: what is done here is not done again there.
    """


@export.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    type=Choice(MODELS),
    help="Which; several times for several.  [default: all]",
)
@overrides_option
@runs_option
@device_option
@events_option
def onnx(
    recipe: Path, models: tuple[str, ...], overrides: tuple[str, ...], runs: Path, device: str | None, as_json: bool
) -> None:
    """Export to ONNX, fp32 and int8 as the recipe says, and check each graph against Paddle.

    RECIPE is a YAML file or the folder of a run. Models that are not trained yet are trained first.
    """
    from .run_recipe import run_to

    wanted = tuple(dict.fromkeys(models)) or MODELS
    goals = [f"export-{model}" for model in wanted]
    checked, folder = run_to(goals, recipe, with_device(overrides, device), runs, as_json)
    from ..flow.progress import write_json_event
    from ..flow.stages import bundle_path

    bundles = [str(bundle_path(checked, folder, model).absolute()) for model in wanted]
    if as_json:
        write_json_event("run_done", run=str(folder.path), bundles=bundles)
    else:
        click.echo("\n".join(bundles))
