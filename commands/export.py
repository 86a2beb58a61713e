"""``temper export``: a recipe's trained models as bundles, and a bundle's graphs as engines of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ..core.models import MODELS
from .options import (
    Choice,
    Group,
    device_option,
    events_option,
    overrides_option,
    public_key_option,
    runs_option,
    with_device,
    with_golden,
)

if TYPE_CHECKING:
    from ..deploy.engines.options import HardwareCompatibility

_HARDWARE: dict[str, HardwareCompatibility] = {
    "this": "none",
    "same-capability": "same_compute_capability",
    "ampere-plus": "ampere_plus",
}


@click.group(cls=Group)
def export() -> None:
    """Export a recipe's trained models to bundles, and a bundle's graphs to TensorRT.

    'onnx' does the same stages as 'temper run', in the same folders: what is done here is not done again there.
    'trt' needs nothing but a bundle.
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
@click.option(
    "--input",
    "inputs",
    metavar="WxH,...",
    help="Sizes of the graphs, 'dynamic' for one that takes all; the usual first.  [default: the recipe's]",
)
@click.option(
    "--max-map-drop",
    type=click.FloatRange(0, 100),
    help="Points of mAP that a graph may lose to fp32.  [default: the recipe's, 0.5]",
)
@click.option(
    "--golden",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of pictures that the bundle carries with their answers; overrides the recipe.  [default: synthetic]",
)
@overrides_option
@runs_option
@device_option
@events_option
def onnx(
    recipe: Path,
    models: tuple[str, ...],
    inputs: str | None,
    max_map_drop: float | None,
    golden: Path | None,
    overrides: tuple[str, ...],
    runs: Path,
    device: str | None,
    as_json: bool,
) -> None:
    """Export to ONNX in the recipe's precisions, and check each graph against Paddle.

    A graph that loses more accuracy than allowed keeps its costliest layers in fp32, or is left out.

    RECIPE is a YAML file or the folder of a run. Models that are not trained yet are trained first.
    """
    from .run_recipe import run_to

    wanted = tuple(dict.fromkeys(models)) or MODELS
    goals = [f"export-{model}" for model in wanted]
    changes = with_golden(with_device(overrides, device), golden)
    if inputs is not None:
        changes += (f"export.inputs={json.dumps([size.strip() for size in inputs.split(',')])}",)
    if max_map_drop is not None:
        changes += (f"export.max_map_drop={max_map_drop}",)
    checked, folder = run_to(goals, recipe, changes, runs, as_json)
    from ..flow.progress import write_json_event
    from ..flow.stages import bundle_path

    bundles = [str(bundle_path(checked, folder, model).absolute()) for model in wanted]
    if as_json:
        write_json_event("run_done", run=str(folder.path), bundles=bundles)
    else:
        click.echo("\n".join(bundles))


@export.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--variant",
    "variants",
    multiple=True,
    help="Precision or name; several times for several.  [default: all that TensorRT takes]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    metavar="N|LEAST:USUAL:MOST",
    help="Pictures per call; several times for several profiles.  [default: 1:1:8]",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="WxH|LEAST:USUAL:MOST",
    help="For a graph whose size may vary; several times for several profiles.  [default: the bundle's]",
)
@click.option("--workspace", type=click.IntRange(1, 1 << 20), help="MiB a layer may use.  [default: all the GPU has]")
@click.option("--level", type=click.IntRange(0, 5), help="How long to search for fast kernels.  [default: TensorRT's]")
@click.option(
    "--tf32", is_flag=True, help="Let fp32 convolutions round to TF32: faster, and no longer the same numbers."
)
@click.option("--version-compatible", is_flag=True, help="Let later TensorRTs of the same major version load it.")
@click.option(
    "--hardware",
    type=Choice(["this", "same-capability", "ampere-plus"]),
    default="this",
    show_default=True,
    help="Which GPUs may load it.",
)
@click.option("--dla", type=click.IntRange(0, 15), help="Core of the deep learning accelerator (Jetson).")
@click.option("--with", "builder", type=Choice(["python", "trtexec"]), help="Builder.  [default: what is there]")
@click.option("--force", is_flag=True, help="Build even if there is an engine that fits.")
@public_key_option
@events_option
def trt(
    bundle: Path,
    variants: tuple[str, ...],
    batches: tuple[str, ...],
    sizes: tuple[str, ...],
    workspace: int | None,
    level: int | None,
    tf32: bool,
    version_compatible: bool,
    hardware: str,
    dla: int | None,
    builder: Literal["python", "trtexec"] | None,
    force: bool,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Build TensorRT engines from BUNDLE's graphs, for the machine this runs on.

    The engines lie beside the bundle, in NAME.engines/, each with a record of the GPU, the TensorRT and the graph it is
    for. One that still fits is kept.
    """
    from ..bundle.loader import open_bundle
    from ..deploy.engines.build import choose_variants, ensure_engine
    from ..deploy.engines.options import build_options, parse_batch, parse_size
    from ..flow.progress import choose_style, progress, write_json_event

    with open_bundle(bundle, public_key) as opened, progress(choose_style(as_json)) as reporter:
        engines, spans = [], tuple(map(parse_size, sizes))
        for variant in choose_variants(opened, variants, any_size=bool(spans)):
            rule = opened.manifest.at_size_of(variant).input
            options = build_options(
                (rule.width, rule.height),
                batches=tuple(map(parse_batch, batches)),
                sizes=spans,
                workspace_mib=workspace,
                optimization_level=level,
                tf32=tf32,
                version_compatible=version_compatible,
                hardware_compatibility=_HARDWARE[hardware],
                dla_core=dla,
            )
            engines.append(ensure_engine(opened, variant, options, builder=builder, force=force, report=reporter))
    for engine in engines:
        path, record = str(engine.place.engine), engine.record
        if as_json:
            write_json_event("engine", path=path, built=engine.built, record=record.model_dump(mode="json"))
        else:
            took = f"built in {record.build_seconds:.0f} s" if engine.built else "fits, kept"
            click.echo(f"{path}  {record.gpu}, TensorRT {record.tensorrt}, {took}")
