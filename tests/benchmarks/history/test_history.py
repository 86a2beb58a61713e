from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import benchmark_row, footprint, latency, manifest, subject, write_benchmark
from temper.benchmarks.history.figures import FIGURES, entries_of, machine_key
from temper.benchmarks.history.regression import find_regressions, series_of
from temper.benchmarks.history.store import History, Point, history_path, remember
from temper.benchmarks.history.words import series_title
from temper.benchmarks.latency_rows import Driver, Punctuality
from temper.benchmarks.measurement import Measurements, read_rows
from temper.commands.bench_history import FIGURE_NAMES
from temper.core.errors import TemperError
from temper.core.events import Event, silent
from temper.detection.dataset import DataSet
from temper.detection.intervals import Estimate


@pytest.fixture
def measured(tmp_path: Path, data: DataSet) -> Measurements:
    """Two graphs of three models, with every kind of row."""
    return read_rows(write_benchmark(tmp_path / "bench", data))


def timed(on: DataSet, ms: float, day: int, graph: str = "a", spread: float = 0.01, **row: object) -> Measurements:
    """One candidate of a given median latency, measured on a given day."""
    one, made = subject("student"), manifest("student", on.labels, ["fp32"])
    variant = made.variants[0].model_copy(update={"sha256": graph * 64})
    made = made.model_copy(update={"variants": [variant]})
    row_of = latency(one, ms)
    whole = replace(row_of.stages["end_to_end"], intervals={"p50_ms": (ms * (1 - spread), ms * (1 + spread))})
    first = replace(benchmark_row(on, [made]), started_at=f"2026-01-{day:02d}T10:00:00+00:00", **row)  # type: ignore[arg-type]
    return Measurements(
        first, (replace(row_of, stages={**row_of.stages, "end_to_end": whole}),), (), (footprint(one, 8.0),)
    )


def p50(history: History) -> list[Point]:
    return history.points(["p50"])


def test_every_figure_of_every_candidate_is_kept(tmp_path: Path, measured: Measurements) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        assert history.add(measured)
        assert history.models() == ["steel-distilled", "steel-student", "steel-teacher"]
        for name in ("map", "p50", "escape_rate", "false_alarms", "load", "peak_memory", "file_size"):
            assert len(history.points([name])) == 6, name
        (teacher,) = [p for p in history.points(["map"], ["steel-teacher"]) if p.variant == "fp32"]
    row = next(one for one in measured.precision if one.subject.model == "steel-teacher" and one.label is None)
    whole = row.figures["ap"]
    assert (teacher.value, teacher.low, teacher.high) == (whole.value, whole.low, whole.high)
    assert (teacher.precision, teacher.runtime, teacher.batch, teacher.threads) == ("fp32", "onnxruntime", 1, None)
    assert teacher.graph_sha256 == "a" * 64


def test_the_same_benchmark_is_kept_once(tmp_path: Path, measured: Measurements) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        assert [history.add(measured), history.add(measured)] == [True, False]
        assert len(p50(history)) == 6


def test_a_slower_version_is_a_regression_beyond_both_intervals(tmp_path: Path, data: DataSet) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        for day, ms in ((1, 10.0), (2, 10.05), (3, 11.5)):
            history.add(timed(data, ms, day, graph="b" if day == 3 else "a"))
        (series,) = series_of(p50(history))
    assert [point.value for point in series.points] == pytest.approx([10.0, 10.05, 11.5], rel=0.01)
    assert [one.against for one in series.regressions] == ["the one before", "the best"]
    assert not series.regressions[0].same_graph
    sentence = series.regressions[0].sentence()
    assert "student fp32 on onnxruntime, batch 1, single-stream (driver temper): median latency is 11.50" in sentence
    assert "another graph (aaaaaaaa then)" in series.regressions[0].sentence()


