"""Whether the simulation of `temper plan` foretells what a real loop on this machine does.

    .venv/bin/python scripts/plan_agreement.py small.temper --data data/neu-det

For each utilisation frames really arrive at that rate (`benchmarks/scenarios/line.py`), and the same line is simulated
twice: from single-stream samples that were taken in turns with it, as a plan is (A), and from how long the calls took
on the line itself (B). B shows whether the queueing is right; from A to B is what a call takes longer, or shorter,
between pauses than in an unbroken stream. Three calls are held against it: the bundle's; one that sleeps for
durations drawn from a lognormal distribution, which other programs disturb less; and the same on a clock of its own, in
the same loop, which nothing disturbs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol
from unittest.mock import patch

import numpy as np
from loaded_bundle import PICTURES, bundle_options, load_bundle
from temper.benchmarks.machine import machine_state, now
from temper.benchmarks.plan.distribution import of_samples
from temper.benchmarks.plan.simulation import SimulatedLine, simulate
from temper.benchmarks.round_bootstrap import percentile
from temper.benchmarks.scenarios import line, streams
from temper.benchmarks.scenarios.load import Load
from temper.core.errors import TemperError
from temper.detection.intervals import share_interval

UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
QUEUE = 4
PILOTS = 3


@dataclass(frozen=True)
class Taken:
    """One turn: milliseconds end to end and of the calls alone, and what was missed."""

    answers: list[float]
    calls: list[float]
    late: int
    dropped: int


class Measured(Protocol):
    """Takes one turn of a load."""

    def __call__(self, load: Load) -> Taken: ...


def of_bundle(asked: argparse.Namespace) -> Measured:
    """The bundle's own call, loaded and warm."""
    session, *_ = load_bundle(asked)

    def measured(load: Load) -> Taken:
        answer = session.measure({"load": asdict(load), "driver": "temper"})
        stages = [values for stage, values in answer["samples_ms"].items() if stage != "end_to_end"]
        calls = np.sum(stages, axis=0).tolist()
        return Taken(answer["samples_ms"]["end_to_end"], calls, answer["late"], answer["dropped"])

    return measured


class VirtualClock:
    """Stands in for ``time`` in the drivers: the same loop, and no other program takes part."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """Seconds since the clock was made."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Go on at once."""
        self.now += seconds


def of_sleep(clock: Any = time, median_ms: float = 10.0, tail: float = 2.0) -> Measured:
    """A call that sleeps; p99 is ``tail`` times the median."""
    drawn = np.random.default_rng(0).lognormal(np.log(median_ms), np.log(tail) / 2.326, 100_000)
    place = [0]

    def call(_: Sequence[int]) -> dict[str, float]:
        place[0] = (place[0] + 1) % len(drawn)
        started = clock.perf_counter()
        clock.sleep(drawn[place[0]] / 1000)
        return {"compute": 1000 * (clock.perf_counter() - started)}

    def measured(load: Load) -> Taken:
        with patch.object(line, "time", clock), patch.object(streams, "time", clock):
            turn = (line.drive_line if load.scenario == "line" else streams.drive_streams)(call, load)
        answers, calls = ([sample[stage] for sample in turn.samples] for stage in ("end_to_end", "compute"))
        return Taken(answers, calls, turn.late, turn.dropped)

    return measured


def compare(name: str, measured: Measured, asked: argparse.Namespace) -> None:
    """Print one table."""

    def load(scenario: Any, rate: float = 0.0) -> Load:
        deadline = 1000 / rate if rate else 0.0
        return Load(scenario, 1, PICTURES, asked.seconds, 10, 60.0, 10.0, 8, rate, deadline, QUEUE)

    # the rates rest on a few turns, as a moment may be a slow one
    mean = float(np.mean([np.mean(measured(load("single-stream")).answers) for _ in range(PILOTS)]))
    alone: list[list[float]] = []
    found: dict[float, list[Taken]] = {share: [] for share in UTILISATIONS}
    for repetition in range(asked.repeats):
        alone.append(measured(load("single-stream")).answers)
        for share in UTILISATIONS if repetition % 2 == 0 else UTILISATIONS[::-1]:
            found[share].append(measured(load("line", 1000 * share / mean)))
        print(f"{name}: repetition {repetition + 1} of {asked.repeats}", file=sys.stderr)
    latency = of_samples(alone, None)
    middle, slow = f"median {latency.median_ms:.2f} ms", f"p99 {_ms(latency.p99_ms)} ms"
    print(f"\n{name}: {latency.shape} of a single stream, {middle}, {slow}\n")
    heads = ("frames/s", "of the mean call", "frames", "call on the line", "p50 real", "A", "B", "p99 real", "A", "B")
    print(f"| {' | '.join((*heads, 'missed real', 'A', 'B'))} |")
    print(f"|{' --- |' * (len(heads) + 3)}")
    for share, turns in found.items():
        rate = 1000 * share / mean
        on_line = of_samples([turn.calls for turn in turns], None)
        foretold = [
            simulate(SimulatedLine(one, 1, 1, 1, 1000 / rate, 1000 / rate, QUEUE), asked.seed)
            for one in (latency, on_line)
        ]
        ended = np.sort(np.concatenate([turn.answers + [np.inf] * turn.dropped for turn in turns]))
        missed = share_interval(
            np.asarray([turn.late + turn.dropped for turn in turns]),
            np.asarray([len(turn.answers) + turn.dropped for turn in turns]),
            alike=False,
        )
        cells = [f"{rate:.1f}", f"{100 * share:.0f} %", str(len(ended)), _ms(on_line.median_ms)]
        cells += [_ms(percentile(ended, 50)), *(_ms(one.p50_ms) for one in foretold)]
        cells += [_ms(percentile(ended, 99)), *(_ms(one.p99_ms) for one in foretold)]
        cells += [_share(missed), *(_share(one.miss_share) for one in foretold)]
        print(f"| {' | '.join(cells)} |")


def _ms(value: float | None) -> str:
    return "dropped" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _share(share: Any) -> str:
    return f"{100 * share.value:.2f} % ({100 * share.low:.2f} to {100 * share.high:.2f})"


def main() -> None:
    """Print the tables, and the machine."""
    parser = bundle_options(__doc__, repeats=10, seconds=3.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    before = machine_state()
    compare(f"{asked.bundle.name} {asked.precision} on {asked.runtime}", of_bundle(asked), asked)
    compare("a call that sleeps", of_sleep(), asked)
    undisturbed = argparse.Namespace(**{**vars(asked), "seconds": 60.0})
    compare("the same on a clock of its own", of_sleep(VirtualClock()), undisturbed)
    after = machine_state()
    busy = [f"{100 * state.other_cpu_share:.0f} %" for state in (before, after) if state.other_cpu_share is not None]
    print(
        f"\n{now()}, {before.cpu_model}, {before.usable_cores} cores; other programs took {' and '.join(busy)} of them."
    )


if __name__ == "__main__":
    try:
        main()
    except TemperError as error:
        sys.exit(f"Error: {error}")
