"""The report: one HTML file that needs nothing else, with ``results.json`` and ``results.csv`` beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...core.files import write_text
from ...core.models import in_sentence
from ...detection.dataset import DataSet
from ...detection.detections import Detections
from ...detection.intervals import Estimate
from ..accelerators import GpuState
from ..accuracy import load_detections
from ..measurement import BundleEntry, MachineState, Measurements, read_rows
from .care import sentences_of_care
from .charts import accuracy_latency_chart, stage_chart
from .energy_part import energy_part
from .glance import glance
from .latency import latency_part
from .line_charts import froc_chart, precision_recall_chart
from .pages import drawn, page_environment, page_style
from .pictures import Example, make_examples, make_misses
from .plot import series_colour
from .results import Result, collect_results, role_titles, write_results_csv, write_results_json
from .summary import summary_sentences
from .training import TrainingFiles, training_part

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class ReportInput:
    """What a report is made from.

    Attributes:
        name: of the run; the report's title.
        measurements: ``measurements.jsonl`` of a benchmark, with the detections it names beside it. It carries the
            manifests of the bundles.
        data: what was measured on; its pictures are the examples.
        recipe: as plain JSON values; empty if there is none.
        trainings: what the trainings left, by role (teacher, student, distilled), as far as they are there.
        watched: the data whose pictures the trainings were watched on; None where that is ``data``.
    """

    name: str
    measurements: Path
    data: DataSet
    recipe: Mapping[str, Any] = field(default_factory=dict)
    trainings: Mapping[str, TrainingFiles] = field(default_factory=dict)
    watched: DataSet | None = None


def build_report(source: ReportInput, target: Path) -> Path:
    """Write ``report.html``, ``results.json`` and ``results.csv`` into a folder.

    Args:
        source: see :class:`ReportInput`.
        target: the folder; it is made if it is missing.

    Returns:
        The path of the HTML file.

    Raises:
        TemperError: if the measurements are missing, damaged or empty.
        MissingDependencyError: if Matplotlib is not installed.
    """
    measurements = read_rows(source.measurements)
    results = collect_results(measurements)
    if not results and measurements.benchmark.machine_before.emulated:
        raise TemperError(
            f"{source.measurements} was measured on an emulated processor, so it has no latencies and there is no page "
            "of it; measure with 'temper bench run' on the device."
        )
    if not results:
        raise TemperError(f"{source.measurements} holds no latencies to report. Measure again with 'temper bench run'.")
    recipe = dict(source.recipe) or _recipe_of(measurements.benchmark.bundles)
    summary = summary_sentences(results, measurements.benchmark)
    care = sentences_of_care(results, measurements.benchmark, source.trainings, role_titles(recipe))
    page = _render(source, measurements, results, recipe, Words(summary, care))
    write_results_json(target / "results.json", source.name, summary, care, results, measurements)
    write_results_csv(target / "results.csv", results)
    write_text(target / REPORT_NAME, page)
    return target / REPORT_NAME


@dataclass(frozen=True)
class Words:
    """What the report says about its figures.

    Attributes:
        summary: what they show.
        care: what spoils or limits them.
    """

    summary: Sequence[str]
    care: Sequence[str]


def _render(
    source: ReportInput,
    measurements: Measurements,
    results: Sequence[Result],
    recipe: Mapping[str, Any],
    words: Words,
) -> str:
    environment = page_environment()
    environment.filters.update(
        points=_points,
        percent=_percent,
        interval=_interval,
        ms=_milliseconds,
        count=_count,
        size=_size,
        duration=_duration,
        chart=drawn,
    )
    benchmark = measurements.benchmark
    entries = benchmark.bundles
    training = training_part(source.trainings, source.watched or source.data, role_titles(recipe))
    return environment.get_template("report.html.j2").render(
        name=source.name,
        summary=words.summary,
        care=words.care,
        benchmark=benchmark,
        results=results,
        many_batches=len({r.batch for r in results}) > 1,
        many_runtimes=len({r.subject.runtime for r in results}) > 1,
        colour=series_colour,
        style=page_style(environment),
        accuracy_chart=accuracy_latency_chart(results),
        stage_chart=stage_chart(results),
        training=training,
        glance=glance(results, {row.role: row.parameters for row in training.facts} if training else {}),
        classes=_class_rows(results, source.data.labels),
        judged=_judged(results),
        line=_line(source, results, entries),
        **latency_part(results),
        **energy_part(results, measurements.benchmark),
        examples=_examples(source, results, entries),
        examples_precision=_examples_precision(results),
        parity=_parity_rows(entries, results),
        machine=_machine_rows(benchmark.machine_before, benchmark.machine_after),
        bundles=_bundle_rows(entries, results),
        recipe=yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True) if recipe else "",
        seed=recipe.get("seed"),
    )


def _judged(results: Sequence[Result]) -> list[Result]:
    """One result per model and graph: neither batch size nor runtime has a column of its own per class."""
    unique = {(r.subject.model, r.subject.variant): r for r in reversed(results) if r.figures is not None}
    return list(reversed(unique.values()))


def _class_rows(results: Sequence[Result], labels: Sequence[str]) -> list[dict[str, Any]]:
    judged = _judged(results)
    return [
        {"label": label, "values": [r.figures.per_class.get(label) if r.figures else None for r in judged]}
        for label in labels
    ]


def _example_results(results: Sequence[Result]) -> dict[str, Result]:
    """For each model its first graph: fp32 where it has one."""
    chosen: dict[str, Result] = {}
    for result in results:
        if result.detections is not None:
            chosen.setdefault(result.title, result)
    return chosen


def _examples_precision(results: Sequence[Result]) -> str:
    return " or ".join(dict.fromkeys(r.subject.precision for r in _example_results(results).values()))


def _examples(source: ReportInput, results: Sequence[Result], entries: Sequence[BundleEntry]) -> list[Example]:
    chosen = _example_results(results)
    return make_examples(source.data, _detections(source, chosen), _thresholds(chosen, entries))


def _line(source: ReportInput, results: Sequence[Result], entries: Sequence[BundleEntry]) -> dict[str, Any] | None:
    """What the section about escapes and false alarms shows; None where they were not measured."""
    # neither batch size nor threads change what is detected
    judged = list({result.subject: result for result in reversed(results) if result.line is not None}.values())[::-1]
    if not judged:
        return None
    # one graph of each model in what has a column, a curve or a picture for every one
    chosen = {title: result for title, result in _example_results(results).items() if result.line is not None}
    first = list(chosen.values())
    reference = next((r for r in first if r.subject.role == "distilled"), max(first, key=_ap))
    iou = reference.line.escape[None].iou if reference.line else 0.5
    return {
        "judged": judged,
        "first": first,
        "iou": iou,
        "froc": froc_chart(first),
        "precision_recall": precision_recall_chart(first),
        "reference_name": in_sentence(reference.title),
        "misses": make_misses(
            source.data, _detections(source, chosen), _thresholds(chosen, entries), reference.title, iou
        ),
    }


def _ap(result: Result) -> float:
    return result.figures.ap if result.figures is not None and result.figures.ap is not None else -1.0


def _detections(source: ReportInput, chosen: Mapping[str, Result]) -> dict[str, dict[str, Detections]]:
    folder = source.measurements.parent
    return {title: load_detections(folder / str(result.detections)) for title, result in chosen.items()}


def _thresholds(chosen: Mapping[str, Result], entries: Sequence[BundleEntry]) -> dict[str, NDArray[np.float32]]:
    manifests = {entry.manifest.name: entry.manifest for entry in entries}
    thresholds = {}
    for title, result in chosen.items():
        manifest = manifests[result.subject.model]
        thresholds[title] = np.array([manifest.thresholds[label] for label in manifest.labels], np.float32)
    return thresholds


def _parity_rows(entries: Sequence[BundleEntry], results: Sequence[Result]) -> list[dict[str, Any]]:
    titles = {r.subject.model: r.title for r in results}
    return [
        {
            "title": titles.get(entry.manifest.name, entry.manifest.name),
            "variant": variant.name,
            "parity": variant.parity,
        }
        for entry in entries
        for variant in entry.manifest.variants
        if variant.parity is not None
    ]


def _bundle_rows(entries: Sequence[BundleEntry], results: Sequence[Result]) -> list[dict[str, Any]]:
    titles = {r.subject.model: r.title for r in results}
    return [
        {"title": titles.get(entry.manifest.name, entry.manifest.name), "entry": entry, "manifest": entry.manifest}
        for entry in entries
    ]


def _recipe_of(entries: Sequence[BundleEntry]) -> dict[str, Any]:
    """The recipe that the bundles were made with, if all agree."""
    recipes = [entry.manifest.made_by.recipe for entry in entries]
    return dict(recipes[0]) if recipes and all(recipe == recipes[0] for recipe in recipes) else {}


def _machine_rows(before: MachineState, after: MachineState) -> list[tuple[str, str]]:
    physical, logical = before.physical_cores or "an unknown number of", before.logical_cores or "an unknown number of"
    load = ["not told" if state.load_average is None else f"{state.load_average[0]:.2f}" for state in (before, after)]
    quota = "" if before.cpu_quota_cores is None else f", of which the container may use {before.cpu_quota_cores:g}"
    limit = (
        "" if before.memory_limit_mib is None else f", of which the container may use {_gib(before.memory_limit_mib)}"
    )
    other = "not told" if before.other_cpu_share is None else f"{before.other_cpu_share:.0%} of the processors"
    return [
        ("Processor", before.cpu_model or "not told"),
        ("Architecture", before.architecture),
        ("Cores", f"{physical} physical, {logical} logical, {before.usable_cores} usable{quota}"),
        ("Instructions", ", ".join(before.cpu_features) or "not told"),
        ("Governor", before.governor or "not told"),
        ("Clock at the start", "not told" if before.frequency_mhz is None else f"{before.frequency_mhz:.0f} MHz"),
        *((f"GPU {number}" if len(before.gpus) > 1 else "GPU", _gpu(gpu)) for number, gpu in enumerate(before.gpus)),
        *([("GPUs that may be used", before.visible_gpus)] if before.visible_gpus is not None else []),
        *([("Power mode", before.power_mode)] if before.power_mode else []),
        ("Virtual machine", {True: "yes", False: "no", None: "not told"}[before.virtual_machine]),
        ("Memory", f"{_gib(before.memory_mib)}, {_gib(before.memory_available_mib)} free{limit}"),
        ("Other programs at the start", other),
        ("Load average", f"{load[0]} before, {load[1]} after (its own work included)"),
        ("System", f"{before.system}, kernel {before.kernel}"),
        ("Software", ", ".join([f"Python {before.python}", *(f"{k} {v}" for k, v in before.packages.items())])),
    ]  # fmt: skip


def _gpu(gpu: GpuState) -> str:
    told = [
        gpu.name,
        None if gpu.memory_mib is None else _gib(gpu.memory_mib),
        None if gpu.clock_mhz is None else f"{gpu.clock_mhz:.0f} MHz at the start",
        None if gpu.max_clock_mhz is None else f"{gpu.max_clock_mhz:.0f} MHz at most",
        None if gpu.power_limit_w is None else f"{gpu.power_limit_w:.0f} W at most",
        None if gpu.driver is None else f"driver {gpu.driver}",
    ]
    return ", ".join(text for text in told if text)


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _interval(estimate: Estimate | None, form: str = "%.1f", factor: float = 1) -> str:
    """The ends of an interval; empty where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{form % (factor * estimate.low)}–{form % (factor * estimate.high)}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _size(count: int) -> str:
    """Bytes as megabytes of 10^6."""
    return f"{count / 1e6:.1f}" if count >= 1e6 else f"{count / 1e6:.2f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"