def test_a_little_is_a_regression_only_where_benchmarks_are_known_to_differ_less(tmp_path: Path, data: DataSet) -> None:
    """Narrow intervals alone do not tell how far two benchmarks of one graph lie apart."""
    with History(tmp_path / "history.sqlite3") as history:
        history.add(timed(data, 10.0, 1, spread=0.002))
        history.add(timed(data, 10.5, 2, graph="b", spread=0.002))
        assert series_of(p50(history))[0].regressions == ()
        for day in range(3, 13):
            history.add(timed(data, 10.5 + 0.01 * (day % 2), day, graph="b", spread=0.002))
        history.add(timed(data, 11.0, 13, graph="c", spread=0.002))
        (series,) = series_of(p50(history))
        assert [one.against for one in series.regressions] == ["the one before", "the best"]
        # and where the intervals are wide they decide
        history.add(timed(data, 11.6, 14, graph="c", spread=0.2))
        assert series_of(p50(history))[0].regressions == ()


def test_better_is_no_regression_and_a_slow_creep_is_held_against_the_best(tmp_path: Path, data: DataSet) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        for day, ms, graph in ((1, 12.0, "a"), (2, 10.0, "b")):
            history.add(timed(data, ms, day, graph))
        assert series_of(p50(history))[0].regressions == ()
        for day, ms, graph in ((3, 10.8, "c"), (4, 11.6, "d")):
            history.add(timed(data, ms, day, graph, spread=0.012))
        (series,) = series_of(p50(history))
    assert [(one.against, one.earlier.started[:10]) for one in series.regressions] == [("the best", "2026-01-02")]
    assert "another graph (bbbbbbbb then)" in series.regressions[0].sentence()


def test_what_was_measured_with_warnings_is_neither_judged_nor_judged_by(tmp_path: Path, data: DataSet) -> None:
    busy = ["Other programs used 60% of the processors."]
    with History(tmp_path / "history.sqlite3") as history:
        history.add(timed(data, 10.0, 1))
        history.add(timed(data, 20.0, 2, warnings=busy, timing_warnings=1))
        (series,) = series_of(p50(history))
        assert series.regressions == ()
        assert "median latency of 2026-01-02 was measured with warnings. Mend what they name" in series.not_judged
        # a lucky or unlucky value under load is no measure either
        history.add(timed(data, 13.0, 3))
        (series,) = series_of(p50(history))
        assert [(one.against, one.earlier.started[:10]) for one in series.regressions] == [
            ("the one before", "2026-01-01")
        ]
        assert series.not_judged == ""
    with History(tmp_path / "other.sqlite3") as history:
        history.add(timed(data, 10.0, 1, warnings=busy, timing_warnings=1))
        history.add(timed(data, 20.0, 2))
        assert "has only earlier values that were measured with warnings" in series_of(p50(history))[0].not_judged


def test_rounds_of_one_process_have_no_interval_here(tmp_path: Path, data: DataSet) -> None:
    """Such are older files: what another process would have shown is not in them."""
    once = timed(data, 10.0, 1)
    with History(tmp_path / "history.sqlite3") as history:
        history.add(replace(once, latency=tuple(replace(row, starts=1) for row in once.latency)))
        (point,) = p50(history)
        assert (point.low, point.high) == (None, None)
        assert point.value == pytest.approx(10.0, rel=0.01)


def test_another_machine_or_other_data_is_another_series(tmp_path: Path, data: DataSet) -> None:
    first = timed(data, 10.0, 1)
    other = replace(first.benchmark.machine_before, cpu_model="Another processor")
    with History(tmp_path / "history.sqlite3") as history:
        history.add(first)
        history.add(timed(data, 20.0, 2, machine_before=other))
        history.add(timed(data, 30.0, 3, data="steel/val", data_sha256="e" * 64))
        assert [len(one.points) for one in series_of(p50(history))] == [1, 1, 1]
    # what merely happens on a machine does not make it another one
    busy = replace(first.benchmark.machine_before, memory_available_mib=1.0, kernel="7.0", other_cpu_share=0.9)
    assert machine_key(busy) == machine_key(first.benchmark.machine_before) != machine_key(other)


