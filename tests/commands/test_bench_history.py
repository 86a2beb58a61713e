from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import write_benchmark
from temper.benchmarks.measurement import Measurements, Row, read_rows, write_rows
from temper.cli import main
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


def bench(*words: object) -> int:
    return main(["bench", *(str(word) for word in words)])


def slower(measured: Measurements, path: Path, factor: float) -> None:
    """The same benchmark a day later, every latency longer."""
    rows: list[Row] = [replace(measured.benchmark, started_at="2026-01-02T10:00:00+00:00")]
    for row in measured.latency:
        whole = row.stages["end_to_end"]
        assert whole.p50_ms is not None
        longer = replace(
            whole,
            p50_ms=factor * whole.p50_ms,
            intervals={name: (factor * low, factor * high) for name, (low, high) in whole.intervals.items()},
        )
        rows.append(replace(row, stages={**row.stages, "end_to_end": longer}))
    write_rows(path, [*rows, *measured.footprint])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two benchmarks, the second one slower."""
    monkeypatch.delenv("TEMPER_HISTORY")
    monkeypatch.chdir(tmp_path)
    first = write_benchmark(tmp_path / "first", toy_data(tmp_path / "images", 8))
    (tmp_path / "second").mkdir()
    slower(read_rows(first), tmp_path / "second" / "measurements.jsonl", 1.3)
    return tmp_path


def test_a_benchmark_that_was_run_is_in_the_history(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_split(replace(toy_data(place / "data" / "images", 4), labels=LABELS), place / "data", "val")
    bundle = make_tiny_bundle(place, name="small")
    quick = ("--seconds", "0.1", "--samples", "70", "--time-box", "2", "--threads", "1")
    assert bench("run", bundle, "--data", "data", "--out", "out", *quick) == 0
    assert (place / "runs" / "history.sqlite3").is_file()
    capsys.readouterr()
    assert bench("history", "small", "--figure", "p50", "--json") == 0
    (series,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (point,) = series["points"]
    (row,) = read_rows(place / "out" / "measurements.jsonl").latency
    assert point["value"] == row.stages["end_to_end"].p50_ms
    assert point["low"] <= point["value"] <= point["high"]
    assert bench("run", bundle, "--data", "data", "--out", "again", "--history", "none", *quick) == 0
    capsys.readouterr()
    assert bench("history", "--add", "out") == 0
    assert "out is in the history already." in capsys.readouterr().out


def test_the_history_of_another_folder_of_runs_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("history", "--history", "other/history.sqlite3", "--add", "first") == 0
    assert bench("history", "steel-teacher", "--runs", "other", "--figure", "p50") == 0
    assert "median latency [ms]: steel-teacher" in capsys.readouterr().out
    assert bench("history", "--runs", "third") == 2
    assert "There is no history third/history.sqlite3 yet" in capsys.readouterr().err


def test_a_regression_is_shown_and_may_fail(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("history", "--add", "first", "--fail-on-regression") == 0
    assert "Worse" not in capsys.readouterr().out
    words = ("history", "steel-teacher", "--figure", "p50", "--add", "second", "--html", "history.html")
    assert bench(*words, "--fail-on-regression") == 1
    told = capsys.readouterr()
    assert "median latency [ms]: steel-teacher fp32, onnxruntime, batch 1 (driver temper), on " in told.out
    assert "worse than the one before" in told.out
    assert "2 figures got worse. First: steel-teacher fp32 on onnxruntime, batch 1, " in told.err
    page = (place / "history.html").read_text()
    assert page.count("<svg") == 4, "a wide and a narrow chart for each of two graphs"
    assert "Worse: steel-teacher" in page


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "There is no history runs/history.sqlite3 yet"),
        (["--history", "none"], 2, "There is no history to show"),
        (["--figure", "p5"], 2, "there is no 'p5'. Did you mean 'p50'"),
        (["--add", "nothing"], 2, "There are no measurements at nothing/measurements.jsonl"),
        (["--add", "first", "steel-techer"], 2, "no bundle 'steel-techer'. Did you mean 'steel-teacher'"),
    ],
)
def test_mistakes_are_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    assert bench("history", *words) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
