"""One page of several machines: ``report.html``, with ``results.csv`` and ``results.md`` beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ...core.errors import UsageError
from ...core.files import write_text
from ..candidate import REFERENCE
from .formats import FILTERS
from .histograms import latency_histograms
from .latency import SPANS, invalid_reasons
from .markdown import MARKDOWN_NAME, escaped, interval, table
from .pages import page_environment, page_style
from .pareto import accuracy_latency_chart, device_letters, escape_latency_chart
from .plot import series_colour
from .results import CsvRow, Result, flat_result, write_csv
from .several import Estimated, Machine, Several

#: From here on two latencies or mAPs are not level.
_POINT = 1.0


def build_several(name: str, several: Several, target: Path) -> Path:
    """Write the page of several machines, and give its path.

    Args:
        name: its title.
        several: what was measured and estimated.
        target: the folder; it is made if it is missing.

    Raises:
        UsageError: if the folder holds one of the benchmarks.
        MissingDependencyError: if Matplotlib is not installed.
    """
    from .build import REPORT_NAME

    summary, care = summary_sentences(several), sentences_of_care(several)
    page = _render(name, several, summary, care)
    write_csv(target / "results.csv", [*_measured_rows(several), *(_estimated_row(one) for one in several.estimates)])
    write_text(target / MARKDOWN_NAME, _markdown(name, several, summary, care))
    write_text(target / REPORT_NAME, page)
    return target / REPORT_NAME


def require_own_folder(target: Path, folders: Sequence[Path]) -> None:
    """Refuse to write over the report of one of the benchmarks.

    Raises:
        UsageError: if ``target`` is one of the folders.
    """
    if target.resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"{target} has a report of its own benchmark, which would be replaced. Choose another --out.")


def summary_sentences(several: Several) -> list[str]:
    """What stands here, which was the fastest of those that are as accurate as the best, and what estimates are."""
    measured = [result for _, result in several.results]
    sentences = []
    if measured:
        graphs = {(r.title, r.subject.variant) for r in measured if r.subject.variant != REFERENCE}
        machines = _counted(len(several.machines), "machine")
        sentences.append(f"{_counted(len(graphs), 'graph')} measured on {machines}.")
    marks = [mark for mark in several.marks() if not mark.estimated and mark.ap is not None]
    if marks and several.compares:
        best = max(mark.ap or 0.0 for mark in marks)
        near = min((mark for mark in marks if best - (mark.ap or 0.0) <= _POINT), key=lambda mark: mark.latency_ms)
        sentences.append(
            f"Of those within a point of the highest mAP ({best:.1f}) the fastest is {near.name}: "
            f"{near.ap or 0.0:.1f} mAP at {near.latency_ms:.2f} ms."
        )
    if several.estimates:
        devices = len({one.device for one in several.estimates})
        sentences.append(
            f"{_counted(len(several.estimates), 'latency', 'latencies')} of {_counted(devices, 'device')} were "
            "estimated, not measured, and of the graph alone: each is marked so, carries a ~ and its interval."
        )
    return sentences


def sentences_of_care(several: Several) -> list[str]:
    """What spoils or limits the comparison of the machines, then each machine's own warnings."""
    data = {machine.measurements.benchmark.data_sha256: machine for machine in several.machines}
    said = []
    if len(data) > 1:
        names = ", ".join(f"{one.measurements.benchmark.data} on {one.name}" for one in data.values())
        said.append(f"Not all were judged on the same pictures, so accuracies of two machines do not compare: {names}.")
    leading = {result.latency.scenario for results in several.leading().values() for result in results}
    if len(leading) > 1:
        said.append(
            f"The machines have no scenario in common ({', '.join(sorted(leading))}): latencies do not compare."
        )
    batches = {min(result.batch for result in results) for results in several.leading().values() if results}
    if len(batches) > 1:
        said.append(
            f"The smallest batches that were measured differ ({', '.join(map(str, sorted(batches)))}), and a call of "
            "more pictures takes longer: latencies do not compare."
        )
    unjudged = sorted({f"{one.title} {one.row.subject.precision}" for one in several.estimates if one.judged is None})
    if unjudged:
        said.append(f"Nobody measured the accuracy of {', '.join(unjudged)}, so the plots lack these estimates.")
    cramped = sorted({f"{one.title} on {one.device}" for one in several.estimates if not one.row.fits})
    if cramped:
        said.append(f"By the estimate, memory is too small for {', '.join(cramped)}.")
    return said + [
        f"{machine.name}: {warning}"
        for machine in several.machines
        for warning in machine.measurements.benchmark.warnings
    ]