def test_the_same_pictures_under_another_name_are_the_same_series(tmp_path: Path, data: DataSet) -> None:
    with History(tmp_path / "h.sqlite3") as history:
        for day, name in enumerate((data.name, "set/val"), start=1):
            history.add(timed(data, 10.0, day, data=name))
        (series,) = series_of(p50(history))
    assert len(series.points) == 2
    assert f"on pictures of {data.name}, " in series_title(series)


def test_other_settings_of_a_scenario_are_another_series(tmp_path: Path, data: DataSet) -> None:
    def multi(day: int, ms: float, pictures: int, driver: Driver = "temper") -> Measurements:
        one = timed(data, ms, day)
        settings = replace(one.benchmark.settings, query_pictures=pictures)
        rows = tuple(replace(row, scenario="multi-stream", driver=driver) for row in one.latency)
        return replace(one, benchmark=replace(one.benchmark, settings=settings), latency=rows)

    def line(day: int, ms: float, rate: float) -> Measurements:
        one = timed(data, ms, day)
        kept = Punctuality(rate, 50.0, 4, 100, 0, 0, Estimate(0.0, 0.0, 0.01))
        return replace(one, latency=tuple(replace(row, scenario="line", punctuality=kept) for row in one.latency))

    with History(tmp_path / "history.sqlite3") as history:
        for measured in (multi(1, 10.0, 4), multi(2, 20.0, 8), multi(3, 30.0, 8, "loadgen"), line(4, 8.0, 10)):
            history.add(measured)
        history.add(line(5, 9.0, 30))
        history.add(multi(6, 25.0, 8))
        series = series_of(p50(history))
    assert [len(one.points) for one in series] == [1, 2, 1, 1, 1]
    (regression,) = [found for one in series for found in one.regressions]
    assert "batch 1, multi-stream (driver temper, 8 pictures a query): median latency" in regression.sentence()


def test_the_iou_of_a_find_tells_escape_rates_apart_but_not_map(tmp_path: Path, measured: Measurements) -> None:
    strict = replace(measured.benchmark, settings=replace(measured.benchmark.settings, found_iou=0.75))
    with History(tmp_path / "history.sqlite3") as history:
        history.add(measured)
        history.add(replace(measured, benchmark=strict))
        for name, count in (("escape_rate", 1), ("false_alarms", 1), ("map", 2)):
            assert {len(one.points) for one in series_of(history.points([name]))} == {count}, name


def test_accuracy_is_kept_once_whatever_the_batch_threads_or_scenario(tmp_path: Path, measured: Measurements) -> None:
    again = tuple(replace(row, batch=8, threads=2, scenario="offline") for row in measured.latency)
    later = replace(measured.benchmark, started_at="2026-02-01T10:00:00+00:00")
    with History(tmp_path / "history.sqlite3") as history:
        history.add(replace(measured, latency=(*measured.latency, *again)))
        assert (len(history.points(["map"])), len(p50(history))) == (6, 12)
        history.add(replace(measured, benchmark=later, latency=again))
        accuracy, speed = (series_of(history.points([name])) for name in ("map", "p50"))
    assert [len(one.points) for one in accuracy] == [2] * 6
    assert {(one.key.batch, one.key.threads, one.key.scenario) for one in accuracy} == {(None, None, "")}
    assert len(speed) == 12


def test_a_figure_without_an_interval_says_nothing(tmp_path: Path, data: DataSet) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        for day, ms in ((1, 10.0), (2, 20.0)):
            history.add(timed(data, ms, day))
        points = history.points(["load"])
    assert [point.low for point in points] == [None, None]
    assert find_regressions(points) == []


def test_more_is_better_for_map(tmp_path: Path, data: DataSet) -> None:
    point = Point(
        "map", 50.0, 48.0, 52.0, "m", "fp32", "fp32", "onnxruntime", 1, None, "single-stream", "", "a" * 64, "1.0",
        "machine", "a machine", "data", "d" * 64, "2026-01-01T10:00:00+00:00", "0.1.0", 0,
    )  # fmt: skip
    worse = replace(point, value=44.0, low=42.0, high=46.0)
    assert [one.against for one in find_regressions([point, worse])] == ["the one before"]
    assert find_regressions([worse, point]) == []
    assert find_regressions([point, replace(worse, high=48.5)]) == []


