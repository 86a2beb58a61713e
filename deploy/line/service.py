"""A line as a service: the supervisor with its two parts."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from ...core.files import explain_os_errors
from ...core.locks import held_file
from ..supervision.guards import DiskGuard
from ..supervision.part import Limits, Part
from ..supervision.supervisor import Supervisor
from . import inspection, publishing
from .config import LineConfig

#: Below the folder of results: what the processes of the service share, and what 'temper deploy status' reads.
SERVICE_FOLDER = "service"
#: Gauge of the bytes that are free where results go.
DISK_FREE = "disk free bytes"
LOCK_NAME = "lock"
_GIGABYTE = 1e9
_INSPECTION = f"{inspection.__name__}:run"
_PUBLISHING = f"{publishing.__name__}:run"


def run_line(config: LineConfig, bundle: Path, public_key: Path | None, stop: threading.Event) -> bool:
    """Run a line until ``stop`` is set.

    Args:
        config: of the line.
        bundle: what it inspects with.
        public_key: that must have signed it; None asks for no signature.
        stop: ends it in good order.

    Returns:
        Whether everything ended by itself and well, which only lines whose sources end do.

    Raises:
        TemperError: if another service works in the same folder of results.
    """
    folder = Path(config.results.folder) / SERVICE_FOLDER
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    heard, told = os.pipe()
    for descriptor in (heard, told):
        os.set_blocking(descriptor, False)
    plain = json.loads(config.model_dump_json())
    supervision = config.supervision
    times = {
        "start_seconds": supervision.start_seconds,
        "hang_seconds": supervision.hang_seconds,
        "stop_seconds": supervision.stop_seconds,
        "memory_bytes": None if supervision.memory_megabytes is None else int(supervision.memory_megabytes * (1 << 20)),
    }
    sinks = publishing.sinks_of(config)
    parts = [
        Part(
            "inspection",
            _INSPECTION,
            {
                "config": plain,
                "bundle": str(bundle),
                "public_key": None if public_key is None else str(public_key),
                "wake": told if sinks else None,
            },
            beats=inspection.beats_of(config),
            pass_fds=(told,),
            **times,  # type: ignore[arg-type]
        )
    ]
    if sinks:
        board = str(folder / "board")
        parts.append(
            Part(
                "publishing",
                _PUBLISHING,
                {"config": plain, "board": board, "wake": heard},
                beats=publishing.beats_of(config),
                pass_fds=(heard,),
                # where all sources have an end: what was found is told, and then the service ends
                follows="inspection",
                **times,  # type: ignore[arg-type]
            )
        )
    limits = Limits(supervision.restarts, supervision.restart_window_seconds)
    taken = f"Another service of Temper works in {config.results.folder}. Stop it, or choose another results.folder."
    with held_file(folder / LOCK_NAME, taken):
        disk = DiskGuard(
            folder,
            config.results.keep.free_gigabytes * _GIGABYTE,
            lambda free: supervisor.board.set(DISK_FREE, free),
        )
        supervisor = Supervisor(parts, folder, (*inspection.GAUGES, "hang seconds", DISK_FREE), limits, disk)
        supervisor.board.set("hang seconds", supervision.hang_seconds)
        try:
            return supervisor.run(stop)
        finally:
            os.close(heard)
            os.close(told)
