"""``temper bench remote``: measure bundles on other machines, over SSH."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import TemperError
from .bench_measuring import measuring_options, settings_of
from .options import RUNTIME_NAMES, found_iou_option, history_option, public_key_option

if TYPE_CHECKING:
    from ..benchmarks.remote.run import Outcome

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
#: As in ``benchmarks/remote/order.py``, which costs more to import than help may take; a test holds them together.
DEFAULT_FOLDER = "~/.cache/temper/remote"


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Several times for several.",
)
@click.option("--data", required=True, type=FOLDER, help="Data set folder (see 'temper data import').")
@click.option("--split", default="val", show_default=True, help="Split of the data set to measure on.")
@click.option("--out", required=True, type=FOLDER, help="Results go to a folder of each host's name in it.")
@click.option("--hosts", "hosts_file", type=FILE, help="File of hosts (YAML); HOST may name one of them.")
@click.option("--devices", "table", type=FILE, help="File with devices of your own, which a host may be.")
@click.option("--identity", type=FILE, help="Private key to log in with.  [default: the agent's and the usual ones]")
@click.option("--known-hosts", type=FILE, help="File of known hosts.  [default: those of ssh]")
@click.option("--python", help="Python over there.  [default: one that fits]")
@click.option("--wheels", type=FOLDER, help="Folder of wheels, for hosts without internet.")
@click.option("--wheel", type=FILE, help="Wheel of Temper to send.  [default: the installed Temper]")
@click.option("--remote-folder", default=DEFAULT_FOLDER, show_default=True, help="Folder over there for all of ours.")
@click.option("--again", is_flag=True, help="Measure anew, even where that was done.")
@click.option("--clean", is_flag=True, help="Take all of ours away over there once the results are here.")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"{', '.join(RUNTIME_NAMES)}; several times for several.  [default: onnxruntime]",
)
@click.option(
    "--precision", "precisions", multiple=True, help="fp32, int8 or a variant's name; several times.  [default: all]"
)
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1, 1024), help="Pictures per call.  [default: 1]"
)
@click.option("--threads", type=click.IntRange(1, 512), help="Threads of the runtime.  [default: the runtime chooses]")
@measuring_options
@found_iou_option
@click.option("--limit", type=click.IntRange(1), help="Measure on this many pictures, evenly spread over the split.")
@history_option
@public_key_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def remote(ctx: click.Context, /, **given: Any) -> None:
    """Measure bundles on HOST... (user@host or user@host:port), each over SSH, all at once.

    Temper, the bundles and the pictures are copied there, and what 'temper bench run' measures comes back to OUT/HOST.
    Only keys and known hosts are used, never passwords. Whatever cuts it off: the same command goes on.
    """
    outcomes = _measure(given)
    if given["as_json"]:
        for outcome in outcomes:
            click.echo(json.dumps(_plain(outcome)))
    else:
        _print_table(outcomes, given["out"])
    ctx.exit(1 if any(outcome.state == "failed" for outcome in outcomes) else 0)


def _measure(given: dict[str, Any]) -> list[Outcome]:
    from ..benchmarks.history.store import history_path, parse_history, remember
    from ..benchmarks.remote.connection import library, usual_known_hosts
    from ..benchmarks.remote.order import Asked, make_order
    from ..benchmarks.remote.run import run_remote
    from ..benchmarks.remote.steps import Settings
    from ..benchmarks.remote.wheel import installed_wheel, read_wheel
    from ..detection.dataset import load_split
    from ..flow.progress import choose_style, progress

    hosts = _hosts(given)
    library()
    data = load_split(given["data"], given["split"])
    limit = given["limit"]
    if limit is not None and limit < len(data):
        data = data.subset(i * len(data) // limit for i in range(limit))
    asked = Asked(given["runtimes"] or ("onnxruntime",), given["precisions"], given["batches"] or (1,), _options(given))
    order = make_order(
        given["bundles"],
        data,
        given["split"],
        asked,
        hosts,
        installed_wheel() if given["wheel"] is None else read_wheel(given["wheel"]),
        wheels=given["wheels"],
        public_key=given["public_key"],
    )
    known_hosts = [given["known_hosts"]] if given["known_hosts"] else usual_known_hosts()
    settings = Settings(given["remote_folder"], tuple(known_hosts), given["again"], given["clean"])
    with progress(choose_style(given["as_json"])) as reporter:
        outcomes = run_remote(hosts, order, settings, given["out"], reporter)
        kept = parse_history(given["history"]) if given["history"] else history_path(Path("runs"))
        for outcome in outcomes:
            if outcome.state == "measured" and outcome.measured is not None:
                remember(outcome.measured, kept, outcome.folder, reporter, "remote")
    return outcomes


def _hosts(given: dict[str, Any]) -> list[Any]:
    """The machines asked for, with what the options say of all of them."""
    from dataclasses import replace

    from ..benchmarks.devices.table import find_device, load_devices
    from ..benchmarks.remote.hosts import choose_hosts, read_hosts

    known = [] if given["hosts_file"] is None else read_hosts(given["hosts_file"])
    devices = load_devices(given["table"]) if given["table"] or any(host.device for host in known) else {}
    for host in known:
        if host.device is not None:
            find_device(devices, host.device)
    return [
        replace(host, identity=host.identity or given["identity"], python=host.python or given["python"])
        for host in choose_hosts(given["hosts"], known)
    ]


def _options(given: dict[str, Any]) -> tuple[str, ...]:
    """What of the options 'temper bench run' is given over there, after they were checked here.

    Raises:
        UsageError: if they do not fit together.
    """
    names = (
        "scenarios", "frame_rate", "deadline_ms", "queue", "query_pictures", "driver", "starts", "seconds", "samples",
        "time_box", "energy", "soak",
    )  # fmt: skip
    measuring = {name: given[name] for name in names}
    settings_of(given["found_iou"], **measuring)
    words = [word for scenario in measuring.pop("scenarios") for word in ("--scenario", scenario)]
    for name, value in {**measuring, "found_iou": given["found_iou"], "threads": given["threads"]}.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "event": "host",
        "host": outcome.host.name,
        "address": outcome.host.address,
        "state": outcome.state,
        "path": str(outcome.folder) if outcome.state != "failed" else None,
        "seconds": round(outcome.seconds, 3),
        "message": outcome.message,
    }


def _print_table(outcomes: list[Outcome], out: Path) -> None:
    """A line for each host, then the figures of those that were measured and the sentences of those that were not."""
    from ..flow.progress import duration
    from .bench_overview import overview

    told = {"measured": "measured", "there": "measured before", "failed": "FAILED"}
    wide = max(len("host"), *(len(outcome.host.name) for outcome in outcomes))
    click.echo(f"{'host':<{wide}}  {'outcome':<15}  {'time':>12}  results")
    for outcome in outcomes:
        place = "-" if outcome.state == "failed" else str(outcome.folder)
        click.echo(f"{outcome.host.name:<{wide}}  {told[outcome.state]:<15}  {duration(outcome.seconds):>12}  {place}")
    for outcome in outcomes:
        if outcome.measured is not None:
            click.echo(f"\n{outcome.host.name}")
            try:
                lines = overview(outcome.measured)
            except TemperError as error:  # a processor that only pretends to be one has no latency to show
                lines = [str(error)]
            for line in lines:
                click.echo(line)
    for outcome in outcomes:
        if outcome.message is not None:
            click.echo(f"\n{outcome.host.name}: {outcome.message}")
    if any(outcome.measured is not None for outcome in outcomes):
        click.echo(f"\nFor a page of one: temper bench report {out}/HOST")
