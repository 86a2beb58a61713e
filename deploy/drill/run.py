"""All scenarios by name."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import scenarios, trouble
from .result import Drill, DrillResult

SCENARIOS: dict[str, Callable[[Drill], DrillResult]] = {
    "camera": scenarios.camera,
    "broker": scenarios.broker,
    "plant": trouble.plant,
    "kill": scenarios.kill,
    "disk": trouble.disk,
    "clock": trouble.clock,
    "frames": trouble.frames,
    "overload": scenarios.overload,
    "soak": trouble.soak,
}
#: How often each scenario breaks something where nothing else is asked for: files for frames, minutes for overload
#: and soak.
TIMES: dict[str, int] = {
    "camera": 50,
    "broker": 20,
    "plant": 10,
    "kill": 50,
    "disk": 5,
    "clock": 20,
    "frames": 10_000,
    "overload": 10,
    "soak": 60,
}


def run_scenario(name: str, drill: Drill) -> DrillResult:
    """Put a line through a scenario.

    Raises:
        TemperError: if the rig cannot be set up, or the line does not come back at all.
    """
    started = time.monotonic()
    result = SCENARIOS[name](drill)
    result.seconds = round(time.monotonic() - started, 1)
    return result
