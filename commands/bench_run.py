"""``temper bench run``: measure bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .bench_measuring import measuring_options, settings_of
from .options import RUNTIME_NAMES, found_iou_option, history_option, public_key_option, threads_option

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=FOLDER, help="Data set folder (see 'temper data import').")
@click.option("--split", default="val", show_default=True, help="Split of the data set to measure on.")
@click.option("--out", required=True, type=FOLDER, help="Folder for the results; older results in it are replaced.")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"{', '.join(RUNTIME_NAMES)}; several times for several.  [default: onnxruntime]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    help="fp32, int8 or a variant's name; several times for several.  [default: all]",
)
@click.option(
    "--batch",
    "batch_sizes",
    multiple=True,
    type=click.IntRange(1, 1024),
    help="Pictures per call; several times for several.  [default: 1]",
)
@threads_option
@measuring_options
@click.option(
    "--paddle",
    "paddle_runs",
    multiple=True,
    type=FOLDER,
    metavar="RUN",
    help="Folder of the run that made the bundles: its models in Paddle are measured, too, as a reference.",
)
@found_iou_option
@click.option("--limit", type=click.IntRange(1), help="Measure on this many pictures, evenly spread over the split.")
@history_option
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def run(
    bundles: tuple[Path, ...],
    data: Path,
    split: str,
    out: Path,
    runtimes: tuple[str, ...],
    precisions: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    threads: int | None,
    paddle_runs: tuple[Path, ...],
    found_iou: float,
    limit: int | None,
    history: str | None,
    public_key: Path | None,
    as_json: bool,
    **measuring: Any,
) -> None:
    """Measure accuracy, latency and memory of BUNDLE... on a data set.

    Every bundle runs in a process of its own and they take turns. The rows go to OUT/measurements.jsonl;
    'temper bench report OUT' makes a page of them.
    """
    from ..benchmarks.candidate import list_candidates
    from ..benchmarks.history.store import history_path, parse_history, remember
    from ..benchmarks.latency import STAGE
    from ..benchmarks.measurement import MEASUREMENTS_NAME
    from ..benchmarks.run import run_benchmark
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress
    from .bench_overview import overview

    loaded = load_split(data, split).spread(limit)
    candidates = list_candidates(
        bundles,
        precisions=precisions,
        runtimes=runtimes or ("onnxruntime",),
        batch_sizes=batch_sizes or (1,),
        threads=threads,
        public_key=public_key,
    )
    if paddle_runs:
        from ..benchmarks.candidate import paddle_references
        from ..benchmarks.paddle_reference import find_weights

        candidates += paddle_references(candidates, lambda bundle: find_weights(bundle, paddle_runs), threads)
    settings = settings_of(found_iou, **measuring)
    with progress(choose_style(as_json)) as reporter:
        measured = run_benchmark(candidates, loaded, settings, out, reporter)
        kept = parse_history(history) if history else history_path(Path("runs"))
        remember(measured, kept, out, reporter, STAGE)
    path = out / MEASUREMENTS_NAME
    if as_json:
        click.echo(json.dumps({"event": "written", "path": str(path)}))
        return
    for line in overview(measured):
        click.echo(line)
    page = f" For a page of it: temper bench report {out}" if measured.latency else ""
    click.echo(f"Written: {path}.{page}")