def test_a_benchmark_that_was_cut_off_is_not_kept(tmp_path: Path, measured: Measurements) -> None:
    cut = replace(measured, benchmark=replace(measured.benchmark, incomplete="interrupted"))
    with (
        History(tmp_path / "history.sqlite3") as history,
        pytest.raises(TemperError, match=r"was cut off \(interrupted\), so its figures are not kept"),
    ):
        history.add(cut)


def test_another_version_or_program_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with History(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(TemperError, match="holds a history of version 7; this Temper writes 2. Choose another file"):
        History(path)
    path.write_bytes(b"no database " * 100)
    with pytest.raises(TemperError, match="is no SQLite file"):
        History(path)


@pytest.mark.parametrize("folder_writable", [True, False])
def test_reading_needs_no_right_to_write(
    tmp_path: Path, measured: Measurements, monkeypatch: pytest.MonkeyPatch, folder_writable: bool
) -> None:
    path = tmp_path / "history.sqlite3"
    with History(path) as history:
        history.add(measured)
    before = path.read_bytes()
    monkeypatch.setattr("os.access", lambda *_: folder_writable)
    with History(path, read_only=True) as history:
        assert len(history.points(["p50"])) == 6
        assert len(history.models()) == 3
        with pytest.raises(TemperError, match="cannot be written"):
            history.add(
                replace(measured, benchmark=replace(measured.benchmark, started_at="2027-01-01T00:00:00+00:00"))
            )
    assert path.read_bytes() == before
    with pytest.raises(TemperError, match="unable to open"):
        History(tmp_path / "none" / "history.sqlite3", read_only=True)
    assert not (tmp_path / "none").exists()


def test_a_history_that_cannot_be_written_costs_no_measurement(tmp_path: Path, measured: Measurements) -> None:
    events: list[Event] = []
    (tmp_path / "file").write_text("x")
    remember(measured, tmp_path / "file" / "history.sqlite3", tmp_path / "bench", events.append, "benchmark")
    (event,) = events
    assert event.kind == "warning"
    assert "file is not a folder" in event.data["message"]
    assert f"'temper bench history --add {tmp_path / 'bench'}'" in event.data["message"]
    remember(measured, None, tmp_path, silent, "benchmark")


def test_where_the_history_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert history_path(tmp_path) is None, "the tests keep none"
    monkeypatch.setenv("TEMPER_HISTORY", str(tmp_path / "other.sqlite3"))
    assert history_path(Path("runs")) == tmp_path / "other.sqlite3"
    monkeypatch.delenv("TEMPER_HISTORY")
    assert history_path(tmp_path / "runs") == tmp_path / "runs" / "history.sqlite3"


def test_the_help_names_every_figure(measured: Measurements) -> None:
    assert tuple(FIGURES) == FIGURE_NAMES
    assert {figure.name for entry in entries_of(measured) for figure in entry.figures} <= set(FIGURES)


def test_warnings_of_something_else_than_durations_keep_nothing_from_being_judged(
    tmp_path: Path, data: DataSet
) -> None:
    with History(tmp_path / "history.sqlite3") as history:
        history.add(timed(data, 10.0, 1, warnings=["No sensor."]))
        history.add(timed(data, 20.0, 2, warnings=["No sensor."]))
        (series,) = series_of(p50(history))
        assert (len(series.regressions), series.not_judged) == (1, "")


def test_a_reference_in_paddle_is_no_version_of_the_bundle(data: DataSet) -> None:
    measured = timed(data, 10.0, 1)
    reference = replace(measured.latency[0].subject, variant="reference", runtime="paddle")
    both = replace(measured, latency=(*measured.latency, replace(measured.latency[0], subject=reference)))
    assert [entry.variant for entry in entries_of(both)] == ["fp32"]
