"""LoadGen's rule for percentiles, against its published numbers, the binomial distribution, and LoadGen itself."""

from __future__ import annotations

import re
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.early_stopping import samples_needed, withheld_reason


@pytest.mark.parametrize(("percent", "needed"), [(90, 64), (99, 662)])
def test_the_numbers_that_mlperf_publishes(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed


@given(st.integers(1, 97))
@settings(max_examples=30, deadline=None)
def test_it_is_the_smallest_number_that_the_binomial_distribution_allows(percent: int) -> None:
    inside = Fraction(percent, 100)

    def odds(samples: int) -> Fraction:
        return sum((comb(samples, k) * inside ** (samples - k) * (1 - inside) ** k for k in (0, 1)), Fraction(0))

    needed = samples_needed(percent)
    assert odds(needed) <= Fraction(1, 100) < odds(needed - 1)


@given(st.floats(1, 99.9), st.floats(1, 99.9))
def test_higher_percentiles_need_more(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert samples_needed(low) <= samples_needed(high)


def test_a_reason_names_both_numbers() -> None:
    assert withheld_reason(99, 100) == "needs 662 samples, 100 were taken"
    assert withheld_reason(99, 662) is None


@pytest.mark.parametrize("percent", [0, 100, -1])
def test_what_is_no_percentile_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        samples_needed(percent)


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9])
def test_loadgen_asks_for_as_many(tmp_path: Path, percent: float) -> None:
    loadgen = pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed")
    summary = _run_few_queries(loadgen, percent / 100, tmp_path)
    found = re.search(r"Need to process at least (\d+) queries for early stopping", summary)
    assert found is not None, summary
    assert int(found[1]) == samples_needed(percent)


def _run_few_queries(loadgen: Any, share: float, folder: Path) -> str:
    """LoadGen's summary of three queries that are answered at once."""

    def issue(samples: list[Any]) -> None:
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])

    asked, logs = loadgen.TestSettings(), loadgen.LogSettings()
    asked.scenario, asked.mode = loadgen.TestScenario.SingleStream, loadgen.TestMode.PerformanceOnly
    asked.single_stream_target_latency_percentile = share
    asked.min_duration_ms, asked.min_query_count, asked.max_query_count = 0, 3, 3
    logs.log_output.outdir = str(folder)
    logs.enable_trace = False
    sut = loadgen.ConstructSUT(issue, lambda: None)
    qsl = loadgen.ConstructQSL(1, 1, lambda numbers: None, lambda numbers: None)
    loadgen.StartTestWithLogSettings(sut, qsl, asked, logs)
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    return (folder / "mlperf_log_summary.txt").read_text(encoding="utf-8")
