"""One benchmark: accuracy, latency and footprint of every candidate, kept as rows of plain data."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import __version__
from ..core.errors import TemperError, UsageError
from ..core.events import Event, Reporter
from ..core.files import PARTIAL_SUFFIX, atomic_folder, explain_os_errors, read_json, remove_tree, write_json
from ..core.locks import held_file
from ..deploy.runtimes.load import prepare_runtime
from ..detection.dataset import DataSet, from_coco, to_coco
from ..detection.detections import Detections
from .accuracy import Readable, detect_pictures, leave_out_unread, save_detections, unread_warning
from .candidate import Candidate, Entrant, in_labels_of, open_candidates
from .energy.find import sensors_here
from .energy.passes import measure_energy, soak
from .energy.rows import EnergyRow, SoakRow
from .energy.words import heat_warnings
from .footprint import measure_footprint
from .inspection import judge_detections
from .latency import STAGE, measure_latency, require_driver, require_query_size
from .latency_rows import LatencyRow
from .machine import OutsideLoad, machine_state, machine_warnings, now, usable_cores
from .measurement import (
    MEASUREMENTS_NAME,
    SCHEMA_VERSION,
    BenchmarkRow,
    BenchmarkSettings,
    BundleEntry,
    FootprintRow,
    MachineState,
    Measurements,
    Row,
    read_rows,
    write_rows,
)
from .paddle_reference import load_candidate
from .subject import Subject

DETECTIONS_FOLDER = "detections"
TRUTH_NAME = "truth.json"
#: Stands in the truth of a benchmark's folder, so that nobody else's files are taken for older results.
MADE_BY = "temper bench run"
_MOST_OF_A_ROW = 16 << 20
LOCK_NAME = ".lock"
#: Pictures between two progress events while mAP is measured.
PROGRESS_STEP = 20
#: Why there is neither energy nor a soak.
EMULATED_ENERGY = "The processor is emulated, so neither energy nor a soak is measured; run them on the device itself."


def run_benchmark(
    candidates: Sequence[Candidate], data: DataSet, settings: BenchmarkSettings, out: Path, report: Reporter
) -> Measurements:
    """Measure candidates on a data set and write ``measurements.jsonl``, ``truth.json`` and ``detections/`` to ``out``.

    ``measurements.jsonl`` is written after them: where it stands, everything it names stands too. While latencies are
    measured it is written now and then, marked as incomplete, so that whatever ends the benchmark, what it measured is
    kept.

    Energy and soak follow where the settings ask for them, each candidate by itself. On an emulated processor there are
    no rows of latency, energy or soak, and a warning says why.

    Args:
        candidates: what to measure.
        data: pictures and truth, with no labels but the bundles'.
        settings: how to measure.
        out: folder for the results; older results in it are replaced.
        report: hears of the progress, under the stage ``benchmark``.

    Returns:
        The rows as they were written.

    Raises:
        TemperError: if a bundle, the data or a runtime does not fit, or the results cannot be written.
    """
    _require_ours(out)
    require_driver(settings)
    with explain_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    taken = f"Another benchmark is at work in {out}. Wait for it, or choose another folder with --out."
    with held_file(out / LOCK_NAME, taken):
        return _run(candidates, data, settings, out, report)


def _run(
    candidates: Sequence[Candidate], data: DataSet, settings: BenchmarkSettings, out: Path, report: Reporter
) -> Measurements:
    entrants = open_candidates(candidates, data)
    data = in_labels_of(entrants[0].bundle, data)
    for entrant in entrants:
        require_query_size(entrant, settings)
        if entrant.candidate.weights is None:
            prepare_runtime(entrant.subject.runtime, entrant.bundle, entrant.variant, entrant.candidate.batch, report)
    started_at = now()
    _clear(out)
    # first, as the mark that what else lies here is a benchmark's
    write_json(out / TRUTH_NAME, to_coco(data) | {"info": {"made_by": MADE_BY}})
    before = machine_state()
    for warning in machine_warnings(before):
        report(Event("warning", STAGE, {"message": warning}))
    kept = _Kept(out, entrants, data, settings, started_at, before)
    try:
        readable = _measure_accuracies(kept, report)
        # before the first turn, as nobody can keep it once a power cut has come
        kept.write(kept.latency, kept.footprint)
        pictures = _pictures(readable.data, settings.pictures)
        latency: Sequence[LatencyRow] = ()
        outside = OutsideLoad(0.0, 0.0)
        if before.emulated:
            footprint = measure_footprint(entrants, pictures, settings, report)
        else:
            latency, footprint, outside = measure_latency(entrants, pictures, settings, report, kept.write)
            kept.write(latency, footprint)
        _run_alone(kept, pictures, report)
    except BaseException as error:
        told = _cut_off(error, kept, report)
        if told is error:
            raise
        raise told from error
    kept.write(latency, footprint, outside)
    measured = read_rows(kept.path)
    told_before = machine_warnings(before)
    for warning in (one for one in measured.benchmark.warnings if one not in told_before):
        report(Event("warning", STAGE, {"message": warning}))
    return measured


@dataclass
class _Kept:
    """What has been measured, and where it is written: while measuring marked as incomplete, in the end whole."""

    out: Path
    entrants: Sequence[Entrant]
    data: DataSet
    settings: BenchmarkSettings
    started_at: str
    before: MachineState
    accuracy: list[Row] = field(default_factory=list)
    readable: Readable | None = None
    latency: Sequence[LatencyRow] = ()
    footprint: Sequence[FootprintRow] = ()
    energy: list[EnergyRow] = field(default_factory=list)
    soaks: list[SoakRow] = field(default_factory=list)
    no_energy: str | None = None

    @property
    def path(self) -> Path:
        return self.out / MEASUREMENTS_NAME

    def add_energy(self, rows: Sequence[EnergyRow]) -> None:
        """Keep the rows of one entrant."""
        self.energy += rows
        self.write(self.latency, self.footprint)

    def add_soak(self, row: SoakRow) -> None:
        """Keep what there is of one entrant's soak in place of what there was."""
        if self.soaks and (self.soaks[-1].subject, self.soaks[-1].batch) == (row.subject, row.batch):
            self.soaks.pop()
        self.soaks.append(row)
        self.write(self.latency, self.footprint)

    def write(
        self,
        latency: Sequence[LatencyRow],
        footprint: Sequence[FootprintRow],
        outside: OutsideLoad | None = None,
        incomplete: str = "It was ended before it was done.",
    ) -> None:
        """Write all rows there are; without ``outside`` the benchmark is not done, and ``incomplete`` says why."""
        self.latency, self.footprint = latency, footprint
        unread = self.readable.unread if self.readable is not None else []
        cut_off = None if outside is not None else incomplete
        # of rows that an interruption cut short it says enough itself
        timing = machine_warnings(self.before, outside) + ([] if cut_off else _row_warnings(latency))
        warnings = unread_warning(unread, len(self.data))
        warnings += [*filter(None, [self.no_energy]), *heat_warnings(self.energy, self.soaks)]
        if cut_off is not None:
            warnings.append(f"The benchmark was cut off, so rows are missing or rest on fewer rounds. {cut_off}")
        benchmark = BenchmarkRow(
            schema_version=SCHEMA_VERSION,
            temper=__version__,
            started_at=self.started_at,
            finished_at=now(),
            data=self.data.name or str(self.data.image_folder),
            data_sha256=self.data.content_hash(),
            images=len(self.data),
            image_folder=str(self.data.image_folder.resolve()),
            settings=self.settings,
            bundles=_bundle_entries(self.entrants),
            machine_before=self.before,
            machine_after=machine_state(sample_seconds=0),
            warnings=timing + warnings,
            timing_warnings=len(timing),
            unread=unread,
            incomplete=cut_off,
            no_energy=self.no_energy,
        )
        write_rows(self.path, [benchmark, *self.accuracy, *latency, *footprint, *self.energy, *self.soaks])


