"""``temper bench``: measure bundles, and make a report of what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bench_compare import compare
from .bench_history import history as history_command
from .bench_thresholds import thresholds
from .options import RUNTIME_NAMES, Group, history_option, public_key_option

if TYPE_CHECKING:
    from ..benchmarks.measurement import Measurements

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group)
def bench() -> None:
    """Measure bundles: mAP, what escapes, latency, memory; compare two; report it; choose thresholds by it."""


bench.add_command(compare)
bench.add_command(history_command)
bench.add_command(thresholds)


@bench.command()
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
@click.option("--threads", type=click.IntRange(1, 512), help="Threads of the runtime.  [default: the runtime chooses]")
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Sample each at least this long.",
)
@click.option(
    "--samples", default=100, show_default=True, type=click.IntRange(10), help="Sample each at least this often."
)
@click.option(
    "--time-box",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0.1, 36000),
    help="Sample each no longer than this, in seconds.",
)
@click.option(
    "--found-iou",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0.05, 1),
    help="Overlap (IoU) from which a detection finds a defect.",
)
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
    seconds: float,
    samples: int,
    time_box: float,
    found_iou: float,
    limit: int | None,
    history: str | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Measure accuracy, latency and memory of BUNDLE... on a data set.

    Every bundle runs in a process of its own and they take turns. The rows go to OUT/measurements.jsonl;
    'temper bench report OUT' makes a page of them.
    """
    from ..benchmarks.candidate import list_candidates
    from ..benchmarks.history.store import history_path, parse_history, remember
    from ..benchmarks.latency import STAGE
    from ..benchmarks.measurement import MEASUREMENTS_NAME, BenchmarkSettings
    from ..benchmarks.run import run_benchmark
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress

    loaded = load_split(data, split)
    if limit is not None and limit < len(loaded):
        loaded = loaded.subset(i * len(loaded) // limit for i in range(limit))
    candidates = list_candidates(
        bundles,
        precisions=precisions,
        runtimes=runtimes or ("onnxruntime",),
        batch_sizes=batch_sizes or (1,),
        threads=threads,
        public_key=public_key,
    )
    settings = BenchmarkSettings(min_seconds=seconds, min_samples=samples, max_seconds=time_box, found_iou=found_iou)
    with progress(choose_style(as_json)) as reporter:
        measured = run_benchmark(candidates, loaded, settings, out, reporter)
        kept = parse_history(history) if history else history_path(Path("runs"))
        remember(measured, kept, out, reporter, STAGE)
    path = out / MEASUREMENTS_NAME
    if as_json:
        click.echo(json.dumps({"event": "written", "path": str(path)}))
        return
    for line in _overview(measured):
        click.echo(line)
    click.echo(f"Written: {path}. For a page of it: temper bench report {out}")


@bench.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--name", help="Title of the report.  [default: the folder's name]")
def report(folder: Path, name: str | None) -> None:
    """Make report.html, results.json and results.csv in DIR from what 'temper bench run --out DIR' measured."""
    from ..benchmarks.measurement import MEASUREMENTS_NAME, read_rows
    from ..benchmarks.report.build import ReportInput, build_report
    from ..benchmarks.run import load_truth

    path = folder / MEASUREMENTS_NAME
    data = load_truth(folder, read_rows(path).benchmark)
    page = build_report(ReportInput(name or folder.resolve().name, path, data), folder)
    click.echo(f"Written: {page}")


def _overview(measured: Measurements) -> list[str]:
    """The figures that matter most, one line per candidate."""
    from ..benchmarks.report.results import collect_results

    lines = [
        f"{'model':<28} {'graph':<8} {'runtime':<12} {'batch':>5} {'mAP':>6} {'escapes':>8} {'false/image':>11} "
        f"{'p50 ms':>9} {'images/s':>9}  (measured)"
    ]
    for result in collect_results(measured):
        ap = result.figures.ap if result.figures else None
        escaped = result.line.escape[None].escape.rate.value if result.line else None
        alarms = result.line.alarms[None].alarms.per_image.value if result.line else None
        lines.append(
            f"{result.subject.model:<28} {result.subject.variant:<8} {result.subject.runtime:<12} "
            f"{result.batch:>5} {'-' if ap is None else format(ap, '.1f'):>6} "
            f"{'-' if escaped is None else format(escaped, '.1%'):>8} "
            f"{'-' if alarms is None else format(alarms, '.2f'):>11} "
            f"{result.latency.stages['end_to_end'].p50_ms:>9.2f} {result.latency.images_per_second:>9.1f}"
        )
    return lines
