"""The report: one HTML file that needs nothing else, with ``results.json``, ``.csv`` and ``.md`` beside it."""

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
from ..accelerators import GpuState
from ..accuracy import load_detections
from ..measurement import BundleEntry, MachineState, Measurements, read_rows
from .care import sentences_of_care
from .charts import stage_chart
from .energy_part import energy_part
from .formats import FILTERS
from .glance import glance
from .histograms import latency_histograms
from .judged import class_rows, example_results, example_words, judged_graphs
from .latency import latency_part, span_of
from .line_charts import froc_chart, precision_recall_chart
from .markdown import MARKDOWN_NAME, write_results_markdown
from .pages import page_environment, page_style
from .pareto import accuracy_latency_chart, escape_latency_chart, marks_of
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
    """Write ``report.html``, ``results.json``, ``results.csv`` and ``results.md`` into a folder.

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
    machine = machine_rows(measurements.benchmark.machine_before, measurements.benchmark.machine_after)
    write_results_markdown(target / MARKDOWN_NAME, source.name, summary, care, results, measurements.benchmark, machine)
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
    environment.filters.update(FILTERS)
    benchmark = measurements.benchmark
    entries = benchmark.bundles
    marks, judged = marks_of(results), judged_graphs(results)
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
        accuracy_chart=accuracy_latency_chart(marks, span_of(results)),
        escape_chart=escape_latency_chart(marks, span_of(results)),
        histograms=latency_histograms(results),
        stage_chart=stage_chart(results),
        training=training,
        glance=glance(results, {row.role: row.parameters for row in training.facts} if training else {}),
        classes=class_rows(judged, source.data.labels),
        judged=judged,
        line=_line(source, results, entries),
        **latency_part(results),
        **energy_part(results, measurements.benchmark),
        examples=_examples(source, results, entries),
        examples_of=example_words(list(example_results(results).values())),
        parity=_parity_rows(entries, results),
        machine=machine_rows(benchmark.machine_before, benchmark.machine_after),
        bundles=_bundle_rows(entries, results),
        recipe=yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True) if recipe else "",
        seed=recipe.get("seed"),
    )


def _examples(source: ReportInput, results: Sequence[Result], entries: Sequence[BundleEntry]) -> list[Example]:
    chosen = example_results(results)
    return make_examples(source.data, _detections(source, chosen), _thresholds(chosen, entries))


def _line(source: ReportInput, results: Sequence[Result], entries: Sequence[BundleEntry]) -> dict[str, Any] | None:
    """What the section about escapes and false alarms shows; None where they were not measured."""
    # neither batch size nor threads change what is detected
    judged = list({result.subject: result for result in reversed(results) if result.line is not None}.values())[::-1]
    if not judged:
        return None
    # one graph of each model in what has a column, a curve or a picture for every one
    chosen = {title: result for title, result in example_results(results).items() if result.line is not None}
    first = list(chosen.values())
    reference = next((r for r in first if r.subject.role == "distilled"), max(first, key=_ap))
    iou = reference.line.escape[None].iou if reference.line else 0.5
    return {
        "judged": judged,
        "first": first,
        "iou": iou,
        "froc": froc_chart(first),
        "precision_recall": precision_recall_chart(first),
        "first_of": example_words(first),
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


def machine_rows(before: MachineState, after: MachineState) -> list[tuple[str, str]]:
    """What is known of a machine before and after a benchmark, for people: names and values."""
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


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"
