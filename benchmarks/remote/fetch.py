"""Taking results from another machine, which is not believed: neither its paths, nor that it measured what was "
"asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from ...core.errors import TemperError, UsageError
from ...core.files import MAX_RECORD_BYTES, atomic_folder, read_json, write_json
from ..machine import now
from ..measurement import MEASUREMENTS_NAME, Measurements, read_rows
from ..run import DETECTIONS_FOLDER, TRUTH_NAME
from . import trouble
from .connection import Connection, Request
from .hosts import Host
from .order import Order
from .trouble import HostError

RECORD_NAME = "remote.json"
#: More, or more of them, are no results of a benchmark.
_MOST_BYTES, _MOST_FILES = 8 << 30, 10_000
_BLOCK = 1 << 18


@dataclass(frozen=True)
class RemoteRecord:
    """What ``remote.json`` beside the measurements says: where they come from.

    Attributes:
        job: the name of what was measured; equal for equal bundles, data, options and Temper.
        host: what the machine was called.
        address: where it was.
        device: its key in the table of devices; None if nobody said.
        jetson: the first line of its ``/etc/nv_tegra_release``; None if it is no Jetson.
        fetched_at: when, UTC.
        sha256: of every file that was fetched, by its path.
    """

    job: str
    host: str
    address: str
    device: str | None
    jetson: str | None
    fetched_at: str
    sha256: dict[str, str]


def read_record(folder: Path) -> RemoteRecord | None:
    """The record in a folder of results; None if it was measured here, or the record cannot be read."""
    try:
        plain = read_json(folder / RECORD_NAME, MAX_RECORD_BYTES)
        return RemoteRecord(**{field.name: plain[field.name] for field in fields(RemoteRecord)})
    except (TemperError, KeyError, TypeError):
        return None


def require_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but fetched results.

    Raises:
        UsageError: if it does.
    """
    if (folder.exists() or folder.is_symlink()) and not (folder.is_dir() and (folder / RECORD_NAME).is_file()):
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise UsageError(
            f"{folder} holds something else than results of 'temper bench remote', and would be replaced. Choose "
            "another folder with --out, or move it away."
        )


def is_result(path: str) -> bool:
    """Whether a benchmark writes a file of this path (with forward slashes) into its folder."""
    if path in (MEASUREMENTS_NAME, TRUTH_NAME):
        return True
    folder, slash, name = path.partition("/")
    plain = name.isprintable() and not any(c in name for c in "/\\\0") and not name.startswith(".")
    return folder == DETECTIONS_FOLDER and bool(slash) and plain and name.endswith(".json") and len(name) < 250


async def fetch_results(
    connection: Connection, order: Order, request: dict[str, Any], target: Path, jetson: str | None
) -> Measurements:
    """Fetch a job's results and put them under ``target`` once all is checked; an older result there is replaced.

    Args:
        connection: to the machine.
        order: what was asked for.
        request: ``folder`` and ``job``.
        target: the folder for the results.
        jetson: what the machine says of itself.

    Raises:
        HostError: if the connection is lost, the files are not those of a benchmark, or it measured something else.
        TemperError: if they cannot be written here.
    """
    host = connection.host
    asked = await connection.request("fetching the results", do="fetch", **request)
    first = await asked.message()
    files = _listed(host, first or {})
    with atomic_folder(target) as folder:
        for path, sha256, size in files:
            place = folder.joinpath(*path.split("/"))
            place.parent.mkdir(exist_ok=True)
            with place.open("wb") as file:
                if await _copy(asked, file, size) != sha256:
                    raise HostError(f"{path} of {host.login} changed on its way here. {trouble.AGAIN}")
        await asked.message()
        measured = checked(host, order, folder)
        hashes = {path: sha256 for path, sha256, _ in files}
        record = RemoteRecord(request["job"], host.name, host.address, host.device, jetson, now(), hashes)
        write_json(folder / RECORD_NAME, asdict(record))
    return measured


def _listed(host: Host, message: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The files that were announced, if all of them are a benchmark's."""
    entries = message.get("files")
    found: list[tuple[str, str, int]] = []
    for entry in entries if isinstance(entries, list) else []:
        path, sha256, size = entry if isinstance(entry, list) and len(entry) == 3 else ("", "", 0)
        plain = isinstance(path, str) and isinstance(sha256, str) and type(size) is int and size >= 0
        if not plain or not is_result(path) or path in (known for known, _, _ in found):
            raise HostError(
                f"{host.login} offers '{trouble.plain(path, 80)}' among its results, which no benchmark writes. "
                "Nothing was taken; look at the machine."
            )
        found.append((path, sha256, size))
    if len(found) > _MOST_FILES or sum(size for _, _, size in found) > _MOST_BYTES:
        raise HostError(f"{host.login} offers more than any benchmark writes. Nothing was taken; look at the machine.")
    return found


async def _copy(asked: Request, file: IO[bytes], size: int) -> str:
    """Take so many bytes; gives their SHA-256."""
    digest, left = hashlib.sha256(), size
    while left:
        block = await asked.read(min(_BLOCK, left))
        digest.update(block)
        file.write(block)
        left -= len(block)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def checked(host: Host, order: Order, folder: Path) -> Measurements:
    """The measurements, if they are of the bundles and the data that were sent, and whole.

    Raises:
        HostError: if they are not.
    """
    try:
        measured = read_rows(folder / MEASUREMENTS_NAME)
    except TemperError as error:
        reason = str(error).replace(f"{folder}{os.sep}", "")
        raise HostError(f"The results of {host.login} cannot be read: {trouble.plain(reason)}") from error
    first = measured.benchmark
    found = {entry.manifest.name: entry.manifest_sha256 for entry in first.bundles}
    if found != dict(order.manifests):
        raise HostError(
            f"The results of {host.login} are of another bundle: {_told(found)}, and {_told(order.manifests)} was "
            "sent. They were not taken; measure with --again."
        )
    if first.data_sha256 != order.data_sha256:
        raise HostError(
            f"The results of {host.login} are of other data than was sent. They were not taken; use --again."
        )
    if first.incomplete is not None:
        raise HostError(f"The benchmark on {host.login} is not whole: {trouble.plain(first.incomplete)} Use --again.")
    return measured


def _told(manifests: Any) -> str:
    entries: Iterable[tuple[str, str]] = sorted(dict(manifests).items())
    return ", ".join(f"{trouble.plain(name, 60)} (manifest {sha256[:12]})" for name, sha256 in entries) or "of none"
