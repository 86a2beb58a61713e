"""Whether Temper's own driver and MLPerf's LoadGen measure the same: both drive one loaded bundle, in turns.

    .venv/bin/python scripts/loadgen_agreement.py small.temper --data data/neu-det
    .venv/bin/python scripts/loadgen_agreement.py small.temper --data data/neu-det --within 1   # per cent, not 2

The exit code is 1 if they differ by more.

Each repetition measures both drivers in every scenario, the other one first than in the repetition before. What counts
is the median over the repetitions; beside it stands how far the two drivers' repetitions spread, to judge it by. The
last rows are what is left of a query when its stages are taken off: the driver's own part, in which another program's
load cancels out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from loaded_bundle import bundle_options, load_bundle
from temper.benchmarks.round_bootstrap import percentile
from temper.benchmarks.scenarios.load import Load
from temper.benchmarks.scenarios.loadgen import loadgen_version
from temper.benchmarks.worker import Session
from temper.core.errors import TemperError

SCENARIOS = ("single-stream", "multi-stream", "offline")
DRIVERS = ("temper", "loadgen")
#: Figures of one turn: of offline only the rate counts.
FIGURES = {"single-stream": ("p50", "p90", "rate"), "multi-stream": ("p50", "p90", "rate"), "offline": ("rate",)}


def own_part(answer: dict[str, Any]) -> float:
    """The median of what a query takes beyond its stages, in ms."""
    stages = [values for stage, values in answer["samples_ms"].items() if stage != "end_to_end"]
    return statistics.median(np.subtract(answer["samples_ms"]["end_to_end"], np.sum(stages, axis=0)).tolist())


def figures(answer: dict[str, Any]) -> dict[str, float]:
    """p50 and p90 of the end-to-end durations in ms, and pictures per second."""
    ordered = np.sort(answer["samples_ms"]["end_to_end"])
    return {
        "p50": percentile(ordered, 50),
        "p90": percentile(ordered, 90),
        "rate": answer["images"] / answer["seconds"],
        "own": own_part(answer),
    }


def measure(
    session: Session, expected_ms: float, batch: int, pictures: int, asked: argparse.Namespace
) -> dict[Any, list[float]]:
    """Every figure of every repetition, by scenario, figure and driver."""
    found: dict[Any, list[float]] = {}
    for repetition in range(asked.repeats):
        for scenario in SCENARIOS:
            load = Load(scenario, batch, pictures, asked.seconds, 64, 60.0, expected_ms)  # type: ignore[arg-type]
            for driver in DRIVERS if repetition % 2 == 0 else DRIVERS[::-1]:
                values = figures(session.measure({"load": asdict(load), "driver": driver}))
                for name in (*FIGURES[scenario], "own"):
                    found.setdefault((scenario, name, driver), []).append(values[name])
        print(f"repetition {repetition + 1} of {asked.repeats}", file=sys.stderr)
    return found


def main() -> int:
    """Print the table; the exit code says whether the drivers agree."""
    parser = bundle_options(__doc__, repeats=15, seconds=1.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--within", type=float, default=2.0, help="per cent that the medians may differ by")
    asked = parser.parse_args()
    if loadgen_version() is None:
        print("LoadGen is not installed: pip install mlcommons-loadgen", file=sys.stderr)
        return 2
    session, loaded, warm, pictures = load_bundle(asked, asked.batch)
    found = measure(session, warm["p50_ms"], asked.batch, pictures, asked)
    print(
        f"{asked.bundle.name} {asked.precision} on {asked.runtime} {loaded['runtime_version']}, batch {asked.batch}, "
        f"{asked.threads} threads, LoadGen {loadgen_version()}, {asked.repeats} repetitions of {asked.seconds:g} s\n"
    )
    print("| scenario | figure | Temper | LoadGen | difference | middle half of all repetitions |")
    print("| --- | --- | --- | --- | --- | --- |")
    worst = 0.0
    for scenario in SCENARIOS:
        for name in FIGURES[scenario]:
            ours, theirs = (found[scenario, name, driver] for driver in DRIVERS)
            own, other = statistics.median(ours), statistics.median(theirs)
            difference = 100 * (own / other - 1)
            worst = max(worst, abs(difference))
            low, high = np.percentile(ours + theirs, [25, 75])
            unit = "pictures/s" if name == "rate" else "ms"
            print(
                f"| {scenario} | {name} [{unit}] | {own:.3f} | {other:.3f} | {difference:+.2f} % "
                f"| {100 * (high - low) / other:.1f} % |"
            )
    for scenario in SCENARIOS[:2]:
        ours, theirs = (statistics.median(found[scenario, "own", driver]) for driver in DRIVERS)
        share = 100 * (ours - theirs) / statistics.median(found[scenario, "p50", "temper"])
        print(f"| {scenario} | beyond the stages [ms] | {ours:.3f} | {theirs:.3f} | {share:+.2f} % of p50 | |")
    print(f"\nLargest difference: {worst:.2f} %")
    return 0 if worst <= asked.within else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TemperError as error:
        sys.exit(f"Error: {error}")
