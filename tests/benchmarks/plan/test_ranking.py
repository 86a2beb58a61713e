from __future__ import annotations

import numpy as np
from plan_parts import capability, demand, estimated
from temper.benchmarks.plan.capability import Capability, Place
from temper.benchmarks.plan.distribution import of_samples
from temper.benchmarks.plan.ranking import rank
from temper.benchmarks.plan.supply import Supply, Terms, supply

FOUR = demand(cameras=4)


def supplies(*ones: Capability, terms: Terms) -> list[Supply]:
    return [supply(one, FOUR, terms) for one in ones]


def named(key: str, watts: float | None = 20.0) -> Place:
    return Place(key, key, "", watts)


def test_cost_comes_first_then_devices_then_measurements_then_watts() -> None:
    terms = Terms(prices={"cheap": 100, "dear": 900})
    found = rank(
        supplies(
            estimated(1.0, place=named("unpriced-b", 1)),
            capability(1.0, place=named("unpriced-a")),
            capability(1.0, place=named("thrifty", 5)),
            capability(1.0, place=named("dear")),
            capability(2.5, place=named("cheap")),
            terms=terms,
        ),
        terms,
    )
    assert [row.supply.capability.place.device for row in found] == [
        "cheap", "dear", "thrifty", "unpriced-a", "unpriced-b",
    ]  # fmt: skip
    assert [row.rank for row in found] == [1, 2, 3, 4, 5]
    assert [row.simulation is not None for row in found] == [True, True, True, False, False]
    assert all(row.fastest_m_s is not None and row.fastest_m_s > 3 for row in found)


def test_what_the_simulation_contradicts_falls() -> None:
    # a slow moment in each round: p99 of the samples does not see it, and all that comes in it is late
    rounds = [[1.0] * 990 + [60.0] * 9 for _ in range(4)]
    treacherous = capability(latency=of_samples(rounds, None), place=named("treacherous", 1))
    assert np.percentile(np.concatenate(rounds), 99) == 1.0
    found = rank(supplies(treacherous, capability(2.0), terms=Terms()), Terms())
    assert [(row.supply.capability.place.device, row.rank) for row in found] == [("box", 1), ("treacherous", None)]
    fallen = found[1]
    assert fallen.supply.rejected is None
    assert fallen.simulation is not None
    assert fallen.reason is not None
    assert fallen.reason.startswith("simulation: ")


def test_rejected_ones_come_last_with_their_reason() -> None:
    found = rank(supplies(capability(50.0), capability(2.0), terms=Terms()), Terms())
    assert [row.rank for row in found] == [1, None]
    assert found[1].reason is not None
    assert found[1].reason.startswith("compute: ")
    assert (found[1].simulation, found[1].fastest_m_s) == (None, None)
