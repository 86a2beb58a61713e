"""Which of the devices to buy: by arithmetic first, and the first three held against the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from .simulation import SimulationResult, simulate_supply
from .supply import Supply, Terms, fastest

#: Plans that are simulated before they are printed.
CONFIRMED = 3


@dataclass(frozen=True)
class PlanRow:
    """One capability in the plan.

    Attributes:
        rank: from 1 on; None of what is rejected.
        supply: what it carries.
        simulation: what the simulation says of it; None where it was not simulated.
        fastest_m_s: the fastest strip that the planned devices keep up with; None of what is rejected.
        reason: why it is rejected; None if it is not.
    """

    rank: int | None
    supply: Supply
    simulation: SimulationResult | None = None
    fastest_m_s: float | None = None
    reason: str | None = None


def order(supply: Supply) -> tuple[float, int, bool, float, float]:
    """What comes first: low cost, then few devices, a measurement before an estimate, few watts, a low load.

    What has no price comes after what has one, and likewise for watts; those of a board without its PC are not known.
    """
    return (
        inf if supply.cost is None else supply.cost,
        supply.devices or 0,
        supply.capability.kind == "estimated",
        inf if supply.whole_watts is None else supply.whole_watts,
        supply.load or 0.0,
    )


def rank(supplies: Sequence[Supply], terms: Terms, seed: int = 0, confirmed: int = CONFIRMED) -> list[PlanRow]:
    """Order what carries the line, simulate until the first are confirmed, and put what is rejected last.

    A plan that the simulation contradicts falls: it is rejected with what the simulation said.

    Args:
        supplies: one for each capability.
        terms: what was asked.
        seed: of the simulation.
        confirmed: how many have to be confirmed; fewer where there are no more.

    Returns:
        Ranked rows first, then the rejected ones in the order they were given, those that fell before them.
    """
    carried = sorted((one for one in supplies if one.rejected is None), key=order)
    kept: list[PlanRow] = []
    fallen: list[PlanRow] = []
    for one in carried:
        result = simulate_supply(one, terms.queue, seed) if len(kept) < confirmed else None
        if result is not None and not result.confirms:
            fallen.append(PlanRow(None, one, result, reason=result.contradiction(one.capability.mark)))
            continue
        speed = fastest(one.capability, one.demand, terms, one.devices or 0)
        kept.append(PlanRow(len(kept) + 1, one, result, speed))
    rejected = [PlanRow(None, one, reason=one.rejected) for one in supplies if one.rejected is not None]
    return [*kept, *fallen, *rejected]
