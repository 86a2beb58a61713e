"""``temper data``: pictures and boxes in, split, checked, or made."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Group

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..distill.data.check import CheckReport
    from ..distill.data.finding import Finding, Severity

#: Findings of one kind that the table of a check lists unless all are asked for.
LISTED_PER_KIND = 5

#: Findings that a new split mends.
_LEAKS = (("same-picture", "error"), ("near-picture", "warning"))
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_NAMES: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "remark"}

ratio_option = click.option(
    "--ratio",
    default="7:2:1",
    show_default=True,
    metavar="TRAIN:VAL:TEST",
    help="Shares of the pictures; two numbers leave test out.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same result."
)
force_option = click.option("--force", is_flag=True, help="Replace an older data set there.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")


@click.group(cls=Group)
def data() -> None:
    """Import, split, check and synthesise data sets."""


@data.command("import", short_help="Make a data set of Pascal VOC, COCO or an archive.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@ratio_option
@seed_option
@force_option
@json_option
def import_(source: Path, target: Path, ratio: str, seed: int, force: bool, as_json: bool) -> None:
    """Make the data set folder TARGET from SOURCE.

    SOURCE is a folder of Pascal VOC (NEU-DET as published, or a mirror of it) or of COCO json and pictures, a single
    COCO json beside its pictures, or an archive of these (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz) whatever its folders
    are called.

    Splits that the data brings are kept: lists such as train.txt and val.txt, folders such as train/ and validation/,
    files such as instances_train.json. Where it brings none, --ratio and --seed make them: every split has its share of
    every class, and pictures that are nearly the same stay together.

    Exact duplicates of a box are dropped and boxes over the picture's edge are cut; both are counted. Anything else
    that is wrong stops the import and leaves nothing behind. SOURCE is only read; pictures are hard links to its
    own where the disk can, so that they take no more space: who changes one in its place changes both.
    """
    from ..distill.data.importer import import_data
    from ..distill.data.split import parse_ratio

    summary = import_data(source, target, split_ratio=parse_ratio(ratio), split_seed=seed, force=force)
    if as_json:
        _print_json(summary.to_dict())
        return
    click.echo(str(summary))
    click.echo(f"{target} is ready. Look for what would hurt with: temper data check {shlex.quote(str(target))}")


@data.command(short_help="Split a data set anew, by class.")
@click.argument("folder", type=click.Path(path_type=Path))
@ratio_option
@seed_option
@click.option("--out", type=click.Path(path_type=Path), help="Write here; without it FOLDER's own splits are replaced.")
@click.option("--force", is_flag=True, help="Replace an older data set at --out.")
@json_option
def split(folder: Path, ratio: str, seed: int, out: Path | None, force: bool, as_json: bool) -> None:
    """Split the data set FOLDER anew, so that every split has its share of every class.

    FOLDER was made by 'temper data import' or 'temper data synthesise'. All its pictures are dealt out again, each to
    exactly one split; pictures that are nearly the same stay together. The same --seed and --ratio split the same
    pictures the same way.
    """
    from ..detection.dataset import label_counts
    from ..distill.data.folder import split_folder
    from ..distill.data.split import parse_ratio

    splits = split_folder(folder, parse_ratio(ratio), seed, out, force)
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


@data.command(short_help="Look through a data set for what hurts.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--contact-sheet", type=click.Path(path_type=Path), help="Write a PNG with the worst pictures here.")
@click.option("--all", "everything", is_flag=True, help="List every finding, not some of each kind.")
@click.option("--strict", is_flag=True, help="Warnings fail as well.")
@json_option
@click.pass_context
def check(
    ctx: click.Context, folder: Path, contact_sheet: Path | None, everything: bool, strict: bool, as_json: bool
) -> None:
    """Look through a data set for what hurts in practice. Nothing is changed.

    FOLDER is a data set folder, or anything that can be imported. Looks for broken, empty, duplicate and outlying
    boxes, unknown classes, unreadable and mislabelled pictures, the same or nearly the same picture in two splits, and
    classes and sizes (small, medium and large as COCO counts them) that are rare.

    An error is what training or judging goes wrong on, a warning what results suffer from, a remark what is good to
    know.

    \b
    Exit code:
      0  no errors (with --strict, no warnings either)
      1  errors were found, or FOLDER could not be read
      2  wrong use, or FOLDER is no data set
    """
    from ..distill.data.check import check_source

    report = check_source(folder, contact_sheet)
    if as_json:
        _print_json(report.to_dict())
    else:
        _show_report(report, everything)
        if contact_sheet is not None:
            click.echo(f"The contact sheet is {contact_sheet}.")
    ctx.exit(1 if report.errors or (strict and report.warnings) else 0)


@data.command(short_help="Make a data set of synthetic steel.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(min=1), default=240, show_default=True, help="Pictures to train on.")
@click.option("--val", type=click.IntRange(min=1), default=60, show_default=True, help="Pictures to judge on.")
@click.option("--size", default="200x200", show_default=True, metavar="WIDTHxHEIGHT", help="Of a picture in pixels.")
@seed_option
@force_option
@json_option
def synthesise(folder: Path, train: int, val: int, size: str, seed: int, force: bool, as_json: bool) -> None:
    """Make the data set FOLDER of synthetic hot-rolled steel with six kinds of defects.

    For trying things out without data of one's own: the pictures are drawn, their boxes exact. Models that learnt from
    them know nothing of real steel.
    """
    from ..core.errors import UsageError
    from ..distill.data.folder import require_replaceable
    from ..distill.synthetic.generator import LABELS, write_data_set

    sides = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", size.strip())
    if sides is None:
        raise UsageError(f"The size '{size}' is not of the form WIDTHxHEIGHT, such as 200x200.")
    require_replaceable(folder, force)
    width, height = int(sides[1]), int(sides[2])
    write_data_set(folder, train=train, val=val, width=width, height=height, seed=seed)
    if as_json:
        _print_json({"folder": str(folder), "pictures": {"train": train, "val": val}, "labels": LABELS})
        return
    click.echo(f"{folder} holds {train:,} pictures to train on and {val:,} to judge on.")


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
    if any((finding.kind, finding.severity) in _LEAKS for finding in report.findings):
        console.print("'temper data split' keeps pictures that are the same or nearly so in one split.", soft_wrap=True)


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
            table.add_row(Text(_NAMES[severity], _STYLES[severity]), kind, finding.split, where)
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
