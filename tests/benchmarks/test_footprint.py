"""A benchmark on an emulated processor: accuracy and what the graphs weigh, and no duration anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from temper.benchmarks.candidate import Candidate
from temper.benchmarks.history.store import History, remember
from temper.benchmarks.machine import EMULATED
from temper.benchmarks.measurement import MEASUREMENTS_NAME, BenchmarkSettings, Measurements
from temper.benchmarks.report.build import ReportInput, build_report
from temper.benchmarks.run import run_benchmark
from temper.cli import main
from temper.commands.bench_overview import overview
from temper.core.errors import TemperError
from temper.core.events import Event
from temper.detection.dataset import DataSet

Emulated = tuple[Path, Measurements, list[Event]]


@pytest.fixture(scope="module")
def emulation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for place in ("benchmarks.machine", "benchmarks.compare.run", "deploy.run"):
            patch.setattr(f"temper.{place}.is_emulated", lambda: True)
        yield


@pytest.fixture(scope="module")
def emulated(
    emulation: None, bundles: dict[str, Path], data: DataSet, tmp_path_factory: pytest.TempPathFactory
) -> Emulated:
    out, events = tmp_path_factory.mktemp("emulated") / "out", []
    candidates = [Candidate(path, "fp32", batch=batch, threads=1) for path in bundles.values() for batch in (1, 2)]
    return out, run_benchmark(candidates, data, BenchmarkSettings(driver="temper"), out, events.append), events


def test_there_is_accuracy_and_no_duration(emulated: Emulated) -> None:
    out, rows, events = emulated
    assert rows.latency == ()
    assert [row.subject.model for row in rows.accuracy] == ["big", "small"]
    assert [(row.subject.model, row.batch) for row in rows.footprint] == [
        ("big", 1), ("big", 2), ("small", 1), ("small", 2),
    ]  # fmt: skip
    for row in rows.footprint:
        assert row.file_bytes > 0
        assert row.runtime_version
        assert (row.load_ms, row.first_call_ms, row.peak_memory_mib, row.idle_memory_mib) == (None,) * 4
    assert rows.benchmark.machine_before.emulated is rows.benchmark.machine_after.emulated is True
    assert rows.benchmark.incomplete is None
    kinds = {json.loads(line)["row"] for line in (out / MEASUREMENTS_NAME).read_text().splitlines()}
    assert "latency" not in kinds
    assert {"benchmark", "accuracy", "footprint"} <= kinds
    assert list(rows.benchmark.warnings) == [EMULATED]
    assert [event.data["message"] for event in events if event.kind == "warning"] == [EMULATED]


def test_the_terminal_shows_what_there_is(emulated: Emulated) -> None:
    lines = overview(emulated[1])
    assert len(lines) == 3
    assert "mAP" in lines[0] and "no latency" in lines[0]
    assert not any("ms" in line or "images/s" in line for line in lines)


def test_there_is_no_page_of_it(emulated: Emulated, data: DataSet, tmp_path: Path) -> None:
    source = ReportInput("emulated", emulated[0] / MEASUREMENTS_NAME, data)
    with pytest.raises(TemperError, match="emulated processor, so it has no latencies and there is no page of it"):
        build_report(source, tmp_path)


def test_the_history_leaves_it_out(emulated: Emulated, tmp_path: Path) -> None:
    path, events = tmp_path / "history.sqlite3", list[Event]()
    remember(emulated[1], path, emulated[0], events.append, "benchmark")
    assert not path.exists()
    assert events == []
    with History(path) as history, pytest.raises(TemperError, match="ran on an emulated processor"):
        history.add(emulated[1])


def test_two_bundles_are_compared_without_latency(
    emulation: None, bundles: dict[str, Path], data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [str(path) for path in bundles.values()]
    assert main(["bench", "compare", *sides, "--data", str(data_folder), "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "ap" in told["effects"]
    assert "latency" not in told["effects"]
    assert told["starts"] == []
    assert EMULATED in told["warnings"]
    assert EMULATED in (tmp_path / "comparison.html").read_text()


@pytest.mark.parametrize("words", [("--only", "latency"), (), ("--data", "DATA", "--fail-if", "latency_ratio>1.1")])
def test_latency_alone_or_a_condition_on_it_is_refused(
    emulation: None,
    words: tuple[str, ...],
    bundles: dict[str, Path],
    data_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sides = [str(path) for path in bundles.values()]
    given = [str(data_folder) if word == "DATA" else word for word in words]
    assert main(["bench", "compare", *sides, *given]) == 2
    assert "Latency cannot be compared here. The processor is emulated" in capsys.readouterr().err


def test_a_run_tells_no_speed(
    emulation: None, bundles: dict[str, Path], data: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = str(data.image_folder)
    assert main(["deploy", "run", str(bundles["student"]), "--source", pictures, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "6 frames" in told.out
    assert "frames/s" not in told.out + told.err
    assert "takes" not in told.out
    assert "The processor is emulated, so no speed is told" in told.out + told.err
