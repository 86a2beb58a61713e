"""Can ``temper bench compare`` be trusted? A bundle against itself, and against itself slowed down, many times.

    python scripts/compare_trust.py BUNDLE [--runs 20] [--slowed 0.10] [--seconds 6] [--threads 1]

Every run is a whole comparison of latencies, as the command makes it, on the bundle's golden pictures (or ``--data``).
Against itself none may claim a difference; against the copy whose calls take 10 % longer (``slowed_worker.py``, a busy
wait in the process that is timed) every one has to find it worse. Prints a line for each run and a table for the docs,
and ends with 1 where a run said otherwise. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from temper.benchmarks.candidate import Entrant
from temper.benchmarks.compare.effect import LEVEL, Effect
from temper.benchmarks.compare.latency import LatencySettings, MakeWorker
from temper.benchmarks.compare.run import SMALLEST, ComparisonSettings, run_comparison
from temper.benchmarks.compare.side import Defaults, open_side, parse_side
from temper.benchmarks.worker_process import WorkerProcess
from temper.core.events import silent
from temper.detection.dataset import DataSet, load_split

HERE = Path(__file__).resolve().parent


def slowed_worker(share: float, answer_seconds: float) -> MakeWorker:
    """Makes processes that run an entrant slower by a share."""

    def make(entrant: Entrant) -> WorkerProcess:
        return WorkerProcess(
            entrant.title,
            answer_seconds,
            module=("slowed_worker", str(share)),
            environment={**os.environ, "PYTHONPATH": str(HERE)},
        )

    return make


def compare_once(
    bundle: str, defaults: Defaults, data: DataSet | None, settings: ComparisonSettings, slowed: float
) -> Effect:
    """One comparison of a bundle with itself, B slowed by a share (0: not at all)."""
    side = open_side(parse_side(bundle), defaults)
    make_b = slowed_worker(slowed, settings.latency.answer_seconds) if slowed else None
    return run_comparison(side, side, data, settings, silent, make_b).effects["latency"]


def table(effects: dict[str, Sequence[Effect]], wanted: dict[str, Sequence[str]]) -> list[str]:
    """Markdown: for each kind of run how many were right, the ratios and how wide the intervals were."""
    lines = ["| B is | right | ratios, smallest to largest | widest interval |", "| --- | --- | --- | --- |"]
    for name, found in effects.items():
        right = sum(effect.verdict in wanted[name] for effect in found)
        changes = [effect.change for effect in found if effect.change is not None]
        ratios = [change.value for change in changes]
        widest = max(changes, key=lambda change: change.high / change.low)
        lines.append(
            f"| {name} | {right} of {len(found)} | {min(ratios):.3f} to {max(ratios):.3f} | "
            f"{widest.low:.3f} to {widest.high:.3f} |"
        )
    return lines


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", help="BUNDLE[:VARIANT][@RUNTIME]")
    parser.add_argument("--data", type=Path, help="data set whose validation pictures are timed")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--slowed", type=float, default=0.10, help="share by which the copy's calls take longer")
    parser.add_argument("--seconds", type=float, default=LatencySettings.seconds)
    parser.add_argument("--starts", type=int, default=LatencySettings.starts)
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    latency = replace(LatencySettings(), starts=asked.starts, seconds=asked.seconds)
    settings = ComparisonSettings(parts=("latency",), latency=latency)
    data = None if asked.data is None else load_split(asked.data, "val")
    same, slower = "the same", f"slowed by {100 * asked.slowed:g} %"
    wanted: dict[str, Sequence[str]] = {same: ("equivalent", "no difference shown"), slower: ("worse",)}
    effects: dict[str, list[Effect]] = {same: [], slower: []}
    for number in range(asked.runs):
        # by turns, so that a drift of the machine hits both
        for name, share in ((same, 0.0), (slower, asked.slowed)):
            effect = compare_once(asked.bundle, Defaults(threads=asked.threads), data, settings, share)
            effects[name].append(effect)
            change = effect.change
            assert change is not None
            print(
                f"{number + 1}/{asked.runs} {name}: {effect.verdict}, "
                f"{change.value:.3f} ({change.low:.3f} to {change.high:.3f})",
                flush=True,
            )
    print(f"\nLevel {100 * LEVEL:g} %, smallest effect of interest {100 * SMALLEST['latency']:g} % of the latency.\n")
    print("\n".join(table({name: tuple(found) for name, found in effects.items()}, wanted)))
    return int(any(effect.verdict not in wanted[name] for name, found in effects.items() for effect in found))


if __name__ == "__main__":
    sys.exit(main())