def _run_alone(kept: _Kept, pictures: Sequence[Path], report: Reporter) -> None:
    """Energy and soak, as far as they are asked for."""
    settings = kept.settings
    if settings.energy_seconds is None and settings.soak_minutes is None:
        return
    if kept.before.emulated:
        kept.no_energy = EMULATED_ENERGY
        return
    with sensors_here() as found:
        if settings.energy_seconds is not None:
            kept.no_energy = found.sentence([entrant.subject.runtime for entrant in kept.entrants])
            measure_energy(kept.entrants, pictures, settings, found, report, kept.add_energy)
        if settings.soak_minutes is not None:
            soak(kept.entrants, pictures, settings, found, report, kept.add_soak)


def _cut_off(error: BaseException, kept: _Kept, report: Reporter) -> BaseException:
    """Keep what was measured before ``error``; gives what to raise instead of it."""
    if not (kept.accuracy or kept.latency):
        return error
    reason = str(error) if isinstance(error, TemperError) else "It was interrupted."
    kept.write(kept.latency, kept.footprint, incomplete=reason)
    sentence = f"What was measured before is in {kept.path}, marked as incomplete; a new run begins anew."
    if isinstance(error, TemperError):
        return type(error)(f"{error} {sentence}")
    report(Event("warning", STAGE, {"message": sentence}))
    return error


def load_truth(folder: Path, benchmark: BenchmarkRow) -> DataSet:
    """The data set a benchmark was run on, from the ``truth.json`` in its folder.

    Raises:
        TemperError: if it is missing, damaged, or not the one that was measured on.
    """
    path = folder / TRUTH_NAME
    data = from_coco(read_json(path), Path(benchmark.image_folder), name=benchmark.data, source=path)
    if data.content_hash() != benchmark.data_sha256:
        raise TemperError(f"{path} is not the data that was measured on. Measure again with 'temper bench run'.")
    return data


