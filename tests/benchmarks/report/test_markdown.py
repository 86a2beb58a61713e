from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench_rows import write_benchmark
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.measurement import read_rows
from temper.benchmarks.report.markdown import escaped, table, write_results_markdown
from temper.benchmarks.report.results import collect_results
from temper.detection.dataset import DataSet


def test_the_figures_are_those_of_the_other_files(tmp_path: Path, data: DataSet) -> None:
    measured = read_rows(write_benchmark(tmp_path, data, runtimes=("onnxruntime", "openvino")))
    results = collect_results(measured)
    path = tmp_path / "results.md"
    write_results_markdown(
        path, "steel|7", ["It is fast."], ["A | B."], results, measured.benchmark, [("Processor", "Brand <X>")]
    )
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# steel\\|7\n") and "\nIt is fast.\n" in text and "- A \\| B.\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert sum(line.startswith("| Teacher | int8 | openvino |") for line in rows) == 2
    (latency,) = (
        line for line in rows if line.startswith("| MGD student | fp32 | onnxruntime | single-stream | 1 | 99 |")
    )
    cells = [cell.strip() for cell in latency.strip("|").split("|")]
    assert cells[7].startswith("6.67 (") and cells[9] == "INVALID" and cells[12:] == ["8.00", "12", "180"]
    assert "INVALID: p99 needs 662 samples" in text
    assert "| Processor | Brand \\<X\\> |" in text
    accuracy = next(line for line in rows if line.startswith("| Teacher | fp32 | onnxruntime | 60.0"))
    assert "%" not in accuracy


def test_without_truth_there_is_no_table_of_accuracy(tmp_path: Path, data: DataSet) -> None:
    measured = read_rows(write_benchmark(tmp_path, data, roles=("student",)))
    results = [replace(one, figures=None, line=None) for one in collect_results(measured)]
    write_results_markdown(tmp_path / "results.md", "steel", [], [], results, measured.benchmark, [])
    assert "## Accuracy" not in (tmp_path / "results.md").read_text(encoding="utf-8")


@given(st.lists(st.lists(st.text(max_size=12), min_size=3, max_size=3), max_size=4))
def test_no_text_leaves_its_cell(rows: list[list[str]]) -> None:
    lines = table(("a", "b", "c"), rows, numbers=1).split("\n")
    assert len(lines) == 2 + len(rows)
    for line in lines[2:]:
        assert line.replace("\\\\", "").replace("\\|", "").count("|") == 4


def test_nothing_is_taken_for_markup() -> None:
    assert escaped("<b>*x*</b>\n[a](b)") == "\\<b\\>\\*x\\*\\</b\\> \\[a\\](b)"
