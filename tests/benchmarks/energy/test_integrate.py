from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.energy.integrate import WrappingCounter, energy_between, heat_between
from temper.benchmarks.energy.sensor import Reading

STEPS = st.lists(st.floats(0.01, 5), min_size=2, max_size=40)


def moments(steps: list[float]) -> list[float]:
    """Uneven moments, from 100 s on."""
    times = [100.0]
    for step in steps:
        times.append(times[-1] + step)
    return times


@given(STEPS, st.floats(0, 1000), st.floats(0, 0.5), st.floats(0, 0.5))
def test_constant_power_gives_power_times_time(steps: list[float], watts: float, left: float, right: float) -> None:
    times = moments(steps)
    start, end = times[0] + left * (times[-1] - times[0]) * 0.9, times[-1] - right * (times[-1] - times[0]) * 0.9
    wanted = pytest.approx(watts * (end - start), rel=1e-9, abs=1e-9)
    assert energy_between([Reading(at, watts=watts) for at in times], start, end) == wanted
    counted = [Reading(at, joules=watts * (at - times[0])) for at in times]
    assert energy_between(counted, start, end) == pytest.approx(watts * (end - start), rel=1e-6, abs=1e-6)


@given(STEPS, st.floats(0, 100), st.floats(0, 100))
def test_power_that_rises_evenly_is_integrated_exactly(steps: list[float], first: float, slope: float) -> None:
    times = moments(steps)
    readings = [Reading(at, watts=first + slope * (at - times[0])) for at in times]
    length = times[-1] - times[0]
    wanted = first * length + slope * length**2 / 2
    assert energy_between(readings, times[0], times[-1]) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(0, 500), min_size=3, max_size=30), st.data())
def test_stretches_add_up(watts: list[float], data: st.DataObject) -> None:
    readings = [Reading(float(at), watts=value) for at, value in enumerate(watts)]
    end = float(len(watts) - 1)
    middle = data.draw(st.floats(0.01, end - 0.01))
    parts = energy_between(readings, 0, middle), energy_between(readings, middle, end)
    assert None not in parts
    assert sum(parts) == pytest.approx(energy_between(readings, 0, end), abs=1e-9)  # type: ignore[arg-type]


@given(st.integers(1, 10**6), st.data())
def test_a_counter_that_wraps_goes_on(full: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, full))
    steps = data.draw(st.lists(st.integers(0, full), max_size=20))
    counter, total = WrappingCounter(full, first), 0
    for step in steps:
        total += step
        assert counter.advance((first + total) % (full + 1)) == total


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        ([Reading(1, watts=5.0)], "one reading"),
        ([Reading(1.5, watts=5.0), Reading(9, watts=5.0)], "it came too late"),
        ([Reading(0, watts=5.0), Reading(2.9, watts=5.0)], "it ended too early"),
        ([Reading(0, watts=5.0), Reading(2), Reading(9, watts=5.0)], "one told nothing"),
        ([Reading(0, joules=5.0), Reading(2, joules=1.0), Reading(9, joules=2.0)], "the counter began anew"),
        ([Reading(0, temperature_c=50.0), Reading(9, temperature_c=50.0)], "no power at all"),
    ],
)
def test_what_is_not_known_is_none_and_never_zero(readings: list[Reading], why: str) -> None:
    assert energy_between(readings, 1, 3) is None, why
    assert heat_between("x", readings, 1, 3).watts_mean is None, why


def test_heat_is_of_the_stretch_alone() -> None:
    none, hot = frozenset[str](), frozenset({"temperature"})
    readings = [
        Reading(0, watts=10, temperature_c=90, clock_mhz=500, throttle=hot),
        Reading(1, watts=10, temperature_c=40, clock_mhz=1000, throttle=hot),
        Reading(2, watts=10, temperature_c=70, clock_mhz=900, throttle=none),
        Reading(3, watts=10, temperature_c=60, clock_mhz=800, throttle=none),
        Reading(4, watts=10, temperature_c=95, clock_mhz=100, throttle=none),
        Reading(5, watts=10, temperature_c=95, clock_mhz=100, throttle=hot),
    ]
    heat = heat_between("x", readings, 1.5, 3.5)
    assert (heat.temperature_start_c, heat.temperature_end_c, heat.temperature_max_c) == (40, 60, 70)
    assert (heat.clock_start_mhz, heat.clock_end_mhz) == (1000, 800)
    assert (heat.throttled, heat.throttle_reasons) == (False, ())
    assert heat.watts_mean == pytest.approx(10)
    # the reading after the end tells of the time since the one before it
    told = heat_between("x", readings, 1.5, 4.5)
    assert (told.throttled, told.throttle_reasons) == (True, ("temperature",))


def test_a_sensor_that_tells_nothing_of_throttling_leaves_it_empty() -> None:
    heat = heat_between("x", [Reading(0, watts=1), Reading(2, watts=1)], 0.5, 1.5)
    assert (heat.throttled, heat.temperature_max_c, heat.clock_end_mhz) == (None, None, None)
