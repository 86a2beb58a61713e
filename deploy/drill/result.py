"""One scenario's task, and what came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.events import Event, Reporter, silent
from .audit import Audit


@dataclass
class DrillResult:
    """What came of a scenario.

    Attributes:
        scenario: its name.
        times: how often something was broken.
        seconds: that it took.
        recoveries: seconds until verdicts, or messages, came again, each time.
        audit: of the frames.
        figures: further numbers.
        problems: a sentence for each thing that is not as it must be; none if it is passed.
    """

    scenario: str
    times: int
    seconds: float = 0.0
    recoveries: list[float] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return not self.problems and not self.audit.problems

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "audit": vars(self.audit), "passed": self.passed}


@dataclass
class Drill:
    """One scenario at work.

    Attributes:
        folder: of this scenario; new.
        bundle: that inspects.
        times: how often something is broken, or minutes, as the scenario says.
        report: hears of each time.
        rng: chooses moments.
        patience: by how much a recovery may take longer than on a machine that has nothing else to do.
        public_key: that must have signed the bundle; None asks for no signature.
    """

    folder: Path
    bundle: Path
    times: int
    report: Reporter = silent
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    patience: float = 1.0
    public_key: Path | None = None

    def told(self, scenario: str, done: int) -> None:
        """Tell that something was broken, and mended."""
        self.report(Event("step", scenario, {"done": done, "total": self.times, "unit": "times"}))

    def pause(self, low: float, high: float) -> None:
        """Wait for a while that nobody knows beforehand."""
        time.sleep(self.rng.uniform(low, high))


def figures_text(result: DrillResult) -> Mapping[str, str]:
    """The figures of a result as people read them."""
    recoveries = sorted(result.recoveries)
    told = {
        "sent": str(result.audit.sent),
        "verdicts": ", ".join(f"{name} {count}" for name, count in sorted(result.audit.verdicts.items())),
        "in gaps": f"{result.audit.in_gaps} in {result.audit.gaps}",
    }
    if recoveries:
        told["back after"] = f"{recoveries[len(recoveries) // 2]:.1f} s, at most {recoveries[-1]:.1f} s"
    return {**told, **{name: f"{value:g}" for name, value in result.figures.items()}}
