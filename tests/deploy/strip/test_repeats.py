"""A damaged roll is found, and chance is not taken for one."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from temper.deploy.strip.defect import Joined
from temper.deploy.strip.repeats import Repeats


def defect(position_m: float, across_mm: float = 200.0, label: int = 0) -> Joined:
    return Joined(label, 0.9, position_m, across_mm, 10.0, 10.0, (0, 0), False, 10.0)


def periods(places: list[tuple[float, float]]) -> list[float | None]:
    repeats = Repeats()
    return [repeats.add(defect(place, across)) for place, across in sorted(places)]


@pytest.mark.parametrize("roll", [0.5, 1.57, 2.2, 6.3])
def test_a_damaged_roll_is_found_at_its_fourth_mark(roll: float) -> None:
    found = periods([(5 + roll * turn, 200) for turn in range(8)])
    assert found[:3] == [None] * 3
    assert found[3:] == [pytest.approx(roll, abs=0.005)] * 5


def test_a_missed_mark_and_other_defects_do_not_hide_it() -> None:
    rng = np.random.default_rng(3)
    marks = [(5 + 1.9 * turn + rng.normal(0, 0.003), 200 + rng.normal(0, 3)) for turn in range(12) if turn != 5]
    others = [(rng.uniform(0, 30), rng.uniform(0, 1200)) for _ in range(20)]
    found = [period for period in periods(marks + others) if period is not None]
    assert len(found) >= 6
    right = [period for period in found if abs(period - 1.9) < 0.01]
    assert len(right) >= len(found) - 1, "right after the missed one a multiple may be all there is to see"


def test_other_lanes_and_classes_are_not_counted() -> None:
    repeats = Repeats()
    found = [repeats.add(defect(2.0 * turn, 100.0 * turn, turn % 2)) for turn in range(10)]
    assert found == [None] * 10


@pytest.mark.parametrize("per_metre", [0.05, 0.3, 1.0, 4.0])
def test_chance_is_hardly_taken_for_a_roll(per_metre: float) -> None:
    """At most some in a thousand, in one lane, whatever the density."""
    told = total = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        places = np.sort(rng.uniform(0, 400 / per_metre, 400))
        found = periods([(float(place), 200.0) for place in places])
        told += sum(period is not None for period in found)
        total += len(found)
    assert told / total < 0.004


def test_memory_is_bounded_by_the_largest_roll() -> None:
    repeats = Repeats()
    for turn in range(5000):
        repeats.add(defect(turn * 1.0))
    assert len(repeats._seen["", 0]) <= 8 * 4 + 2


def test_the_sides_of_the_strip_have_rolls_of_their_own() -> None:
    repeats = Repeats()
    found = [repeats.add(replace(defect(5 + 0.7 * n), side=("top", "bottom")[n % 2])) for n in range(12)]
    assert {round(period, 3) for period in found if period is not None} == {1.4}


def test_a_lane_full_of_defects_takes_little_time() -> None:
    repeats, rng = Repeats(), np.random.default_rng(0)
    places = np.cumsum(rng.exponential(1 / 60, 2300)).tolist()
    for place in places[:2000]:
        repeats._seen.setdefault(("", 0), deque(maxlen=2000)).append((place, 205.0))
    started = time.process_time()
    assert [repeats.add(defect(place)) for place in places[2000:]] == [None] * 300
    assert time.process_time() - started < 1.0
