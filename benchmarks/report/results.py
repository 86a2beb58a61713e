"""The figures of a benchmark, one entry per model, graph and batch size; and the same as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.files import write_json, write_text
from ...core.models import distilled_title
from ...deploy.stages import STAGES
from ...detection.figure_names import FIGURE_TITLES
from ...detection.intervals import Estimate
from ...detection.metrics import AccuracyFigures
from ..energy.rows import EnergyRow, SoakRow
from ..latency_rows import PERCENTILES, SCENARIOS, LatencyRow, Punctuality, Summary
from ..measurement import AccuracyRow, FootprintRow, Measurements, to_plain
from ..subject import Subject
from .energy import flat_energy, flat_soak
from .line import LineFigures, flat_line, line_figures, plain_line

SCHEMA_VERSION = 3
ROLE_ORDER = ("teacher", "student", "distilled", "other")
#: Where no recipe says by which losses the student was taught.
ROLE_TITLES = {"teacher": "Teacher", "student": "Student alone", "distilled": distilled_title(())}
PRECISION_ORDER = ("fp32", "fp16", "int8")
#: Figures of durations that have an interval.
ESTIMATED_FIELDS = ("mean_ms", *PERCENTILES, "jitter_ms")
INVALID = "INVALID"
#: One line of a table, by column.
CsvRow = dict[str, Any]
#: What ``results.json`` takes of the first row, of a footprint, and what it leaves out of a row of latency.
BENCHMARK_FIELDS = (
    "temper", "started_at", "finished_at", "incomplete", "data", "data_sha256", "images", "unread", "no_energy",
)  # fmt: skip
FOOTPRINT_FIELDS = ("file_bytes", "load_ms", "first_call_ms", "peak_memory_mib", "idle_memory_mib", "runtime_version")
LEFT_OUT_OF_RESULTS = ("samples_ms", "row")
LEFT_OUT_OF_ENERGY = ("subject", "batch", "threads", "row")


@dataclass(frozen=True)
class Result:
    """Everything measured of one candidate.

    Attributes:
        subject: which model, graph and runtime.
        title: the model as a reader knows it ("MGD student").
        series: number of the model among the models of the report; decides its colour.
        latency: one candidate's durations.
        footprint: its file size, load time and memory.
        figures: COCO figures in points, None where mAP was not measured.
        detections: file of its detections below the folder of the measurements.
        line: what escapes and is flagged, AP with intervals, curves; None where they were not measured.
        energy: its energy and heat, an entry per sensor.
        soak: how it ran on; None where it was not run on.
    """

    subject: Subject
    title: str
    series: int
    latency: LatencyRow
    footprint: FootprintRow | None
    figures: AccuracyFigures | None
    detections: str | None
    line: LineFigures | None = None
    energy: tuple[EnergyRow, ...] = ()
    soak: SoakRow | None = None

    @property
    def batch(self) -> int:
        """Pictures per call."""
        return self.latency.batch

    @property
    def median_ms(self) -> float | None:
        """Of the end-to-end durations; None where too few were taken."""
        return self.latency.stages["end_to_end"].p50_ms


def leading(results: Sequence[Result]) -> list[Result]:
    """The results of one scenario, the first there is: what charts and sentences compare."""
    first = min((result.latency.scenario for result in results), key=SCENARIOS.index, default=None)
    return [result for result in results if result.latency.scenario == first]


def smallest_batch(results: Sequence[Result]) -> list[Result]:
    """Those of the leading results with the fewest pictures per call: what charts show."""
    same = leading(results)
    smallest = min((r.batch for r in same), default=1)
    return [r for r in same if r.batch == smallest]


def collect_results(measurements: Measurements) -> list[Result]:
    """Join the rows of a benchmark: by role, model, precision, variant, runtime, scenario, batch."""
    rows = sorted(measurements.latency, key=_sort_key)
    recipes = {entry.manifest.name: entry.manifest.made_by.recipe for entry in measurements.benchmark.bundles}
    titles = model_titles([row.subject for row in rows], recipes)
    accuracy: dict[Subject, AccuracyRow] = {row.subject: row for row in measurements.accuracy}
    footprint = {(row.subject, row.batch): row for row in measurements.footprint}
    lines = line_figures(measurements)
    soaks = {(row.subject, row.batch): row for row in measurements.soak}
    results = []
    for row in rows:
        judged = accuracy.get(row.subject)
        results.append(
            Result(
                subject=row.subject,
                title=titles[row.subject.model],
                series=list(titles).index(row.subject.model),
                latency=row,
                footprint=footprint.get((row.subject, row.batch)),
                figures=judged.figures if judged else None,
                detections=judged.detections if judged else None,
                line=lines.get(row.subject),
                energy=tuple(
                    one for one in measurements.energy if (one.subject, one.batch) == (row.subject, row.batch)
                ),
                soak=soaks.get((row.subject, row.batch)),
            )
        )
    return results


def role_titles(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The titles of the roles in a run of this recipe (plain values, as in a bundle; empty where it is not known)."""
    section = recipe.get("distillation")
    losses = [name for name, value in section.items() if isinstance(value, dict)] if isinstance(section, dict) else []
    return {**ROLE_TITLES, "distilled": distilled_title(losses)}


