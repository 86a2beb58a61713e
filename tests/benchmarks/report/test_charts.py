from __future__ import annotations

import re
from dataclasses import replace

import pytest
from bench_rows import benchmark_row, figures, latency, subject, write_benchmark
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.measurement import AccuracyRow, LatencyRow, Measurements, read_rows
from temper.benchmarks.report.charts import stage_chart
from temper.benchmarks.report.histograms import latency_histograms
from temper.benchmarks.report.judged import judged_graphs
from temper.benchmarks.report.naming import distinct_names
from temper.benchmarks.report.pareto import (
    accuracy_latency_chart,
    device_letters,
    escape_latency_chart,
    marks_of,
    pareto_front,
)
from temper.benchmarks.report.results import Result, collect_results
from temper.detection.dataset import DataSet

RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory, data: DataSet) -> list[Result]:
    """Three models at two precisions on two runtimes."""
    folder = tmp_path_factory.mktemp("twelve")
    return collect_results(read_rows(write_benchmark(folder, data, runtimes=RUNTIMES)))


def of_rows(data: DataSet, *rows: LatencyRow) -> list[Result]:
    judged = tuple(AccuracyRow(one, figures(50.0), "d.json") for one in dict.fromkeys(row.subject for row in rows))
    return collect_results(Measurements(benchmark_row(data, []), rows, judged, ()))


def heights(svg: str, mark: str) -> list[float]:
    """Where the texts that match stand, in the picture's own pixels from above."""
    places = re.findall(r'<text[^>]*y="([0-9.]+)"[^>]*>([^<]*)</text>', svg)
    return [float(y) for y, text in places if re.fullmatch(mark, text.strip())]


def test_every_candidate_has_a_bar_of_its_own(twelve: list[Result]) -> None:
    chart = stage_chart(twelve)
    for svg in (chart.wide, chart.narrow):
        totals = heights(svg, r"[0-9.]+ ms")
        assert len(totals) == 12 and len({round(y) for y in totals}) == 12
        size = re.search(r'viewBox="0 0 [0-9.]+ ([0-9.]+)"', svg)
        assert size is not None and all(0 < y < float(size[1]) for y in totals)
    named = heights(chart.wide, r"(Teacher|Student alone|MGD student) (fp32|int8) on (onnxruntime|openvino)")
    assert len(named) == 12
    # each name beside its own bar
    assert all(abs(a - b) < 4 for a, b in zip(sorted(named), sorted(heights(chart.wide, r"[0-9.]+ ms")), strict=True))
    assert "MGD student int8 on openvino: decode" in chart.description


def test_names_tell_all_that_differs_and_no_more(data: DataSet, twelve: list[Result]) -> None:
    assert len(set(distinct_names(twelve))) == 12
    one = subject("student")
    alone = of_rows(data, latency(one, 9.0))
    assert distinct_names(alone) == ["Student alone fp32"]
    batches = of_rows(data, latency(one, 9.0), latency(one, 30.0, batch=4))
    assert distinct_names(batches) == ["Student alone fp32, batch 1", "Student alone fp32, batch 4"]
    both = of_rows(data, latency(one, 9.0), latency(one, 30.0, batch=4, scenario="offline"))
    assert distinct_names(both)[1] == "Student alone fp32, batch 4, offline"


@pytest.mark.parametrize("chart", [accuracy_latency_chart, escape_latency_chart])
def test_a_mark_for_every_model_runtime_and_precision(twelve: list[Result], chart: object) -> None:
    drawn = chart(marks_of(twelve), "encoded picture to boxes")  # type: ignore[operator]
    hints = re.findall(r"<title>([^<]*)</title>", drawn.wide)
    assert len(hints) == 12 and len(set(hints)) == 12
    assert sum("on openvino" in hint for hint in hints) == 6
    assert "on openvino" in re.sub(r"<title>[^<]*</title>", "", drawn.wide), "the legend names the runtime"


def test_devices_have_letters_and_estimates_say_so(twelve: list[Result]) -> None:
    here = marks_of(twelve, "a laptop")
    there = [replace(mark, name=f"{mark.name}!", device="Orin", estimated=True) for mark in here[:2]]
    drawn = accuracy_latency_chart([*here, *there], "encoded picture to boxes")
    assert drawn is not None
    texts = [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawn.wide)]
    assert texts.count("A") == 12 and texts.count("B") == 2
    assert {"a laptop", "Orin", "estimated, on onnxruntime or openvino"} <= set(texts)
    assert drawn.description.count("estimated") == 2 and "at ~" in drawn.description


def test_letters_do_not_run_out() -> None:
    letters = device_letters([str(number) for number in range(60)])
    assert list(letters.values())[:2] == ["A", "B"] and letters["26"] == "AA" and len(set(letters.values())) == 60


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 100)), min_size=1, max_size=30), st.booleans())
def test_nothing_beats_a_point_of_the_front(points: list[tuple[float, float]], more: bool) -> None:
    front = pareto_front(points, more)
    sign = 1 if more else -1

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one != other and one[0] <= other[0] and sign * one[1] >= sign * other[1]

    assert set(front) == {point for point in points if not any(beats(one, point) for one in points)}


def test_every_candidate_has_a_histogram(data: DataSet, twelve: list[Result]) -> None:
    charts = latency_histograms(twelve)
    assert [chart.title for chart in charts] == distinct_names(twelve)
    assert charts[0].description.endswith(
        "Teacher fp32 on onnxruntime: 99 from 19.8 to 20.2 ms, half of them up to 20 ms."
    )
    # one duration, over and over
    assert len(latency_histograms(of_rows(data, latency(subject(), 5.0, samples=1)))) == 1


def test_a_hiccup_is_counted_and_not_drawn(data: DataSet) -> None:
    row = latency(subject(), 5.0)
    row.samples_ms["end_to_end"][7] = 900.0
    (chart,) = latency_histograms(of_rows(data, row))
    assert chart.title == "Student alone fp32 (+1 longer)"
    assert "to 900 ms" in chart.description
    assert "900" not in re.sub(r'aria-label="[^"]*"', "", chart.svg)


def test_runtimes_that_differ_have_columns_of_their_own(twelve: list[Result]) -> None:
    judged = judged_graphs(twelve)
    columns = [(one.result.subject.role, one.result.subject.variant, one.runtimes) for one in judged]
    assert columns[:3] == [
        ("teacher", "fp32", RUNTIMES),
        ("teacher", "int8", RUNTIMES[:1]),
        ("teacher", "int8", RUNTIMES[1:]),
    ]
    assert len(columns) == 9
