"""The same figures as Markdown: for a merge request, a wiki or an issue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...core.files import write_text
from ...detection.intervals import Estimate
from ..latency_rows import Summary
from ..measurement import BenchmarkRow
from .latency import SCENARIO_SENTENCES, invalid_reasons
from .results import INVALID, Result

MARKDOWN_NAME = "results.md"
#: What Markdown, or the HTML in it, would take for its own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def write_results_markdown(
    path: Path,
    name: str,
    summary: Sequence[str],
    care: Sequence[str],
    results: Sequence[Result],
    benchmark: BenchmarkRow,
    machine: Sequence[tuple[str, str]],
) -> None:
    """Write sentences, one table of accuracy and one of latency, and the machine, as GitHub's Markdown.

    Args:
        path: of the file.
        name: of the report.
        summary: what the figures show.
        care: what spoils or limits them.
        results: the figures.
        benchmark: they were measured in.
        machine: what is known of the machine: names and values.
    """
    read = benchmark.images - len(benchmark.unread)
    parts = [
        f"# {escaped(name)}",
        f"{read} pictures of {escaped(benchmark.data)}, Temper {benchmark.temper}, {benchmark.finished_at}. "
        "Every figure is measured; in brackets are 95 % intervals.",
        *map(escaped, summary),
    ]
    if care:
        parts += ["## Read with care", "\n".join(f"- {escaped(sentence)}" for sentence in care)]
    judged = list({result.subject: result for result in reversed(results) if result.figures}.values())[::-1]
    if judged:
        parts += ["## Accuracy", _accuracy_table(judged)]
        parts += [
            "mAP, AP50 and AP75 in points of 100 (COCO); escapes and false alarms at each bundle's own thresholds."
        ]
    parts += ["## Latency", _latency_table(results)]
    if invalid := invalid_reasons(results):
        parts += [f"{INVALID}: {'; '.join(invalid)}."]
    parts += [" ".join(SCENARIO_SENTENCES[one] for one in dict.fromkeys(r.latency.scenario for r in results))]
    parts += ["## The machine", table(("", ""), machine, numbers=0)]
    write_text(path, "\n\n".join(parts) + "\n")


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A Markdown table of plain texts, whose last ``numbers`` columns stand to the right."""
    lines = [heads, ["---"] * (len(heads) - numbers) + ["---:"] * numbers]
    lines += [[escaped(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval(
    value: float | None, low: float | None, high: float | None, form: str = "{:.1f}", factor: float = 1
) -> str:
    """A figure with its interval, "35.4 (29.9–38.1)"; a dash where there is none."""
    if value is None:
        return "–"
    text = form.format(factor * value)
    return text if low is None or high is None else f"{text} ({form.format(factor * low)}–{form.format(factor * high)})"


def _accuracy_table(results: Sequence[Result]) -> str:
    heads = ("model", "graph", "runtime", "mAP", "AP50", "AP75", "escape rate [%]", "false alarms per picture")
    return table(heads, [_accuracy_row(result) for result in results], numbers=5)


def _accuracy_row(result: Result) -> list[str]:
    line, figures = result.line, result.figures
    cells = [result.title, result.subject.variant, result.subject.runtime]
    for name in ("ap", "ap50", "ap75"):
        known = line.precision[None].figures[name] if line else Estimate(None, None, None)
        cells.append(interval(getattr(figures, name), known.low, known.high))
    rate = line.escape[None].escape.rate if line else Estimate(None, None, None)
    alarms = line.alarms[None].alarms.per_image if line else Estimate(None, None, None)
    cells.append(interval(rate.value, rate.low, rate.high, factor=100))
    return [*cells, interval(alarms.value, alarms.low, alarms.high, "{:.2f}")]


def _latency_table(results: Sequence[Result]) -> str:
    heads = ("model", "graph", "runtime", "scenario", "batch", "n", "mean [ms]", "p50 [ms]", "p90 [ms]", "p99 [ms]",
             "images/s", "missed [%]", "file [MB]", "load [ms]", "peak memory [MiB]")  # fmt: skip
    rows = []
    for result in results:
        whole, cost, kept = result.latency.stages["end_to_end"], result.footprint, result.latency.punctuality
        rate, miss = result.latency.images_per_second, kept.miss_share if kept else Estimate(None, None, None)
        rows.append([
            result.title, result.subject.variant, result.subject.runtime, result.latency.scenario, str(result.batch),
            str(whole.n), *(_duration(whole, name) for name in ("mean_ms", "p50_ms", "p90_ms", "p99_ms")),
            interval(rate.value, rate.low, rate.high), interval(miss.value, miss.low, miss.high, "{:.2f}", 100),
            _plain(cost.file_bytes / 1e6 if cost else None, "{:.2f}"), _plain(cost.load_ms if cost else None),
            _plain(cost.peak_memory_mib if cost else None),
        ])  # fmt: skip
    return table(heads, rows, numbers=len(heads) - 4)


def _duration(summary: Summary, name: str) -> str:
    if name in summary.invalid:
        return INVALID
    low, high = summary.intervals.get(name, (None, None))
    return interval(getattr(summary, name), low, high, "{:.2f}")


def _plain(value: float | None, form: str = "{:.0f}") -> str:
    return "–" if value is None else form.format(value)
