"""``temper estimate``: what devices that nobody has measured would do with a bundle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import HELP_OPTIONS, public_key_option

if TYPE_CHECKING:
    from rich.table import Table

    from ..benchmarks.devices.table import Device
    from ..benchmarks.estimate.row import EstimateRow
    from ..benchmarks.estimate.run import OwnMeasurement

FILE = click.Path(path_type=Path)
#: Columns that the widest table takes.
_WIDTH = 150


@click.command(context_settings=HELP_OPTIONS)
@click.argument("bundle", required=False, type=FILE)
@click.option("--device", "devices", multiple=True, metavar="DEVICE[@MODE],...", help="Of the table.  [default: all]")
@click.option(
    "--precision", "precisions", multiple=True, metavar="NAME,...", help="int8, fp16, fp32.  [default: the bundle's]"
)
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1, 1024), help="Pictures per call.  [default: 1]"
)
@click.option(
    "--measured",
    multiple=True,
    metavar="DIR=DEVICE[@MODE]",
    help="What was measured of this bundle on a device of the table; it puts that device's estimates right.",
)
@click.option("--devices", "table", type=FILE, help="File with devices of your own.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for estimates.jsonl.")
@click.option("--list-devices", is_flag=True, help="List the devices of the table, and do no more.")
@click.option("--write-devices", type=FILE, help="Write the table to a file to add devices to, and do no more.")
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def estimate(
    bundle: Path | None,
    devices: Sequence[str],
    precisions: Sequence[str],
    batches: Sequence[int],
    measured: Sequence[str],
    table: Path | None,
    out: Path | None,
    list_devices: bool,
    write_devices: Path | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Estimate how long devices take for the graphs of BUNDLE: a roofline for each layer, fitted to public results.

    Nothing is measured: every figure carries a ~ and the interval that nine in ten estimates of unseen devices kept to.
    """
    from ..benchmarks.devices.table import find_device, load_devices, table_text
    from ..core.errors import UsageError
    from ..core.files import write_text

    if write_devices is not None:
        if write_devices.exists():
            raise UsageError(f"{write_devices} is there already. Name another file.")
        write_text(write_devices, table_text())
        click.echo(f"Written: {write_devices}. Add devices to it, and give it with --devices {write_devices}.")
        return
    known = load_devices(table)
    if list_devices:
        _list(list(known.values()), as_json)
        return
    if bundle is None:
        raise UsageError("Which bundle? Give its path, or --list-devices.")
    words = _split(devices) or list(known)
    chosen = []
    for word in words:
        key, _, mode = word.partition("@")
        device = find_device(known, key)
        chosen.append((device, device.mode(mode or None)))
    own = [_own(text, known) for text in measured]

    from ..benchmarks.estimate.run import estimate_bundle, says_nothing, write_estimates
    from ..bundle.loader import open_bundle

    with open_bundle(bundle, public_key) as opened:
        rows = estimate_bundle(opened, chosen, _split(precisions), tuple(dict.fromkeys(batches)) or (1,), own)
        for text, one in zip(measured, own, strict=True):
            if (why := says_nothing(one, opened, [device.key for device, _ in chosen])) is not None:
                click.echo(f"--measured {text} changes nothing: {why}.", err=True)
    if as_json:
        for row in rows:
            click.echo(json.dumps(dataclasses.asdict(row), ensure_ascii=False))
    else:
        _show(rows)
    if out is not None:
        path = write_estimates(out, rows)
        click.echo(json.dumps({"event": "written", "path": str(path)}) if as_json else f"Written: {path}")


def _split(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(word.strip() for text in texts for word in text.split(",") if word.strip()))


def _own(text: str, known: dict[str, Device]) -> OwnMeasurement:
    from ..benchmarks.devices.table import find_device
    from ..benchmarks.estimate.run import OwnMeasurement
    from ..benchmarks.measurement import MEASUREMENTS_NAME, read_rows
    from ..benchmarks.remote.fetch import read_record
    from ..core.errors import UsageError

    folder, equals, device = text.rpartition("=")
    record = None if equals else read_record(Path(text))
    if record is not None and record.device is not None:  # 'temper bench remote' was told
        folder, equals, device = text, "=", record.device
    if not equals:
        raise UsageError(
            f"--measured {text}: say on which device of the table, as --measured {text}=jetson-orin-nano-8gb."
        )
    key, _, mode = device.partition("@")
    found = find_device(known, key)
    return OwnMeasurement(found.key, found.mode(mode or None).name, read_rows(Path(folder) / MEASUREMENTS_NAME))


def _list(devices: list[Device], as_json: bool) -> None:
    if as_json:
        for device in devices:
            click.echo(json.dumps(dataclasses.asdict(device), ensure_ascii=False))
        return
    table = _table("device", "int8 TOPS, dense", "GB/s", "GB", "power modes", "figures")
    for device in devices:
        modes = ", ".join(mode.name for mode in device.power_modes)
        figures = "looked up" if device.looked_up else "some not looked up"
        table.add_row(
            device.key,
            f"{device.tops['int8']:g}",
            f"{device.bandwidth_gb_s:g}",
            f"{device.memory_gb:g}",
            modes,
            figures,
        )
    _print(table)


def _show(rows: Sequence[EstimateRow]) -> None:
    table = _table(
        "device", "mode", "precision", "batch", "p50 estimated", "nine in ten within, ms", "bound by", "memory"
    )
    for row in rows:
        low, high = row.interval_ms
        table.add_row(
            row.device,
            row.power_mode,
            row.subject.precision,
            str(row.batch),
            f"~{row.latency_ms:.3g} ms",
            f"~{low:.3g} to {high:.3g}",
            row.bound,
            "fits" if row.fits else f"does not fit: ~{row.memory_mib:.0f} of {row.device_memory_mib:.0f} MiB",
        )
    _print(table)
    unknown = sorted({name for row in rows for name in row.unknown_operators})
    if unknown:
        click.echo(
            f"Not known to the estimator, counted as passes over memory, the interval widened: {', '.join(unknown)}."
        )
    told = sorted({origin for row in rows for origin in row.recalibrated_by})
    if told:
        click.echo(f"Put right by measurements of {'; '.join(told)}.")
    else:
        click.echo("Estimated, not measured; docs/results/estimates.md says how far such estimates were off.")
    click.echo(
        "Of the graph on TensorRT alone: preparing pictures and reading answers on the device's processor come on top."
    )


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=True)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    # a row of the table is a line, also in a file or a narrow window
    Console(width=max(Console().width, _WIDTH)).print(table)
