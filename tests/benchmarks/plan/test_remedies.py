from __future__ import annotations

from dataclasses import replace

import pytest
from plan_parts import capability, demand
from temper.benchmarks.plan.capability import Capability, Place
from temper.benchmarks.plan.ranking import rank
from temper.benchmarks.plan.remedies import what_would_help, with_remedy
from temper.benchmarks.plan.supply import Terms, supply


def helped(*devices: Capability, **terms: float) -> str:
    asked = Terms(**terms)  # type: ignore[arg-type]
    rows = rank([with_remedy(supply(one, demand(), asked), asked) for one in devices], asked)
    assert all(row.rank is None for row in rows)
    return what_would_help(rows, asked)


def test_power_is_named_before_all_else() -> None:
    hungry = capability(place=Place("large", "Large", watts=200.0))
    assert helped(capability(place=Place("small", "Small", watts=50.0)), hungry, max_power_w=10) == (
        "50 W of power, with which 1 x small would do"
    )


def test_watts_that_nobody_gave() -> None:
    assert helped(capability(place=Place("pc", "PC")), max_power_w=10) == (
        "its watts: pc keeps up, and nobody said what it takes"
    )


def test_more_cameras_or_a_slower_strip() -> None:
    told = helped(capability(9.0), capability(30.0, place=Place("slower", "Slower")))
    assert told.startswith("--cameras ") and " x box would do, or a strip of " in told
    assert told.endswith(" m/s, which box keeps up with")
    speed = float(told.split("a strip of ")[1].split(" ")[0])
    assert 0 < speed < demand().geometry.speed_m_s
    slow = demand(speed_m_s=0.999 * speed)
    assert supply(capability(9.0), slow, Terms()).devices is not None


def test_what_takes_too_much_power_is_no_help() -> None:
    fast = capability(9.0, place=Place("board", "Board", watts=5.0, watts_of="board"))
    slow = capability(12.0, place=Place("small", "Small", watts=5.0))
    told = helped(fast, slow, max_power_w=20)
    assert "board" not in told and told.endswith(" m/s, which small keeps up with")
    assert "--cameras" not in told, "so many would take more than 20 W"
    assert " x board would do" in helped(fast, slow)


@pytest.mark.parametrize("why", ["its p99 needs 662 samples, 99 were taken; measure with --samples 700"])
def test_figures_that_cannot_be_used(why: str) -> None:
    told = helped(replace(capability(), not_usable=why))
    assert told == f"usable figures: of box fp32 onnxruntime, batch 1, {why}"