def model_titles(subjects: Sequence[Subject], recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For each model its title: that of its role where it is the only one with it, else its name.

    Args:
        subjects: of a benchmark.
        recipes: the models' recipes as plain values, by name.
    """
    models = {subject.model: subject.role for subject in subjects}
    roles = list(models.values())
    return {
        model: role_titles(recipes.get(model, {}))[role] if role in ROLE_TITLES and roles.count(role) == 1 else model
        for model, role in models.items()
    }


def write_results_json(
    path: Path,
    name: str,
    summary: Sequence[str],
    care: Sequence[str],
    results: Sequence[Result],
    measurements: Measurements,
) -> None:
    """Write the figures with machine, settings and provenance as JSON; raw samples stay with the measurements.

    Args:
        path: of the file.
        name: of the report.
        summary: what the figures show, in sentences.
        care: what spoils or limits them.
        results: the figures.
        measurements: they come from.
    """
    benchmark = to_plain(measurements.benchmark)
    content = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "summary": list(summary),
        "results": [_plain_result(result) for result in results],
        **{name: benchmark[name] for name in BENCHMARK_FIELDS},
        "settings": benchmark["settings"],
        "warnings": list(care),
        **{k: benchmark[k] for k in ("machine_before", "machine_after")},
        "bundles": [
            {**entry["manifest"], "manifest_sha256": entry["manifest_sha256"]} for entry in benchmark["bundles"]
        ],
    }
    write_json(path, content)


def write_results_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one line per candidate; what was not measured or may not be given is empty."""
    classes = list(dict.fromkeys(label for r in results if r.figures for label in r.figures.per_class))
    write_csv(path, [flat_result(result, classes) for result in results])


def write_csv(path: Path, rows: Sequence[CsvRow]) -> None:
    """Write rows with the columns of the first one; what a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["model"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else _harmless(value) for key, value in row.items()})
    write_text(path, text.getvalue())


def _sort_key(row: LatencyRow) -> tuple[int, str, int, str, str, int, int]:
    subject = row.subject
    order = PRECISION_ORDER.index(subject.precision) if subject.precision in PRECISION_ORDER else len(PRECISION_ORDER)
    place = ROLE_ORDER.index(subject.role), subject.model, order, subject.variant, subject.runtime
    return *place, SCENARIOS.index(row.scenario), row.batch


def _plain_result(result: Result) -> dict[str, Any]:
    latency = to_plain(result.latency)
    for name in LEFT_OUT_OF_RESULTS:
        del latency[name]
    footprint = to_plain(result.footprint) if result.footprint else {}
    return {
        "title": result.title,
        **latency,
        "accuracy": result.figures.to_dict() if result.figures else None,
        "inspection": plain_line(result.line) if result.line else None,
        **{key: footprint.get(key) for key in FOOTPRINT_FIELDS},
        "energy": [_without_subject(row) for row in result.energy],
        "soak": _without_subject(result.soak) if result.soak else None,
    }


def _without_subject(row: EnergyRow | SoakRow) -> dict[str, Any]:
    """A row within a result, which says what it is about."""
    return {key: value for key, value in to_plain(row).items() if key not in LEFT_OUT_OF_ENERGY}


def flat_result(result: Result, classes: Sequence[str]) -> CsvRow:
    """A result as columns of a table, with those of these classes."""
    row, figures = result.latency, result.figures
    per_class = figures.per_class if figures else {}
    return {
        **{name: getattr(row.subject, name) for name in ("model", "role", "variant", "precision", "runtime")},
        "kind": row.kind,
        "scenario": row.scenario,
        "driver": row.driver,
        "batch": row.batch,
        "threads": row.threads,
        "threads_at_work": row.threads_at_work,
        "starts": row.starts,
        "images": figures.images if figures else None,
        **{name: getattr(figures, name) if figures else None for name in FIGURE_TITLES},
        **{f"ap_class_{label}": per_class.get(label) for label in classes},
        **flat_line(result.line, classes),
        **{name: value for stage in reversed(STAGES) for name, value in _flat_stage(row, stage).items()},
        **_flat_estimate("images_per_second", row.images_per_second),
        **_flat_punctuality(row.punctuality),
        "warmup_calls": row.warmup_calls,
        "complete": row.complete,
        **{name: getattr(result.footprint, name) if result.footprint else None for name in FOOTPRINT_FIELDS},
        **flat_energy(result.energy, row.subject.runtime),
        **flat_soak(result.soak),
    }


def _flat_stage(row: LatencyRow, stage: str) -> dict[str, Any]:
    """The figures of a stage; a stage that was not timed has empty cells, a percentile not given says why."""
    summary = row.stages.get(stage)
    flat: dict[str, Any] = {"n": summary.n if summary else None}
    for name in ESTIMATED_FIELDS:
        low, high = summary.intervals.get(name, (None, None)) if summary else (None, None)
        flat |= {name: _cell(summary, name), f"{name}_low": low, f"{name}_high": high}
    flat |= {name: getattr(summary, name) if summary else None for name in ("min_ms", "max_ms")}
    return {f"{stage}_{name}": value for name, value in flat.items()}


def _cell(summary: Summary | None, name: str) -> float | str | None:
    if summary is None:
        return None
    return f"{INVALID}: {summary.invalid[name]}" if name in summary.invalid else getattr(summary, name)


def _flat_estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    parts = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), parts, strict=True))


def _flat_punctuality(punctuality: Punctuality | None) -> dict[str, Any]:
    names = ("frame_rate_hz", "deadline_ms", "queue", "frames", "late", "dropped")
    return {
        **{name: getattr(punctuality, name) if punctuality else None for name in names},
        **_flat_estimate("miss_share", punctuality.miss_share if punctuality else None),
    }


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, made a plain text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
