"""Which sensor stands for a candidate where there is room for one: a line of a table, a bar, a point of the history."""

from __future__ import annotations

from collections.abc import Sequence

from .find import PROCESSOR_RUNTIMES
from .rows import EnergyRow


def leading_energy(rows: Sequence[EnergyRow], runtime: str) -> EnergyRow | None:
    """The row of the sensor that covers the most of what a candidate keeps busy; None where there is none.

    That is a module's input before anything else, then the board of the GPU for what runs on one, then the processor's
    packages.

    Args:
        rows: of one candidate, an entry per sensor.
        runtime: that it ran on.
    """
    order = ("module", "processor") if runtime in PROCESSOR_RUNTIMES else ("module", "gpu", "processor")
    fit = [row for row in rows if row.sensor.part in order]
    return min(fit, key=lambda row: (row.sensor.method is None, order.index(row.sensor.part)), default=None)
