"""How a service is, read from what it leaves in its folder of results; nothing is asked of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ...core.errors import TemperError, UsageError
from ...core.files import MAX_RECORD_BYTES, read_json
from ..supervision.board import Board
from .inspection import GAUGES
from .service import DISK_FREE, SERVICE_FOLDER


@dataclass(frozen=True)
class ServiceStatus:
    """How a service is.

    Attributes:
        running: whether its supervisor is alive.
        held: why it inspects nothing, where its configuration holds a mistake; None if it does not.
        parts: state, process id, restarts, reason and last failure of each part.
        ages: seconds since each sign of life.
        gauges: its counters.
    """

    running: bool
    held: str | None
    parts: dict[str, dict[str, Any]]
    ages: dict[str, float]
    gauges: dict[str, float]

    @property
    def well(self) -> bool:
        """Whether it is at work, all of it."""
        return self.running and self.held is None and all(part["state"] == "running" for part in self.parts.values())

    @property
    def reason(self) -> str:
        """Why it is not, in a sentence."""
        if not self.running:
            return "The service is not running."
        if self.held is not None:
            return f"The service is held: {self.held}"
        bad = [name for name, part in self.parts.items() if part["state"] != "running"]
        name = bad[0]
        return f"{name} is {self.parts[name]['state']}. {self.parts[name]['reason'] or ''}".strip()

    def lines(self) -> list[str]:
        """For people."""
        lines = ["running" if self.running else "not running"]
        if self.running and self.held is not None:
            lines = [f"held: {self.held}"]
        for name, part in self.parts.items():
            more = f", restarted {part['restarts']} times" if part["restarts"] else ""
            reason = f": {part['reason']}" if part["reason"] else ""
            last = part.get("last_failure")
            if last and not reason:
                reason = f", the last time at {last['time']}: {last['reason']}"
            lines.append(f"{name}: {part['state']}{more}{reason}")
        if self.gauges:
            lines.append(", ".join(f"{name} {value:.0f}" for name, value in self.gauges.items()))
        old = {name: age for name, age in self.ages.items() if age > 2}
        lines += [f"{name}: last sign of life {age:.1f} s ago" for name, age in old.items()] if self.running else []
        return lines

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "well": self.well}


def service_status(folder: Path) -> ServiceStatus:
    """How the service in a folder of results is.

    Raises:
        UsageError: if none ever worked there.
    """
    state = folder / SERVICE_FOLDER / "state.json"
    if not state.is_file():
        raise UsageError(f"No service has worked in {folder}. Name the results.folder of a line.")
    told = read_json(state, MAX_RECORD_BYTES)
    if not isinstance(told, dict) or not isinstance(told.get("parts"), dict):
        raise TemperError(f"{state} is not what a service writes.")
    board = Board(folder / SERVICE_FOLDER / "board")
    alive = board.age("supervisor")
    running = alive is not None and alive < 10 and psutil.pid_exists(int(told.get("pid", -1)))
    ages = {name: age for name in board.names if name not in GAUGES and (age := board.age(name)) is not None}
    values = {name: value for name in GAUGES if (value := board.get(name)) is not None}
    quiet = ("hang seconds", DISK_FREE)
    names = [name for name in ages if not name.endswith((" ready", " restarts")) and name not in quiet]
    held = str(told.get("reason")) if told.get("state") == "held" else None
    return ServiceStatus(running, held, told["parts"], {name: ages[name] for name in names}, values)
