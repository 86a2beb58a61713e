"""``temper bundle``: what a bundle says of itself, and whether it works here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_describe import describe, describe_signature, labels_table, variants_table
from .bundle_files import diff, keygen, pack, schema, sign
from .options import RUNTIME_NAMES, Group, public_key_option, threads_option

if TYPE_CHECKING:
    from ..bundle.loader import Bundle

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group)
def bundle() -> None:
    """Look into a bundle, sign and pack it, and check it on this machine."""


for _command in (keygen, sign, pack, diff, schema):
    bundle.add_command(_command)


@bundle.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="Manifest and signature as one JSON object.")
def inspect(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Show what BUNDLE is: labels, thresholds, graphs with parity and accuracy, how it was made, who signed it."""
    from ..bundle.loader import open_bundle

    with open_bundle(bundle, public_key) as opened:
        manifest, signature = opened.manifest, opened.signature
    if as_json:
        signed = None
        if signature is not None:
            signed = {**signature.model_dump(mode="json"), "fingerprint": signature.fingerprint}
        value = {"manifest": manifest.model_dump(mode="json"), "signature": signed, "trusted": public_key is not None}
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for line in [*describe(manifest), describe_signature(signature, public_key is not None)]:
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
@threads_option
@click.option("--out", type=FOLDER, help="Folder for the results.  [default: the bundle's]")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one for each graph and runtime.")
def check(
    bundle: Path,
    runtimes: tuple[str, ...],
    data: Path | None,
    split: str,
    limit: int | None,
    threads: int | None,
    out: Path | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Check BUNDLE on this machine: signature, hashes, and that every graph loads and answers as it should.

    The golden pictures in it are replayed on every runtime: the answers have to be those of the export.

    With --runtime or --data the answers are also held against ONNX Runtime's, picture by picture, and the result is
    written beside the bundle, or to --out, as NAME.check-RUNTIME.json. It holds figures, versions and hashes only, and
    may be passed on.
    """
    from ..bundle.loader import open_bundle
    from ..core.errors import TemperError, UsageError

    if out is not None and not runtimes and data is None:
        raise UsageError("--out is for the result of --runtime or --data, and neither is given.")
    with open_bundle(bundle, public_key) as opened:
        if not as_json:
            count, golden = len(opened.manifest.variants), opened.manifest.golden
            told = f"{count} graph{'s' if count > 1 else ''}"
            told += f", {len(golden.images)} golden pictures" if golden is not None else ""
            click.echo(f"manifest and hashes  ok ({told})")
            click.echo(describe_signature(opened.signature, public_key is not None))
        if runtimes or data is not None:
            passed, failed = _check_on_device(opened, runtimes, data, split, limit, threads, out, as_json)
        else:
            passed, failed = _check_quickly(opened, threads, as_json)
    if failed and not passed:
        raise TemperError(f"{bundle} does not work on this machine: none of its graphs passed.")
    if failed:
        raise TemperError(
            f"Of {bundle}, {' and '.join(failed)} failed, as said above; what passed can be used here: "
            f"{', '.join(passed)}."
        )


def _check_quickly(opened: Bundle, threads: int | None, as_json: bool) -> tuple[list[str], list[str]]:
    """Try every graph on every runtime of this machine; gives which passed and which failed."""
    from dataclasses import asdict

    from ..deploy.check import check_bundle

    passed: list[str] = []
    failed: list[str] = []
    for result in check_bundle(opened, threads=threads):
        if result.skipped is None:
            (passed if result.fault is None else failed).append(f"{result.variant} on {result.runtime}")
        if as_json:
            click.echo(json.dumps(asdict(result), ensure_ascii=False))
        else:
            said = f"not tried: {result.skipped}" if result.skipped else result.fault or "ok"
            click.echo(f"{result.variant} on {result.runtime}  {said}")
    return passed, failed


def _check_on_device(
    opened: Bundle,
    named: tuple[str, ...],
    data: Path | None,
    split: str,
    limit: int | None,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> tuple[list[str], list[str]]:
    """Check parity and accuracy runtime by runtime; gives which graphs passed and which failed."""
    from ..benchmarks.device_check import check_on_device, runtimes_to_check, summary_line
    from ..core.errors import UsageError
    from ..deploy.check import runtimes_here
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress

    loaded = None if data is None else load_split(data, split).spread(limit)
    passed: list[str] = []
    failed: list[str] = []
    for runtime in runtimes_to_check(named, runtimes_here()):
        with progress(choose_style(as_json)) as reporter:
            done = check_on_device(opened, runtime, loaded, reporter, threads=threads, folder=out)
        for result in done.results:
            if result.skipped is None:
                (failed if result.faults else passed).append(f"{result.variant} on {runtime}")
            if as_json:
                said = {"variant": result.variant, "runtime": runtime, "faults": list(result.faults)}
                file = None if done.unwritten else str(done.path)
                click.echo(json.dumps({**said, "skipped": result.skipped, "file": file}, ensure_ascii=False))
            else:
                click.echo(summary_line(result, runtime))
        if done.unwritten is not None:
            click.echo(f"Not written, so there is nothing to pass on: {done.unwritten} Give one with --out.", err=True)
        elif not as_json:
            click.echo(f"Written, to be passed on: {done.path}")
    if not passed and not failed:
        raise UsageError(
            f"No graph of {opened.path.name} is made for {' or '.join(named) or 'a runtime of this machine'}."
        )
    return passed, failed
