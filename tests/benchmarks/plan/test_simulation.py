from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from plan_parts import capability, demand, estimated, steady
from temper.benchmarks.plan.distribution import BLOCK, of_estimate, of_samples
from temper.benchmarks.plan.simulation import SimulatedLine, simulate, simulate_supply
from temper.benchmarks.plan.supply import Terms, supply
from temper.benchmarks.scenarios import line
from temper.benchmarks.scenarios.load import Load

LINE = SimulatedLine(
    latency=of_samples([[2.0] * 700], None), batch=1, tiles=3, cameras=1, interval_ms=10, deadline_ms=10, queue=16
)


def test_a_line_without_chance_is_reckoned_exactly() -> None:
    result = simulate(LINE)
    assert (result.p50_ms, result.p99_ms, result.dropped) == (6.0, 6.0, 0)
    assert result.miss_share.value == 0
    assert result.utilisation == pytest.approx(0.6)
    assert (result.confirms, result.contradiction()) == (True, None)


def test_frames_of_all_cameras_wait_for_one_another() -> None:
    result = simulate(replace(LINE, cameras=3, interval_ms=30, deadline_ms=15))
    # 6, 12 and 18 ms: the last of three is late
    assert (result.p50_ms, result.p99_ms) == (12.0, 18.0)
    assert result.miss_share.value == pytest.approx(1 / 3)
    assert result.contradiction("~") == (
        "simulation: p99 is ~18.0 ms and ~33.33 % of the frames are missed, with 15.0 ms until a result is due"
    )


def test_frames_that_wait_are_taken_together() -> None:
    result = simulate(replace(LINE, cameras=4, batch=6, interval_ms=30, deadline_ms=15))
    # two frames of three tiles fill a call of six
    assert (result.p50_ms, result.p99_ms) == (2.0, 4.0)


def test_an_overloaded_line_drops_its_oldest_frames() -> None:
    result = simulate(replace(LINE, interval_ms=3, queue=2))
    # a frame takes 6 ms and one comes every 3 ms: every second is dropped, as `drive_line` would
    assert result.dropped / result.frames == pytest.approx(0.5, abs=0.01)
    assert result.p99_ms is None
    assert "% of the frames are missed" in str(result.contradiction())


def test_waiting_times_are_those_of_lindley() -> None:
    latency = of_estimate(7.0, (7.0, 7.0), tail=2.5)
    simulated = replace(LINE, latency=latency, tiles=1, queue=10_000, deadline_ms=30)
    result = simulate(simulated, seed=1, frames=60_000)
    service = latency.draw(np.random.default_rng(2), 200_000)
    waited, answers = 0.0, np.empty(len(service))
    for place, took in enumerate(service):
        answers[place] = waited + took
        waited = max(0.0, waited + took - simulated.interval_ms)
    assert result.p50_ms == pytest.approx(np.percentile(answers, 50), rel=0.03)
    assert result.p99_ms == pytest.approx(np.percentile(answers, 99), rel=0.06)
    assert result.miss_share.value == pytest.approx(np.mean(answers > 30), abs=0.003)


class VirtualClock:
    """Stands in for ``time``: the real loop, undisturbed by other programs."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("interval_ms", "queue"), [(20, 4), (14, 4), (11, 4), (8, 2)])
def test_it_foretells_the_loop_that_really_drives_a_line(
    interval_ms: float, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    monkeypatch.setattr(line, "time", clock)
    durations = iter(np.random.default_rng(0).lognormal(np.log(10), np.log(2) / 2.326, 100_000).tolist())

    def call(_: Sequence[int]) -> dict[str, float]:
        clock.sleep(next(durations) / 1000)
        return {}

    load = Load("line", 1, 1, 0, 40_000, 1e9, 10, 8, 1000 / interval_ms, interval_ms, queue)
    turn = line.drive_line(call, load)
    answers = np.sort([sample["end_to_end"] for sample in turn.samples])
    samples = np.random.default_rng(1).lognormal(np.log(10), np.log(2) / 2.326, 40_000)
    latency = of_samples([part.tolist() for part in np.array_split(samples, 10)], None)
    foretold = simulate(SimulatedLine(latency, 1, 1, 1, interval_ms, interval_ms, queue), frames=40_000)
    assert foretold.p50_ms is not None
    if not turn.dropped:
        assert foretold.p50_ms == pytest.approx(np.percentile(answers, 50), rel=0.03)
        assert foretold.p99_ms == pytest.approx(np.percentile(answers, 99), rel=0.06)
    assert foretold.miss_share.value == pytest.approx((turn.late + turn.dropped) / load.samples, abs=0.02)
    assert foretold.dropped / foretold.frames == pytest.approx(turn.dropped / load.samples, abs=0.01)


def test_the_seed_settles_everything() -> None:
    simulated = replace(LINE, latency=of_estimate(2.0, (1.5, 2.5)))
    assert simulate(simulated, seed=3) == simulate(simulated, seed=3)
    assert simulate(simulated, seed=3) != simulate(simulated, seed=4)


def test_of_an_estimate_the_far_end_is_simulated() -> None:
    latency = of_estimate(2.0, (1.0, 3.0), tail=1.5)
    drawn = latency.draw(np.random.default_rng(0), 100_000)
    assert np.median(drawn) == pytest.approx(3.0, rel=0.01)
    assert np.percentile(drawn, 99) == pytest.approx(4.5, rel=0.02)


def test_neighbouring_samples_stay_together() -> None:
    # a slow moment of 50 calls: drawn one by one, slow calls would hardly ever follow one another
    samples = [1.0] * 950 + [9.0] * 50
    drawn = of_samples([samples], None).draw(np.random.default_rng(0), 50_000)
    slow = drawn == 9
    assert slow.mean() == pytest.approx(0.05, abs=0.02)
    assert slow[1:][slow[:-1]].mean() > 1 - 3 / BLOCK


def test_no_block_goes_from_one_round_into_the_next() -> None:
    drawn = of_samples([[1.0] * 64, [5.0] * 64], None).draw(np.random.default_rng(0), 32 * 1000)
    assert all(len(set(block)) == 1 for block in drawn.reshape(-1, 32).tolist())
    assert drawn.mean() == pytest.approx(3, abs=0.3)


def test_short_rounds_are_drawn_too() -> None:
    assert set(of_samples([[1.0], [2.0, 3.0], []], None).draw(np.random.default_rng(0), 200)) == {1.0, 2.0, 3.0}


def test_what_the_arithmetic_allows_is_confirmed() -> None:
    for one in (capability(2.5), estimated(2.0)):
        planned = supply(one, demand(cameras=4), Terms())
        assert planned.rejected is None
        assert simulate_supply(planned, queue=16).confirms


def test_steady_samples_have_a_p99() -> None:
    assert steady(2.0).p99_ms == pytest.approx(2.0, rel=0.01)
