"""The report's small plots of how end-to-end latencies are spread, one for each candidate and scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .naming import distinct_names
from .plot import INK, SERIES, SERIES_COLOURS, SmallChart, render_small, style_axes
from .results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Candidates with a plot of their own; of more than that, the first.
MOST_HISTOGRAMS = 24
#: Durations beyond so many medians are counted, not drawn: one hiccup would squeeze all others into one bar.
FARTHEST_MEDIANS = 3.0
_MOST_BARS, _FEWEST_BARS = 48, 8


def latency_histograms(results: Sequence[Result], prefix: str = "") -> list[SmallChart]:
    """How often each duration was seen, with a line at the median; those far beyond it are counted in the heading.

    Args:
        results: of one benchmark.
        prefix: of the charts' names, where the page has histograms of several benchmarks.
    """
    shown = [r for r in results if r.latency.samples_ms.get("end_to_end")]
    names = distinct_names(results)
    named = [n for n, r in zip(names, results, strict=True) if r.latency.samples_ms.get("end_to_end")]
    return [
        _histogram(f"spread-{prefix}{number}", name, result)
        for number, (name, result) in enumerate(zip(named, shown[:MOST_HISTOGRAMS], strict=False))
    ]


def _histogram(identity: str, name: str, result: Result) -> SmallChart:
    samples = np.asarray(result.latency.samples_ms["end_to_end"], np.float64)
    median = float(np.median(samples))
    kept = samples[samples <= FARTHEST_MEDIANS * median]
    beyond = len(samples) - len(kept)
    bars = int(np.clip(np.ceil(np.sqrt(len(kept))), _FEWEST_BARS, _MOST_BARS))
    # durations that are all the same have a bar, too
    low, high = float(kept.min()), max(float(kept.max()), float(kept.min()) * 1.001 + 1e-6)
    counts, edges = np.histogram(kept, bars, (low, high))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        style_axes(axes, grid="y")
        axes.stairs(counts, edges, fill=True, color=SERIES[result.series % SERIES_COLOURS], alpha=0.8)
        axes.axvline(median, color=INK, linewidth=1.2)
        axes.set_xlim(low, high)
        axes.set_xlabel("ms")
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="y", nbins=4, integer=True)
        axes.locator_params(axis="x", nbins=6)

    far = f" (+{beyond} longer)" if beyond else ""
    description = (
        f"How often each end-to-end latency was seen, {name}: {len(samples)} from {samples.min():.3g} to "
        f"{samples.max():.3g} ms, half of them up to {median:.3g} ms."
    )
    return render_small(identity, f"{name}{far}", draw, description)
