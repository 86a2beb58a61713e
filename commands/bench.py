"""``temper bench``: measure bundles, and make a report of what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import UsageError
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
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=FOLDER)
@click.option("--name", help="Title of the report.  [default: the folder's name]")
@click.option("--out", type=FOLDER, help="Of several folders: where to write.")
def report(folders: tuple[Path, ...], name: str | None, out: Path | None) -> None:
    """Make report.html, results.json, .csv and .md in DIR from what 'temper bench run --out DIR' measured.

    Of several folders, one page of all machines in --out, without results.json; a folder of 'temper estimate --out'
    may be among them, and its figures are marked as estimates.
    """
    from ..benchmarks.estimate.row import ESTIMATES_NAME
    from ..benchmarks.measurement import MEASUREMENTS_NAME, read_rows
    from ..benchmarks.report.build import ReportInput, build_report
    from ..benchmarks.run import load_truth

    folder, *others = folders
    path = folder / MEASUREMENTS_NAME
    if others or (not path.exists() and (folder / ESTIMATES_NAME).exists()):
        page = _report_of_several(folders, name, out)
    elif out is not None:
        raise UsageError(f"--out is for a page of several folders; that of one is written beside {path}. Leave it out.")
    else:
        data = load_truth(folder, read_rows(path).benchmark)
        page = build_report(ReportInput(name or folder.resolve().name, path, data), folder)
    click.echo(f"Written: {page}")


def _report_of_several(folders: tuple[Path, ...], name: str | None, out: Path | None) -> Path:
    from ..benchmarks.report.several import read_folders
    from ..benchmarks.report.several_page import build_several, require_own_folder

    if out is None:
        raise UsageError("A page of several folders, or of estimates, needs a folder of its own: give --out.")
    require_own_folder(out, folders)
    return build_several(name or out.resolve().name, read_folders(folders), out)
