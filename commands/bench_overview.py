"""What ``temper bench run`` prints of its figures: one line per candidate and scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bench_overview_energy import energy_overview

if TYPE_CHECKING:
    from ..benchmarks.measurement import Measurements
    from ..benchmarks.report.results import Result

INVALID = "INVALID"
#: The percentiles there is room for.
SHOWN = ("p50_ms", "p90_ms", "p99_ms")


def overview(measured: Measurements) -> list[str]:
    """The figures that matter most, and below them why any of them cannot be given."""
    from ..benchmarks.report.latency import invalid_reasons
    from ..benchmarks.report.results import collect_results

    results = collect_results(measured)
    if not results:
        return _without_latency(measured)
    on_a_line = any(result.latency.punctuality for result in results)
    head = (
        f"{'model':<24} {'graph':<8} {'runtime':<12} {'scenario':<13} {'batch':>5} {'mAP':>6} {'escapes':>8} "
        f"{'false/image':>11} {'p50 ms':>9} {'p90 ms':>9} {'p99 ms':>9} {'images/s':>9}"
    )
    lines = [head + (f" {'misses':>20}" if on_a_line else "") + "  (measured)"]
    lines += [_line(result, on_a_line) for result in results]
    reasons = invalid_reasons(results, SHOWN)
    lines += [f"{INVALID}: {'; '.join(reasons)}."] if reasons else []
    return lines + energy_overview(measured)


def _without_latency(measured: Measurements) -> list[str]:
    """What there is of a processor that is emulated: accuracy, and the size of the graph."""
    from ..benchmarks.report.line import line_figures

    lines, sizes = line_figures(measured), {row.subject: row.file_bytes for row in measured.footprint}
    told = [
        f"{'model':<24} {'graph':<8} {'runtime':<12} {'mAP':>6} {'escapes':>8} {'false/image':>11} {'file MB':>8}  "
        "(measured; no latency, as the warning says)"
    ]
    for row in measured.accuracy:
        line, size = lines.get(row.subject), sizes.get(row.subject)
        escaped = line.escape[None].escape.rate.value if line else None
        alarms = line.alarms[None].alarms.per_image.value if line else None
        told.append(
            f"{row.subject.model:<24} {row.subject.variant:<8} {row.subject.runtime:<12} "
            f"{'-' if row.figures.ap is None else format(row.figures.ap, '.1f'):>6} "
            f"{'-' if escaped is None else format(escaped, '.1%'):>8} "
            f"{'-' if alarms is None else format(alarms, '.2f'):>11} "
            f"{'-' if size is None else format(size / 1e6, '.2f'):>8}"
        )
    return told


def _line(result: Result, on_a_line: bool) -> str:
    ap = result.figures.ap if result.figures else None
    escaped = result.line.escape[None].escape.rate.value if result.line else None
    alarms = result.line.alarms[None].alarms.per_image.value if result.line else None
    whole = result.latency.stages["end_to_end"]
    values = (getattr(whole, name) for name in SHOWN)
    percentiles = " ".join(f"{INVALID if value is None else format(value, '.2f'):>9}" for value in values)
    rate = result.latency.images_per_second.value
    text = (
        f"{result.subject.model:<24} {result.subject.variant:<8} {result.subject.runtime:<12} "
        f"{result.latency.scenario:<13} {result.batch:>5} {'-' if ap is None else format(ap, '.1f'):>6} "
        f"{'-' if escaped is None else format(escaped, '.1%'):>8} "
        f"{'-' if alarms is None else format(alarms, '.2f'):>11} {percentiles} "
        f"{'-' if rate is None else format(rate, '.1f'):>9}"
    )
    return text + (f" {_misses(result):>20}" if on_a_line else "")


def _misses(result: Result) -> str:
    """Share of the frames that were missed, with its interval."""
    punctuality = result.latency.punctuality
    if punctuality is None or punctuality.miss_share.value is None:
        return "-"
    share = punctuality.miss_share
    return f"{share.value:.2%} ({100 * (share.low or 0):.2f}–{100 * (share.high or 0):.2f})"
