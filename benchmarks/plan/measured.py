"""Folders of measurements, and what the machines they were taken on are called so that no two are confused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.errors import UsageError
from ..measurement import MEASUREMENTS_NAME
from ..remote.fetch import read_record


@dataclass(frozen=True)
class MeasuredFolder:
    """One folder that ``temper bench run --out`` or ``temper bench remote`` wrote.

    Attributes:
        path: of the folder.
        name: the shortest end of the path that no other folder has: ``pc``, or ``hall/pc`` beside ``mill/pc``.
        device: ``DEVICE`` or ``DEVICE@MODE`` that it was said to be; None if nobody said.
        host: of ``temper bench remote``, with its address; empty if it was measured here.
        named_twice: whether another folder is said to be the same device in the same mode.
    """

    path: Path
    name: str
    device: str | None
    host: str
    named_twice: bool = False


def measured_folders(texts: Sequence[str]) -> list[MeasuredFolder]:
    """The folders that ``--measured`` names, each once; a folder of such folders counts as all of them.

    Args:
        texts: ``DIR`` or ``DIR=DEVICE@MODE``.

    Raises:
        UsageError: if one lacks its folder or its device.
    """
    found: dict[tuple[Path, str | None], Path] = {}
    for whole, told in (_folder_and_device(text) for text in texts):
        for folder in _inner_folders(whole):
            found.setdefault((folder.resolve(), told), folder)
    names = shortest_names(list(found.values()))
    folders = []
    for ((_, told), folder), name in zip(found.items(), names, strict=True):
        record = read_record(folder)
        host = "" if record is None else _host(record.host, record.address)
        folders.append(MeasuredFolder(folder, name, told or (record.device if record else None), host))
    devices = [one.device.lower() for one in folders if one.device is not None]
    return [
        replace(one, named_twice=one.device is not None and devices.count(one.device.lower()) > 1) for one in folders
    ]


def shortest_names(folders: Sequence[Path]) -> list[str]:
    """The shortest end of each path that is not the end of another, with forward slashes."""
    parts = [Path(os.path.abspath(folder)).parts for folder in folders]
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        length = next(n for n in range(1, len(own) + 1) if n == len(own) or all(o[-n:] != own[-n:] for o in others))
        names.append(Path(*own[-length:]).as_posix())
    return names


def _host(name: str, address: str) -> str:
    return f"host {name}" if address in (name, "") else f"host {name} ({address})"


def _folder_and_device(text: str) -> tuple[Path, str | None]:
    """``DIR`` or ``DIR=DEVICE@MODE``; a folder whose name has an equals sign is that folder."""
    folder, equals, device = text.rpartition("=")
    if not equals or Path(text).is_dir():
        return Path(text), None
    if not folder or not device:
        raise UsageError(
            f"--measured {text}: write the folder, or folder and device, as in {folder or 'DIR'}=DEVICE@MODE."
        )
    return Path(folder), device


def _inner_folders(folder: Path) -> list[Path]:
    """The folder itself, or those in it: of several hosts each has its own."""
    if (folder / MEASUREMENTS_NAME).exists() or not folder.is_dir():
        return [folder]
    return sorted(inner for inner in folder.iterdir() if (inner / MEASUREMENTS_NAME).is_file()) or [folder]