def _require_ours(out: Path) -> None:
    """Refuse a folder in which somebody else's files have the names of a benchmark's.

    Raises:
        UsageError: if one is there, and no ``truth.json`` that a benchmark wrote.
    """
    theirs = [name for name in (MEASUREMENTS_NAME, TRUTH_NAME, DETECTIONS_FOLDER) if os.path.lexists(out / name)]
    if theirs and not _is_marked(out / TRUTH_NAME) and not _holds_rows(out / MEASUREMENTS_NAME):
        raise UsageError(
            f"{out / theirs[0]} is not of a benchmark, and it would be replaced. Choose another folder with --out."
        )


def _is_marked(truth: Path) -> bool:
    try:
        content = read_json(truth)
    except TemperError:  # absent, damaged, or no file
        return False
    return isinstance(content, dict) and content.get("info") == {"made_by": MADE_BY}


def _holds_rows(measurements: Path) -> bool:
    """Whether the first row is a benchmark's, of whatever version of Temper."""
    try:
        with measurements.open(encoding="utf-8") as opened:
            row = json.loads(opened.readline(_MOST_OF_A_ROW))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(row, dict) and row.get("row") == "benchmark"


def _clear(out: Path) -> None:
    """Take away what would contradict the new results, and what a killed run left; nothing else is touched."""
    for name in (MEASUREMENTS_NAME, TRUTH_NAME, DETECTIONS_FOLDER):
        for leftover in out.glob(f".{name}.*{PARTIAL_SUFFIX}"):
            remove_tree(leftover)
    remove_tree(out / MEASUREMENTS_NAME)


def _measure_accuracies(kept: _Kept, report: Reporter) -> Readable:
    """Add the rows of every subject, as neither batch size nor threads change what is detected.

    Returns:
        The pictures that the rows rest on.
    """
    unique: dict[Subject, Entrant] = {}
    for entrant in kept.entrants:
        unique.setdefault(entrant.subject, entrant)
    data, found, unread = kept.data, {}, {}
    total = len(unique) * len(data)
    try:
        for position, (subject, entrant) in enumerate(unique.items()):

            def progress(done: int, _: int, already: int = position * len(data)) -> None:
                if done % PROGRESS_STEP == 0 or done == len(data):
                    report(Event("step", STAGE, {"done": already + done, "total": total, "unit": "pictures"}))

            runtime = load_candidate(entrant.candidate, entrant.bundle, entrant.variant)
            try:
                found[subject], reasons = detect_pictures(entrant.bundle, entrant.variant, runtime, data, progress)
            finally:
                runtime.close()
            unread.update(reasons)
    except BaseException:
        if found:
            with contextlib.suppress(TemperError):
                _judge(kept, unique, found, unread)
        raise
    return _judge(kept, unique, found, unread)


def _judge(
    kept: _Kept,
    unique: Mapping[Subject, Entrant],
    found: Mapping[Subject, Sequence[Detections]],
    unread: Mapping[str, str],
) -> Readable:
    """When all have run, so that all are judged on the same pictures, whichever of them could not read one."""
    readable = leave_out_unread(kept.data, unread)
    with atomic_folder(kept.out / DETECTIONS_FOLDER) as folder:
        for subject, detections in found.items():
            name = f"{subject.model}-{subject.variant}-{subject.runtime}.json"
            save_detections(folder / name, kept.data, detections)
            thresholds = unique[subject].bundle.manifest.thresholds
            own = [detections[row] for row in readable.rows]
            judged = judge_detections(readable.data, own, thresholds, kept.settings.found_iou)
            kept.accuracy += judged.rows(subject, f"{DETECTIONS_FOLDER}/{name}")
    kept.readable = readable
    return readable


def _pictures(data: DataSet, limit: int) -> list[Path]:
    return [data.image_path(sample).resolve() for sample in data.spread(limit).samples]


def _bundle_entries(entrants: Sequence[Entrant]) -> list[BundleEntry]:
    entries = {}
    for entrant in entrants:
        manifest = entrant.bundle.manifest
        entries[manifest.name] = BundleEntry(
            path=str(entrant.candidate.bundle.resolve()),
            manifest_sha256=entrant.bundle.manifest_sha256,
            manifest=manifest,
        )
    return list(entries.values())


def _row_warnings(rows: Sequence[LatencyRow]) -> list[str]:
    warnings = []
    many_scenarios = len({row.scenario for row in rows}) > 1
    for row in rows:
        title = f"{row.subject.model} {row.subject.variant} on {row.subject.runtime}, batch {row.batch}"
        if many_scenarios:
            title += f", {row.scenario}"
        if not row.complete:
            warnings.append(
                f"{title}: sampling ended after {row.stages['end_to_end'].n} samples; "
                "'temper bench run --time-box' gives it longer."
            )
        if not row.warmup_stable:
            warnings.append(f"{title}: latency had not settled when the warm-up ended.")
        if row.threads is not None and row.threads > usable_cores():
            warnings.append(f"{title}: {row.threads} threads on {usable_cores()} cores wait for each other.")
    return warnings
