"""``temper data``: pictures and boxes in, split, checked, or made."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..distill.data.check import CheckReport
    from ..distill.data.finding import Finding, Severity

#: Findings of one kind that the table of a check lists unless all are asked for.
LISTED_PER_KIND = 5

_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_NAMES: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "remark"}

ratio_option = click.option(
    "--ratio", default="7:2:1", show_default=True, metavar="TRAIN:VAL:TEST", help="Shares of the splits."
)
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of chance.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")


@click.group()
def data() -> None:
    """Import, split, check and synthesise data sets."""


@data.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@ratio_option
@seed_option
@json_option
def import_(source: Path, target: Path, ratio: str, seed: int, as_json: bool) -> None:
    """Make the data set folder TARGET from SOURCE.

    SOURCE is Pascal VOC (NEU-DET as published, or a mirror of it), COCO json with pictures, or an archive of either.
    Splits that the data brings are kept; where it brings none, --ratio and --seed make them.
    """
    from ..distill.data.importer import import_data
    from ..distill.data.split import parse_ratio

    summary = import_data(source, target, split_ratio=parse_ratio(ratio), split_seed=seed)
    if as_json:
        _print_json(summary.to_dict())
        return
    click.echo(str(summary))
    click.echo(f"{target} is ready; 'temper data check {target}' looks for what would hurt.")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@ratio_option
@seed_option
@click.option("--out", type=click.Path(path_type=Path), help="Write here; without it FOLDER's splits are replaced.")
@json_option
def split(folder: Path, ratio: str, seed: int, out: Path | None, as_json: bool) -> None:
    """Split the data set FOLDER anew, so that every split has its share of every class."""
    from ..detection.dataset import label_counts
    from ..distill.data.folder import split_folder
    from ..distill.data.split import parse_ratio

    splits = split_folder(folder, parse_ratio(ratio), seed, out)
    labels = next(iter(splits.values())).labels
    boxes = {
        name: dict(zip(labels, label_counts(part.samples, len(labels)).tolist(), strict=True))
        for name, part in splits.items()
    }
    pictures = {name: len(part) for name, part in splits.items()}
    if as_json:
        _print_json({"folder": str(out or folder), "pictures": pictures, "boxes": boxes})
        return
    console = _console()
    console.print(_split_table(labels, pictures, boxes, {}))
    console.print(f"{out or folder} is split {ratio} with seed {seed}.", markup=False, soft_wrap=True)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--contact-sheet", type=click.Path(path_type=Path), help="Write a PNG with the worst pictures here.")
@click.option("--all", "everything", is_flag=True, help="List every finding, not some of each kind.")
@json_option
@click.pass_context
def check(ctx: click.Context, folder: Path, contact_sheet: Path | None, everything: bool, as_json: bool) -> None:
    """Look through a data set for what hurts in practice; exit code 1 if there are errors.

    FOLDER is a data set folder, or anything that can be imported. Looks for broken, empty, duplicate and outlying
    boxes, unknown classes, unreadable and mislabelled pictures, the same or nearly the same picture in two splits, and
    classes and sizes that are rare.
    """
    from ..distill.data.check import check_source

    report = check_source(folder, contact_sheet)
    if as_json:
        _print_json(report.to_dict())
    else:
        _show_report(report, everything)
        if contact_sheet is not None:
            click.echo(f"The worst are on {contact_sheet}.")
    ctx.exit(1 if report.errors else 0)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(min=1), default=240, show_default=True, help="Pictures to train on.")
@click.option("--val", type=click.IntRange(min=1), default=60, show_default=True, help="Pictures to judge on.")
@click.option("--size", default="200x200", show_default=True, metavar="WIDTHxHEIGHT", help="Of a picture in pixels.")
@seed_option
def synthesise(folder: Path, train: int, val: int, size: str, seed: int) -> None:
    """Make the data set FOLDER of synthetic hot-rolled steel with six kinds of defects."""
    from ..core.errors import UsageError
    from ..distill.data.folder import require_replaceable
    from ..distill.synthetic.generator import write_data_set

    sides = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", size.strip())
    if sides is None:
        raise UsageError(f"The size '{size}' is not of the form WIDTHxHEIGHT, such as 200x200.")
    require_replaceable(folder)
    write_data_set(folder, train=train, val=val, width=int(sides[1]), height=int(sides[2]), seed=seed)
    click.echo(f"{folder} holds {train} pictures to train on and {val} to judge on.")


def _show_report(report: CheckReport, everything: bool) -> None:
    console = _console()
    for note in report.notes:
        console.print(note, markup=False, soft_wrap=True)
    if report.splits:
        names = {split: split or "not split" for split in report.splits}
        pictures = {names[split]: figures.pictures for split, figures in report.splits.items()}
        boxes = {names[split]: figures.boxes for split, figures in report.splits.items()}
        sizes = {names[split]: figures.sizes for split, figures in report.splits.items()}
        console.print(_split_table(report.labels, pictures, boxes, sizes))
    if report.findings:
        console.print(_finding_table(report.findings, everything))
    counts = Counter(finding.severity for finding in report.findings)
    words = [f"{counts[s]} {name}{'' if counts[s] == 1 else 's'}" for s, name in _NAMES.items() if counts[s]]
    console.print(", ".join(words) + "." if words else "Nothing was found.")


def _split_table(
    labels: Iterable[str],
    pictures: Mapping[str, int],
    boxes: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, Mapping[str, int]],
) -> Table:
    """Pictures and boxes of each class and size, one column for each split."""
    from rich.markup import escape

    table = _table("boxes of", *pictures, right=len(pictures))
    for name in labels:
        table.add_row(escape(name), *(f"{boxes[split][name]:,}" for split in pictures))
    table.add_section()
    for size in next(iter(sizes.values()), {}):
        table.add_row(size, *(f"{sizes[split][size]:,}" for split in pictures))
    table.add_section()
    table.add_row("pictures", *(f"{count:,}" for count in pictures.values()))
    return table


def _finding_table(findings: Iterable[Finding], everything: bool) -> Table:
    from rich.text import Text

    table = _table("", "what", "split", "where")
    for (severity, kind), group in groupby(findings, key=lambda finding: (finding.severity, finding.kind)):
        of_kind = list(group)
        for finding in of_kind if everything else of_kind[:LISTED_PER_KIND]:
            where = Text(f"{finding.file}: " if finding.file else "", "bold").append(finding.message, "not bold")
            table.add_row(Text(severity, _STYLES[severity]), kind, finding.split, where)
        if not everything and len(of_kind) > LISTED_PER_KIND:
            table.add_row("", kind, "", f"{len(of_kind) - LISTED_PER_KIND} more; --all lists them")
    return table


def _table(*columns: str, right: int = 0) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if right and number else "left")
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
