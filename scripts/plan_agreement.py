"""Whether the simulation of `temper plan` foretells what a real loop on this machine does.

    .venv/bin/python scripts/plan_agreement.py small.temper --data data/neu-det

For each utilisation frames really arrive at that rate (`benchmarks/scenarios/line.py`), and the same line is simulated
from nothing but single-stream samples that were taken in turns with it. Two calls are held against the simulation: the
bundle's, and one that sleeps for durations drawn from a lognormal distribution, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from temper.benchmarks.machine import machine_state, now
from temper.benchmarks.plan.distribution import of_samples
from temper.benchmarks.plan.simulation import SimulatedLine, simulate
from temper.benchmarks.round_bootstrap import percentile
from temper.benchmarks.scenarios.line import drive_line
from temper.benchmarks.scenarios.load import Load, Turn
from temper.benchmarks.scenarios.streams import drive_streams
from temper.benchmarks.worker import Session
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.detection.dataset import load_split
from temper.detection.intervals import share_interval

UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
PICTURES = 64
QUEUE = 4


class Measured(Protocol):
    """Takes a load, gives end-to-end milliseconds, late and dropped."""

    def __call__(self, load: Load) -> tuple[list[float], int, int]: ...


def of_bundle(asked: argparse.Namespace) -> Measured:
    """The bundle's own call, loaded and warm."""
    data = load_split(asked.data, asked.split)
    session = Session()
    session.load(
        {
            "bundle": str(asked.bundle),
            "variant": open_bundle(asked.bundle).variant(asked.precision).name,
            "runtime": asked.runtime,
            "batch": 1,
            "threads": asked.threads,
            "pictures": [str(data.image_path(sample)) for sample in data.samples[:PICTURES]],
        }
    )
    session.warm_up({"seconds": 5.0, "sizes": [1]})

    def measured(load: Load) -> tuple[list[float], int, int]:
        answer = session.measure({"load": asdict(load), "driver": "temper"})
        return answer["samples_ms"]["end_to_end"], answer["late"], answer["dropped"]

    return measured


def of_sleep(median_ms: float = 10.0, tail: float = 2.0) -> Measured:
    """A call that sleeps; p99 is ``tail`` times the median."""
    drawn = np.random.default_rng(0).lognormal(np.log(median_ms), np.log(tail) / 2.326, 100_000)
    place = [0]

    def call(_: Sequence[int]) -> dict[str, float]:
        place[0] = (place[0] + 1) % len(drawn)
        time.sleep(drawn[place[0]] / 1000)
        return {}

    def measured(load: Load) -> tuple[list[float], int, int]:
        turn: Turn = (drive_line if load.scenario == "line" else drive_streams)(call, load)
        return [sample["end_to_end"] for sample in turn.samples], turn.late, turn.dropped

    return measured


def compare(name: str, measured: Measured, asked: argparse.Namespace) -> None:
    """Print one table."""

    def load(scenario: Any, rate: float = 0.0) -> Load:
        deadline = 1000 / rate if rate else 0.0
        return Load(scenario, 1, PICTURES, asked.seconds, 10, 60.0, 10.0, 8, rate, deadline, QUEUE)

    first, _, _ = measured(load("single-stream"))
    mean = float(np.mean(first))
    alone: list[list[float]] = []
    found: dict[float, list[tuple[list[float], int, int]]] = {share: [] for share in UTILISATIONS}
    for repetition in range(asked.repeats):
        alone.append(measured(load("single-stream"))[0])
        for share in UTILISATIONS if repetition % 2 == 0 else UTILISATIONS[::-1]:
            found[share].append(measured(load("line", 1000 * share / mean)))
        print(f"{name}: repetition {repetition + 1} of {asked.repeats}", file=sys.stderr)
    latency = of_samples(alone, None)
    middle, slow = f"median {latency.median_ms:.2f} ms", f"p99 {_ms(latency.p99_ms)} ms"
    print(f"\n{name}: {latency.shape} of a single stream, {middle}, {slow}\n")
    heads = ("frames/s", "of the mean call", "frames", "p50 real [ms]", "simulated", "p99 real [ms]", "simulated")
    print(f"| {' | '.join((*heads, 'missed real', 'simulated'))} |")
    print(f"|{' --- |' * (len(heads) + 2)}")
    for share, turns in found.items():
        rate = 1000 * share / mean
        ended = np.sort(np.concatenate([turn[0] + [np.inf] * turn[2] for turn in turns]))
        missed = share_interval(
            np.asarray([turn[1] + turn[2] for turn in turns]), np.asarray([len(turn[0]) + turn[2] for turn in turns])
        )
        foretold = simulate(SimulatedLine(latency, 1, 1, 1, 1000 / rate, 1000 / rate, QUEUE), asked.seed)
        print(
            f"| {rate:.1f} | {100 * share:.0f} % | {len(ended)} | {percentile(ended, 50):.2f} | {_ms(foretold.p50_ms)} "
            f"| {_ms(percentile(ended, 99))} | {_ms(foretold.p99_ms)} | {_share(missed)} | {_share(foretold.miss_share)} |"
        )


def _ms(value: float | None) -> str:
    return "dropped" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _share(share: Any) -> str:
    return f"{100 * share.value:.2f} % ({100 * share.low:.2f} to {100 * share.high:.2f})"


def main() -> None:
    """Print both tables, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="data set folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    before = machine_state()
    compare(f"{asked.bundle.name} {asked.precision} on {asked.runtime}", of_bundle(asked), asked)
    compare("a call that sleeps", of_sleep(), asked)
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
