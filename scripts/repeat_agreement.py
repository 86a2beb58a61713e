"""Do two benchmarks of the same things agree? The share of their figures whose 95 % intervals overlap.

    python scripts/repeat_agreement.py FIRST SECOND [MORE ...]          folders of 'temper bench run --out'
    python scripts/repeat_agreement.py --run BUNDLE [BUNDLE ...] --data DATA --out FOLDER [-- --threads 1 ...]

With ``--run`` it measures first, one benchmark after the other, with what stands behind ``--`` given to each
``temper bench run``. Every pair of benchmarks is held against each other: each figure of each stage of each candidate,
its throughput, load time and first call, wherever both have an interval. Figures of accuracy rest on the very same
pictures and are left out, as their agreement shows nothing. Ends with 1 where fewer than 95 % overlap.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from temper.benchmarks.measurement import MEASUREMENTS_NAME, Measurements, read_rows

WANTED = 0.95
#: What tells a figure: the candidate, and stage and name of the figure.
Key = tuple[str, ...]
Ends = tuple[float, float]


def intervals(measured: Measurements) -> Iterator[tuple[Key, Ends]]:
    """Every interval of a duration or rate in a benchmark."""
    for row in measured.latency:
        of = row.subject
        candidate = (of.model, of.variant, of.runtime, str(row.batch), str(row.threads), row.scenario)
        for stage, summary in row.stages.items():
            for name, ends in summary.intervals.items():
                yield (*candidate, stage, name), ends
        rate = row.images_per_second
        if rate.low is not None and rate.high is not None:
            yield (*candidate, "end_to_end", "images_per_second"), (rate.low, rate.high)
    for cost in measured.footprint:
        for name, ends in cost.intervals.items():
            yield (cost.subject.model, cost.subject.variant, cost.subject.runtime, str(cost.batch), "start", name), ends


def agreement(benchmarks: Sequence[Measurements]) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """For each stage and figure, in how many pairs of benchmarks and candidates the intervals overlap, and of how many.

    Args:
        benchmarks: at least two.
    """
    overlapping: Counter[tuple[str, str]] = Counter()
    compared: Counter[tuple[str, str]] = Counter()
    for one, other in combinations([dict(intervals(measured)) for measured in benchmarks], 2):
        for key in one.keys() & other.keys():
            (low, high), (least, most) = one[key], other[key]
            compared[key[-2], key[-1]] += 1
            overlapping[key[-2], key[-1]] += low <= most and least <= high
    return overlapping, compared


def table(overlapping: Counter[tuple[str, str]], compared: Counter[tuple[str, str]]) -> list[str]:
    """Markdown: how many overlap, by stage and figure, and in all."""
    lines = ["| stage | figure | overlap | of |", "| --- | --- | --- | --- |"]
    for stage, name in sorted(compared):
        lines.append(f"| {stage} | {name} | {overlapping[stage, name]} | {compared[stage, name]} |")
    total, count = overlapping.total(), compared.total()
    return [*lines, f"| all | | {total} ({100 * total / count:.1f} %) | {count} |"]


def measure(bundles: Sequence[Path], data: Path, out: Path, runs: int, options: Sequence[str]) -> list[Path]:
    """Run so many benchmarks, one after the other; gives their folders."""
    folders = []
    for number in range(1, runs + 1):
        folders.append(out / f"benchmark-{number}")
        asked = ["bench", "run", *map(str, bundles), "--data", str(data), "--out", str(folders[-1])]
        asked += ["--history", "none", *options]
        subprocess.run([sys.executable, "-m", "temper", *asked], check=True)
    return folders


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options: list[str] = []
    if "--" in given:
        place = given.index("--")
        given, options = given[:place], given[place + 1 :]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, help="folders of benchmarks; with --run, bundles")
    parser.add_argument("--run", action="store_true", help="measure the bundles first")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    asked = parser.parse_args(given)
    folders: list[Path] = asked.paths
    if asked.run:
        if asked.data is None or asked.out is None:
            parser.error("--run needs --data and --out")
        folders = measure(asked.paths, asked.data, asked.out, asked.runs, options)
    if len(folders) < 2:
        parser.error("one benchmark has nothing to agree with; name two folders at least")
    benchmarks = [read_rows(folder / MEASUREMENTS_NAME) for folder in folders]
    for folder, measured in zip(folders, benchmarks, strict=True):
        for warning in measured.benchmark.warnings:
            print(f"{folder}: {warning}")
    overlapping, compared = agreement(benchmarks)
    if not compared:
        print("The benchmarks have no interval in common.", file=sys.stderr)
        return 1
    print("\n".join(table(overlapping, compared)))
    return int(overlapping.total() / compared.total() < WANTED)


if __name__ == "__main__":
    sys.exit(main())
