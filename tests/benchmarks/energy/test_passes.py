"""The passes with the real worker, and a processor whose counters a thread moves on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import write_benchmark
from sys_tree import Moving, SysTree
from temper.benchmarks.candidate import Candidate
from temper.benchmarks.history.figures import entries_of
from temper.benchmarks.measurement import MEASUREMENTS_NAME, BenchmarkSettings, Measurements, read_rows
from temper.benchmarks.report.build import ReportInput, build_report
from temper.benchmarks.run import run_benchmark
from temper.benchmarks.worker_process import WorkerProcess
from temper.commands.bench_overview import overview
from temper.core.events import Event
from temper.detection.dataset import DataSet

QUICK = BenchmarkSettings(
    min_seconds=0.05, min_samples=11, max_seconds=20, rounds=2, warmup_seconds=0.2, driver="temper", minute_seconds=0.4
)
WATTS = 40.0


@pytest.fixture(scope="module")
def measured(
    bundles: dict[str, Path], data: DataSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Measurements, list[Event]]:
    """Energy and soak of calls of two pictures on a processor of 40 W at 55 °C."""
    folder = tmp_path_factory.mktemp("energy")
    tree = SysTree(folder / "sys")
    tree.with_heat(55, 2500)
    candidates = [Candidate(bundles["student"], "fp32", batch=2, threads=1)]
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch, Moving(tree, WATTS):
        patch.setattr("temper.benchmarks.energy.processor.SYS", tree.folder)
        settings = replace(QUICK, energy_seconds=0.8, soak_minutes=3)
        rows = run_benchmark(candidates, data, settings, folder / "out", events.append)
    build_report(ReportInput("energy", folder / "out" / MEASUREMENTS_NAME, data), folder / "out")
    return folder / "out", rows, events


@pytest.fixture
def no_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.benchmarks.energy.processor.SYS", tmp_path / "nothing")


def cells(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_energy_and_heat_of_every_candidate(measured: tuple[Path, Measurements, list[Event]]) -> None:
    out, rows, events = measured
    assert rows.benchmark.no_energy is None
    assert [(row.batch, row.sensor.name) for row in rows.energy] == [(2, "rapl")]
    for row in rows.energy:
        assert row.heat.watts_mean == pytest.approx(WATTS, rel=0.2)
        assert row.watts_idle == pytest.approx(WATTS, rel=0.2)
        assert row.joules_per_frame == pytest.approx(row.heat.watts_mean * row.seconds / row.frames)
        # the counter goes on at the same power whatever the candidate does
        assert abs(row.joules_per_frame_above_idle) < 0.3 * row.joules_per_frame
        assert row.seconds >= 0.8
        assert row.frames % row.batch == 0
        assert (row.heat.temperature_max_c, row.heat.clock_end_mhz, row.heat.throttled) == (55, 2500, False)
    steps = [event.data for event in events if event.data.get("unit") == "runs for energy"]
    assert [(step["done"], step["total"]) for step in steps] == [(1, 1)]
    # the same names everywhere
    told = json.loads((out / "results.json").read_text(encoding="utf-8"))["results"]
    assert told[0]["energy"][0]["joules_per_frame"] == rows.energy[0].joules_per_frame
    assert told[0]["energy"][0]["heat"]["watts_mean"] == rows.energy[0].heat.watts_mean
    (flat,) = cells(out)
    assert float(flat["joules_per_frame"]) == rows.energy[0].joules_per_frame
    assert (flat["sensor"], flat["throttled"], flat["temperature_max_c"]) == ("rapl", "False", "55.0")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="energy">Energy and heat</h2>' in page
    assert "covers: processor packages" in page
    kept = [figure for entry in entries_of(rows) for figure in entry.figures if figure.name == "joules_per_frame"]
    assert [figure.value for figure in kept] == [row.joules_per_frame for row in rows.energy]
    assert kept[0].conditions == "rapl (package-0)"


def test_without_a_sensor_cells_are_empty_and_one_sentence_says_why(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, no_sensor: None
) -> None:
    out, events = tmp_path / "out", []
    settings = replace(QUICK, energy_seconds=60)  # nobody waits for it
    rows = run_benchmark([Candidate(bundles["student"], "fp32", threads=1)], data, settings, out, events.append)
    assert rows.energy == ()
    reason = rows.benchmark.no_energy
    assert reason is not None
    assert reason.startswith("No energy and heat of what runs on onnxruntime: no sensor tells it here")
    assert "powercap has no counter of RAPL" in reason
    assert [event.data["message"] for event in events if event.data.get("message") == reason] == [reason]
    build_report(ReportInput("energy", out / MEASUREMENTS_NAME, data), out)
    (flat,) = cells(out)
    names = ("watts_mean", "watts_idle", "joules_per_frame", "temperature_max_c", "throttled", "sensor", "soak_minutes")
    assert {flat[name] for name in names} == {""}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "no sensor tells it here" in page.split('<h2 id="energy">')[1].split("</section>")[0]


def test_energy_that_was_not_asked_for_is_nowhere(data: DataSet, tmp_path: Path) -> None:
    build_report(ReportInput("plain", write_benchmark(tmp_path, data), data), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="energy"' not in page
    assert 'id="soak"' not in page
    assert {row["joules_per_frame"] for row in cells(tmp_path)} == {""}


def test_a_soak_has_a_line_a_minute(measured: tuple[Path, Measurements, list[Event]]) -> None:
    out, rows, _ = measured
    assert [(row.batch, row.complete, len(row.minutes)) for row in rows.soak] == [(2, True, 3)]
    for soaked in rows.soak:
        assert [sensor.name for sensor in soaked.sensors] == ["rapl"]
        for minute in soaked.minutes:
            assert minute.seconds >= 0.4
            assert minute.frames == soaked.batch * minute.latency.n
            assert minute.frames_per_second == pytest.approx(minute.frames / minute.seconds)
            assert minute.resident_mib is not None and minute.resident_mib > 20
            assert minute.heat[0].watts_mean == pytest.approx(WATTS, rel=0.2)
        assert soaked.slowdown is not None and soaked.slowdown.low is not None
        assert soaked.slowdown.low <= soaked.slowdown.value <= soaked.slowdown.high  # type: ignore[operator]
        assert soaked.verdict in ("slowed", "faster", "no change shown")
    page = (out / "report.html").read_text(encoding="utf-8")
    section = page.split('<h2 id="soak">')[1].split("</section>")[0]
    assert [section.count(f'<th scope="row">{number}</th>') for number in range(1, 5)] == [1, 1, 1, 0]
    flat = cells(out)[0]
    assert flat["soak_verdict"] == rows.soak[0].verdict
    assert float(flat["soak_last_p50_ms"]) == rows.soak[0].minutes[-1].latency.p50_ms
    assert float(flat["soak_first_resident_mib"]) == rows.soak[0].minutes[0].resident_mib
    assert overview(rows)[-1].startswith("  small fp32 on onnxruntime, batch 2: ")


def test_a_soak_that_is_cut_off_keeps_its_minutes_and_says_so(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, no_sensor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, asked = WorkerProcess.ask, []

    def ask_or_end(worker: WorkerProcess, what: str, *args: object, **fields: object) -> object:
        asked.append(what)
        if asked.count("run_on") == 3:
            raise KeyboardInterrupt
        return ask(worker, what, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "ask", ask_or_end)
    out, events = tmp_path / "out", []
    candidates = [Candidate(bundles["student"], "fp32", threads=1)]
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(candidates, data, replace(QUICK, soak_minutes=10), out, events.append)
    rows = read_rows(out / MEASUREMENTS_NAME)
    assert rows.benchmark.incomplete == "It was interrupted."
    (soaked,) = rows.soak
    assert (soaked.complete, len(soaked.minutes)) == (False, 2)
    assert any("its soak was cut off after 2 of 10 minutes" in text for text in rows.benchmark.warnings)
    assert len(rows.latency) == 1  # and what was measured before it
    build_report(ReportInput("cut", out / MEASUREMENTS_NAME, data), out)
    assert "It was cut off after 2 of 10 minutes." in (out / "report.html").read_text(encoding="utf-8")
    assert cells(out)[0]["soak_complete"] == "False"
