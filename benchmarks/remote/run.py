"""Several machines at once; one that fails does not stop the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.errors import TemperError
from ...core.events import Event, Reporter
from ...core.files import explain_os_errors
from ...core.locks import held_file
from ..measurement import MEASUREMENTS_NAME, Measurements, read_rows
from .connection import library
from .fetch import read_record, require_ours
from .hosts import Host
from .order import Order
from .steps import Settings, measure_host
from .trouble import HostError


@dataclass(frozen=True)
class Outcome:
    """What came of one machine.

    Attributes:
        host: the machine.
        state: "measured", "there" (it had been measured, and the results lie here) or "failed".
        folder: where its results lie, or would.
        seconds: what it took.
        measured: the results; None if it failed.
        message: the sentence for what went wrong.
    """

    host: Host
    state: Literal["measured", "there", "failed"]
    folder: Path
    seconds: float
    measured: Measurements | None = None
    message: str | None = None


def run_remote(hosts: Sequence[Host], order: Order, settings: Settings, out: Path, report: Reporter) -> list[Outcome]:
    """Measure on machines, all at once; each one's results go to a folder of its name below ``out``.

    Args:
        hosts: the machines; their names differ.
        order: what to measure.
        settings: how they are reached and used.
        out: folder for the folders of results.
        report: hears of the progress; ``host`` in an event's data says of which.

    Returns:
        What came of each, in their order.

    Raises:
        UsageError: if something else lies where results would go.
        MissingDependencyError: if the SSH library is not installed.
        TemperError: if ``out`` cannot be made.
    """
    library()
    for host in hosts:
        require_ours(out / host.name)
    with explain_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)

    async def together() -> list[Outcome]:
        return await asyncio.gather(*(_one(host, order, settings, out / host.name, report) for host in hosts))

    return asyncio.run(together())


async def _one(host: Host, order: Order, settings: Settings, target: Path, report: Reporter) -> Outcome:
    began = time.monotonic()
    try:
        busy = f"Another process is measuring on {host.name} for {target.parent}. Wait for it, or choose another --out."
        with held_file(target.parent / f".{target.name}.lock", busy):
            there = None if settings.again else _there(host, order, target)
            measured = there or await measure_host(host, order, settings, target, report)
            state: Literal["measured", "there"] = "measured" if there is None else "there"
            return Outcome(host, state, target, time.monotonic() - began, measured)
    except TemperError as error:
        message = str(error)
    except OSError as error:
        message = str(HostError(f"{error.filename or target} cannot be used: {error.strerror}."))
    report(Event("warning", "remote", {"host": host.name, "message": message}))
    return Outcome(host, "failed", target, time.monotonic() - began, message=message)


def _there(host: Host, order: Order, target: Path) -> Measurements | None:
    """The results that lie here, if they are of just this."""
    record = read_record(target)
    if record is None or record.job != order.job(host):
        return None
    try:
        return read_rows(target / MEASUREMENTS_NAME)
    except TemperError:
        return None
