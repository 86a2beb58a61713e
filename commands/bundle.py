"""``temper bundle``: what a bundle says of itself, and whether it works here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import RUNTIME_NAMES, Group

if TYPE_CHECKING:
    from rich.table import Table

    from ..bundle.loader import Bundle
    from ..bundle.manifest import Manifest

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group)
def bundle() -> None:
    """Look into a bundle, and check it on this machine."""


@bundle.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def inspect(bundle: Path, as_json: bool) -> None:
    """Show what BUNDLE is: labels, thresholds, graphs with their parity and accuracy, and how it was made."""
    from ..bundle.loader import open_bundle

    with open_bundle(bundle) as opened:
        manifest = opened.manifest
    if as_json:
        click.echo(json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for line in describe(manifest):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(labels_table(manifest))
    console.print(variants_table(manifest))


@bundle.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"{', '.join(RUNTIME_NAMES)}; several times for several.  [default: all that are here]",
)
@click.option("--data", type=FOLDER, help="Data set folder: measure mAP on its pictures too.")
@click.option("--split", default="val", show_default=True, help="Split of the data set.")
@click.option("--limit", type=click.IntRange(1), help="Take this many of its pictures, evenly spread.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the runtimes.  [default: they choose]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each graph and runtime.")
def check(
    bundle: Path,
    runtimes: tuple[str, ...],
    data: Path | None,
    split: str,
    limit: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Check BUNDLE on this machine: manifest, hashes, and that every graph loads and answers as it should.

    With --runtime or --data the answers are also held against ONNX Runtime's, picture by picture, and the result is
    written beside the bundle as NAME.check-RUNTIME.json. It holds figures, versions and hashes only, and may be passed
    on.
    """
    from ..bundle.loader import open_bundle
    from ..core.errors import TemperError

    with open_bundle(bundle) as opened:
        if not as_json:
            count = len(opened.manifest.variants)
            click.echo(f"manifest and hashes  ok ({count} graph{'s' if count > 1 else ''})")
        if runtimes or data is not None:
            faults = _check_on_device(opened, runtimes, data, split, limit, threads, as_json)
        else:
            faults = _check_quickly(opened, threads, as_json)
    if faults:
        raise TemperError(f"{bundle} does not work on this machine: {faults} of its graphs failed.")


def _check_quickly(opened: Bundle, threads: int | None, as_json: bool) -> int:
    """Try every graph on every runtime of this machine; gives how many failed."""
    from dataclasses import asdict

    from ..deploy.check import check_bundle

    faults = 0
    for result in check_bundle(opened, threads=threads):
        faults += result.fault is not None
        if as_json:
            click.echo(json.dumps(asdict(result), ensure_ascii=False))
        else:
            said = f"not tried: {result.skipped}" if result.skipped else result.fault or "ok"
            click.echo(f"{result.variant} on {result.runtime}  {said}")
    return faults


def _check_on_device(
    opened: Bundle,
    named: tuple[str, ...],
    data: Path | None,
    split: str,
    limit: int | None,
    threads: int | None,
    as_json: bool,
) -> int:
    """Check parity and accuracy runtime by runtime; gives how many graphs failed."""
    from ..benchmarks.device_check import check_on_device, limited, runtimes_to_check, summary_line
    from ..core.errors import UsageError
    from ..deploy.check import runtimes_here
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress

    loaded = None if data is None else limited(load_split(data, split), limit)
    faults, tried = 0, 0
    for runtime in runtimes_to_check(named, runtimes_here()):
        with progress(choose_style(as_json)) as reporter:
            done = check_on_device(opened, runtime, loaded, reporter, threads=threads)
        for result in done.results:
            faults += bool(result.faults)
            tried += result.skipped is None
            if as_json:
                said = {"variant": result.variant, "runtime": runtime, "faults": list(result.faults)}
                click.echo(json.dumps({**said, "skipped": result.skipped, "file": str(done.path)}, ensure_ascii=False))
            else:
                click.echo(summary_line(result, runtime))
        if not as_json:
            click.echo(f"Written, to be passed on: {done.path}")
    if not tried:
        raise UsageError(
            f"No graph of {opened.path.name} is made for {' or '.join(named) or 'a runtime of this machine'}."
        )
    return faults


def describe(manifest: Manifest) -> list[str]:
    """The lines about the whole bundle."""
    rule, made = manifest.input, manifest.made_by
    colour = "grey" if rule.channels == "grey" else "RGB"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items()))
    return [
        f"{manifest.name}: {made.role}, made by Temper {made.temper}",
        f"input       {rule.width} x {rule.height} px, {colour}, {rule.resize}",
        f"detections  at most {manifest.max_detections}, scores from {manifest.score_floor:g}, "
        f"NMS at IoU {manifest.nms_iou:g}",
        f"versions    {versions or 'not stated'}",
        f"data        sha256 {made.data_sha256}",
        f"weights     sha256 {made.weights_sha256}",
    ]


def labels_table(manifest: Manifest) -> Table:
    """Each class with its threshold."""
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "threshold")
    for label in manifest.labels:
        table.add_row(Text(label), f"{manifest.thresholds[label]:g}")
    return table


def variants_table(manifest: Manifest) -> Table:
    """Each graph with its size, accuracy (points from 0 to 100) and distance from the Paddle model."""
    from rich.table import Table
    from rich.text import Text

    table = Table("variant", "target", "MiB", "AP", "AP50", "score off by", "boxes off by", "found again")
    for variant in manifest.variants:
        accuracy, parity = variant.accuracy, variant.parity
        table.add_row(
            Text(variant.name),
            variant.target,
            f"{variant.bytes / 2**20:.1f}",
            *(["-", "-"] if accuracy is None else [_points(accuracy.ap), _points(accuracy.ap50)]),
            *(
                ["-", "-", "-"]
                if parity is None
                else [
                    f"{parity.largest_score_difference:.1e}",
                    f"{parity.largest_box_difference_px:.1e} px",
                    f"{100 * parity.matched_share:.1f} %",
                ]
            ),
        )
    return table


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