def _render(name: str, several: Several, summary: Sequence[str], care: Sequence[str]) -> str:
    from .build import machine_rows

    environment = page_environment()
    environment.filters.update(FILTERS)
    marks = several.marks()
    leading = [result for results in several.leading().values() for result in results]
    span = SPANS[leading[0].latency.scenario] if leading else SPANS["single-stream"]
    results = [result for _, result in several.results]
    states = [
        dict(machine_rows(one.measurements.benchmark.machine_before, one.measurements.benchmark.machine_after))
        for one in several.machines
    ]
    return environment.get_template("several.html.j2").render(
        name=name,
        several=several,
        summary=summary,
        care=care,
        letters=device_letters([mark.device for mark in marks]),
        accuracy_chart=accuracy_latency_chart(marks, span, several.compares),
        escape_chart=escape_latency_chart(marks, span, several.compares),
        histograms=[(one.name, latency_histograms(one.results, f"{n}-")) for n, one in enumerate(several.machines)],
        invalid=invalid_reasons(results),
        facts=[(label, [state.get(label, "–") for state in states]) for label in dict.fromkeys(chain(*states))],
        colour=series_colour,
        style=page_style(environment),
    )


def _measured_rows(several: Several) -> list[CsvRow]:
    results = [result for _, result in several.results]
    classes = list(dict.fromkeys(label for r in results if r.figures for label in r.figures.per_class))
    return [{"machine": machine.name, **flat_result(result, classes)} for machine, result in several.results]


def _estimated_row(one: Estimated) -> CsvRow:
    """The columns an estimate has; the others stay empty."""
    row = one.row
    return {
        "machine": one.device,
        **{name: getattr(row.subject, name) for name in ("model", "role", "variant", "precision", "runtime")},
        "kind": row.kind,
        "scenario": "single-stream",
        "batch": row.batch,
        "end_to_end_p50_ms": row.latency_ms,
        "end_to_end_p50_ms_low": row.interval_ms[0],
        "end_to_end_p50_ms_high": row.interval_ms[1],
    }


def _markdown(name: str, several: Several, summary: Sequence[str], care: Sequence[str]) -> str:
    parts = [f"# {escaped(name)}", *map(escaped, summary)]
    if care:
        parts += ["## Read with care", "\n".join(f"- {escaped(one)}" for one in care)]
    heads = ("model", "graph", "runtime", "machine", "scenario", "batch", "mAP", "escape rate [%]", "p50 [ms]", "kind")
    rows = [_markdown_row(machine, result) for machine, result in several.results]
    rows += [_markdown_estimate(one) for one in several.estimates]
    return "\n\n".join([*parts, "## Figures", table(heads, rows, numbers=0)]) + "\n"


def _markdown_row(machine: Machine, result: Result) -> list[str]:
    whole, figures = result.latency.stages["end_to_end"], result.figures
    rate = result.line.escape[None].escape.rate if result.line else None
    low, high = whole.intervals.get("p50_ms", (None, None))
    return [
        result.title, result.subject.variant, result.subject.runtime, machine.name, result.latency.scenario,
        str(result.batch), interval(figures.ap if figures else None, None, None),
        interval(rate.value, rate.low, rate.high, factor=100) if rate else "–",
        interval(whole.p50_ms, low, high, "{:.2f}"), "measured",
    ]  # fmt: skip


def _markdown_estimate(one: Estimated) -> list[str]:
    row, subject = one.row, one.row.subject
    said = interval(row.latency_ms, *row.interval_ms, "{:.2f}")
    return [
        one.title, subject.precision, subject.runtime, one.device, "single-stream", str(row.batch), "–", "–",
        f"~{said}", "ESTIMATED",
    ]  # fmt: skip


def _counted(count: int, word: str, plural: str = "") -> str:
    return f"{count} {word if count == 1 else plural or word + 's'}"
