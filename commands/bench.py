"""``temper bench``: measure bundles, and make a report of what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from .bench_compare import compare
from .bench_history import history as history_command
from .bench_remote import remote
from .bench_run import run
from .bench_thresholds import thresholds
from .options import Group

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group)
def bench() -> None:
    """Measure bundles: mAP, what escapes, latency, memory; compare two; report it; choose thresholds by it."""


bench.add_command(compare)
bench.add_command(history_command)
bench.add_command(remote)
bench.add_command(run)
bench.add_command(thresholds)


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
