"""The figures of several machines side by side: what was measured on each, and what was estimated of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import TemperError, UsageError
from ..estimate.row import ESTIMATES_NAME, EstimateRow, read_estimates
from ..measurement import MEASUREMENTS_NAME, Measurements, read_rows
from ..remote.fetch import read_record
from ..subject import Subject
from .pareto import Mark, marks_of
from .results import PRECISION_ORDER, ROLE_ORDER, Result, collect_results, leading, model_titles


@dataclass(frozen=True)
class Machine:
    """A machine that something was measured on.

    Attributes:
        name: unlike that of any other machine of the page.
        device: its key in the table of devices; None where nobody said.
        measurements: of the benchmark.
        results: its figures, with titles and colours as all machines have them.
    """

    name: str
    device: str | None
    measurements: Measurements
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Estimated:
    """One estimate, as it stands beside what was measured.

    Attributes:
        row: the estimate.
        title: of the model, and ``series``, which decides its colour.
        series: number of the model.
        device: how its device is called, with its power mode.
        judged: a measured result of the same graph, whose accuracy it is; None where there is none.
        measured: its median on that very device, by what was estimated, where both are there: [(machine, ms)].
    """

    row: EstimateRow
    title: str
    series: int
    device: str
    judged: Result | None
    measured: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Several:
    """All that a page of several folders shows."""

    machines: tuple[Machine, ...]
    estimates: tuple[Estimated, ...]

    @property
    def results(self) -> list[tuple[Machine, Result]]:
        """Every measured figure with its machine: by model, graph, machine, runtime."""
        rows = [(machine, result) for machine in self.machines for result in machine.results]
        places = {machine.name: place for place, machine in enumerate(self.machines)}
        return sorted(rows, key=lambda row: (*_order(row[1].series, row[1].subject), places[row[0].name]))

    def marks(self) -> list[Mark]:
        """The marks of the Pareto plots: of one scenario, the first that every machine has, and its smallest batch."""
        shared = self.leading()
        marks = [mark for machine in self.machines for mark in marks_of(shared[machine.name], machine.name)]
        batches = {min(result.batch for result in shared[machine.name]) for machine in self.machines}
        return marks + [
            _mark(one) for one in self.estimates if one.row.fits and (not batches or one.row.batch in batches)
        ]

    @property
    def compares(self) -> bool:
        """Whether all measured marks are of the same pictures, scenario and batch, so that one can be the best."""
        leading_results = self.leading()
        kinds = {
            (
                machine.measurements.benchmark.data_sha256,
                leading_results[machine.name][0].latency.scenario,
                min(result.batch for result in leading_results[machine.name]),
            )
            for machine in self.machines
            if leading_results[machine.name]
        }
        return len(kinds) < 2

    def leading(self) -> dict[str, list[Result]]:
        """By machine the results of the scenario that is compared."""
        there = [{result.latency.scenario for result in machine.results} for machine in self.machines]
        common = set.intersection(*there) if there else set()
        return {
            machine.name: leading([r for r in machine.results if not common or r.latency.scenario in common])
            for machine in self.machines
        }


def read_folders(folders: Sequence[Path]) -> Several:
    """Read what was measured and estimated in each folder.

    Args:
        folders: of ``temper bench run --out``, ``temper bench remote --out`` (one host's) or ``temper estimate --out``.

    Raises:
        UsageError: if a folder has neither.
        TemperError: if a file is damaged, or there are no latencies in it.
    """
    measured, estimates = [], []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        kinds = [name for name in (MEASUREMENTS_NAME, ESTIMATES_NAME) if (folder / name).exists()]
        if not kinds:
            raise UsageError(
                f"{folder} has neither {MEASUREMENTS_NAME} nor {ESTIMATES_NAME}. Make them with 'temper bench run' or "
                "'temper estimate --out DIR'."
            )
        if MEASUREMENTS_NAME in kinds:
            measured.append((folder, _read_measured(folder)))
        if ESTIMATES_NAME in kinds:
            estimates += read_estimates(folder / ESTIMATES_NAME)
    titles = _titles([one for _, one in measured], estimates)
    names = _names([folder for folder, _ in measured])
    machines = []
    for (folder, one), name in zip(measured, names, strict=True):
        record = read_record(folder)
        hashes = {entry.manifest.name: entry.manifest_sha256 for entry in one.benchmark.bundles}
        results = []
        for result in collect_results(one):
            key = (result.subject.model, hashes[result.subject.model])
            results.append(replace(result, title=titles[key], series=list(titles).index(key)))
        machines.append(Machine(name, record.device if record else None, one, tuple(results)))
    return Several(tuple(machines), tuple(_estimated(row, titles, machines) for row in estimates))


def _read_measured(folder: Path) -> Measurements:
    path = folder / MEASUREMENTS_NAME
    rows = read_rows(path)
    if not rows.latency:
        raise TemperError(
            f"{path} holds no latencies to report. Measure again with 'temper bench run', or leave it out."
        )
    return rows


#: A bundle's name and the SHA-256 of its manifest: bundles of one name need not be the same.
_Key = tuple[str, str]


def _titles(measured: Sequence[Measurements], estimates: Sequence[EstimateRow]) -> dict[_Key, str]:
    """The title of every bundle, in the reader's order; those of one title are told apart by their hash."""
    recipes: dict[str, Mapping[str, Any]] = {}
    subjects: dict[_Key, Subject] = {}
    for one in measured:
        hashes = {entry.manifest.name: entry.manifest_sha256 for entry in one.benchmark.bundles}
        recipes |= {entry.manifest.name: entry.manifest.made_by.recipe for entry in one.benchmark.bundles}
        subjects |= {(row.subject.model, hashes[row.subject.model]): row.subject for row in one.latency}
    for row in estimates:
        subjects.setdefault((row.subject.model, row.manifest_sha256), row.subject)
    by_model = model_titles(list(subjects.values()), recipes)
    ordered = sorted(subjects, key=lambda key: (ROLE_ORDER.index(subjects[key].role), key))
    alike = Counter(model for model, _ in ordered)
    return {key: by_model[key[0]] + (f" {key[1][:6]}" if alike[key[0]] > 1 else "") for key in ordered}


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders by their names, and with the one above where names are equal."""
    counts = Counter(folder.name for folder in folders)
    return [folder.name if counts[folder.name] == 1 else "/".join(folder.parts[-2:]) for folder in folders]


def _estimated(row: EstimateRow, titles: dict[_Key, str], machines: Sequence[Machine]) -> Estimated:
    key = (row.subject.model, row.manifest_sha256)
    twins = [
        (machine, result)
        for machine in machines
        for result in machine.results
        if result.title == titles[key] and result.subject.variant == row.subject.variant
    ]
    # an estimate of a precision that the bundle has no graph of is reckoned from another one, and has not its accuracy
    judged = [result for _, result in twins if result.figures and result.subject.precision == row.subject.precision]
    measured = [
        (machine.name, result.median_ms)
        for machine, result in twins
        if machine.device == row.device
        and result.batch == row.batch
        and result.latency.scenario == "single-stream"
        and result.subject.runtime == row.subject.runtime
        and result.median_ms is not None
    ]
    device = row.device_name if row.power_mode == "default" else f"{row.device_name}, {row.power_mode}"
    return Estimated(row, titles[key], list(titles).index(key), device, judged[0] if judged else None, tuple(measured))


def _mark(one: Estimated) -> Mark:
    figures, line = (one.judged.figures, one.judged.line) if one.judged else (None, None)
    rate = line.escape[None].escape.rate.value if line else None
    return Mark(
        name=f"{one.title} {one.row.subject.precision} on {one.row.subject.runtime}, {one.device}",
        model=one.title,
        series=one.series,
        precision=one.row.subject.precision,
        runtime=one.row.subject.runtime,
        device=one.device,
        latency_ms=one.row.latency_ms,
        span_ms=one.row.interval_ms,
        ap=figures.ap if figures else None,
        escape=None if rate is None else 100 * rate,
        estimated=True,
    )


def _order(series: int, subject: Subject) -> tuple[int, int, str]:
    known = subject.precision in PRECISION_ORDER
    return series, PRECISION_ORDER.index(subject.precision) if known else len(PRECISION_ORDER), subject.variant
