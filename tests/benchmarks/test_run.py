from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from temper.benchmarks.accuracy import load_detections
from temper.benchmarks.candidate import Candidate
from temper.benchmarks.measurement import MEASUREMENTS_NAME, BenchmarkSettings, Measurements, read_rows
from temper.benchmarks.report.build import ReportInput, build_report
from temper.benchmarks.run import MADE_BY, load_truth, run_benchmark
from temper.benchmarks.worker_process import WorkerProcess
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError, UsageError
from temper.core.events import Event, silent
from temper.core.locks import held_file
from temper.deploy.runtimes.base import Runtime
from temper.deploy.runtimes.load import load_runtime
from temper.detection.dataset import DataSet
from temper.detection.detections import Status
from temper.detection.metrics import evaluate

QUICK = BenchmarkSettings(
    min_seconds=0.05, min_samples=10, max_seconds=20, rounds=2, warmup_seconds=0.3, driver="temper"
)


@pytest.fixture(scope="module")
def measured(
    bundles: dict[str, Path], data: DataSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Measurements, list[Event]]:
    out, events = tmp_path_factory.mktemp("bench") / "out", []
    candidates = [Candidate(path, "fp32", batch=batch, threads=1) for path in bundles.values() for batch in (1, 2)]
    return out, run_benchmark(candidates, data, QUICK, out, events.append), events


def test_every_candidate_has_its_rows(measured: tuple[Path, Measurements, list[Event]], data: DataSet) -> None:
    _, rows, _ = measured
    assert [(row.subject.model, row.batch) for row in rows.latency] == [
        ("big", 1),
        ("big", 2),
        ("small", 1),
        ("small", 2),
    ]
    assert [(row.subject.model, row.batch) for row in rows.footprint] == [
        (r.subject.model, r.batch) for r in rows.latency
    ]
    # the batch size does not change what is found, so mAP is measured once per graph
    assert [row.subject.model for row in rows.accuracy] == ["big", "small"]
    assert {row.kind for row in (*rows.latency, *rows.accuracy, *rows.footprint)} == {"measured"}


def test_the_first_row_says_what_the_others_rest_on(
    measured: tuple[Path, Measurements, list[Event]], data: DataSet
) -> None:
    _, rows, _ = measured
    first = rows.benchmark
    assert (first.images, first.data_sha256) == (len(data), data.content_hash())
    assert [entry.manifest.name for entry in first.bundles] == ["big", "small"]
    assert first.bundles[0].manifest_sha256 == open_bundle(Path(first.bundles[0].path)).manifest_sha256
    assert first.settings == QUICK


def test_accuracy_is_that_of_the_detections_kept(
    measured: tuple[Path, Measurements, list[Event]], data: DataSet
) -> None:
    out, rows, _ = measured
    for row in rows.accuracy:
        kept = load_detections(out / row.detections)
        again = evaluate(data, [kept[sample.file_name] for sample in data.samples])
        assert again.ap == pytest.approx(row.figures.ap, abs=1.0)  # kept to 0.01 px


def test_the_truth_comes_back_and_only_the_same_one(
    measured: tuple[Path, Measurements, list[Event]], data: DataSet
) -> None:
    out, rows, _ = measured
    assert load_truth(out, rows.benchmark).content_hash() == data.content_hash()
    with pytest.raises(TemperError, match="is not the data that was measured on"):
        load_truth(out, replace(rows.benchmark, data_sha256="0" * 64))


def test_progress_is_told(measured: tuple[Path, Measurements, list[Event]]) -> None:
    _, _, events = measured
    assert {event.stage for event in events} == {"benchmark"}
    steps = [event.data for event in events if event.kind == "step"]
    assert steps[-1]["done"] == steps[-1]["total"]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, command: str, error: BaseException) -> None:
    """Something cuts the benchmark off when a worker is asked for this the third time."""
    ask, asked = WorkerProcess.ask, []

    def ask_or_end(worker: WorkerProcess, what: str, *args: object, **fields: object) -> object:
        asked.append(what)
        if asked.count(command) == 3:
            raise error
        return ask(worker, what, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "ask", ask_or_end)


def test_an_interrupted_benchmark_keeps_what_it_measured(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "measure", KeyboardInterrupt())
    events: list[Event] = []
    candidates = [Candidate(path, "fp32", threads=1) for path in bundles.values()]
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(candidates, data, QUICK, tmp_path / "out", events.append)
    rows = read_rows(tmp_path / "out" / MEASUREMENTS_NAME)
    assert rows.benchmark.incomplete == "It was interrupted."
    assert any("cut off" in warning for warning in rows.benchmark.warnings)
    assert [(row.subject.model, len(row.rounds), row.complete) for row in rows.latency] == [
        ("big", 1, False),
        ("small", 1, False),
    ]
    assert [row.subject.model for row in rows.accuracy] == ["big", "small"]
    told = [event.data["message"] for event in events if event.kind == "warning"]
    assert any("marked as incomplete" in message and MEASUREMENTS_NAME in message for message in told)
    # and a report can be made of it
    page = build_report(ReportInput("cut", tmp_path / "out" / MEASUREMENTS_NAME, data), tmp_path / "out")
    assert "cut off" in page.read_text(encoding="utf-8")
    assert json.loads((page.parent / "results.json").read_text())["incomplete"] == "It was interrupted."


def test_a_failure_says_where_the_rest_is(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "measure", UsageError("The accelerator does not answer."))
    candidates = [Candidate(path, "fp32", threads=1) for path in bundles.values()]
    with pytest.raises(UsageError, match=r"does not answer\. What was measured before is in .*marked as incomplete"):
        run_benchmark(candidates, data, QUICK, tmp_path / "out", silent)
    assert read_rows(tmp_path / "out" / MEASUREMENTS_NAME).benchmark.incomplete == "The accelerator does not answer."


def test_accuracy_measured_before_an_interruption_is_kept(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Runtime:
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(True)
        return load_runtime(*_, **__)  # type: ignore[arg-type]

    interrupted: list[bool] = []
    monkeypatch.setattr("temper.benchmarks.paddle_reference.load_runtime", interrupt)
    candidates = [Candidate(path, "fp32", threads=1) for path in bundles.values()]
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(candidates, data, QUICK, tmp_path / "out", silent)
    rows = read_rows(tmp_path / "out" / MEASUREMENTS_NAME)
    assert [row.subject.model for row in rows.accuracy] == ["big"]
    assert (rows.latency, rows.benchmark.incomplete) == ((), "It was interrupted.")


def test_a_finished_benchmark_is_not_marked(measured: tuple[Path, Measurements, list[Event]]) -> None:
    _, rows, _ = measured
    assert rows.benchmark.incomplete is None
    assert all(row.complete for row in rows.latency)


def test_nothing_half_written_is_left(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    """No picture can be read: no rows, no leftovers, and older rows are gone, too."""
    out = tmp_path / "out"
    (out / ".measurements.jsonl.abc.partial").parent.mkdir()
    (out / ".measurements.jsonl.abc.partial").write_text("{")
    (out / MEASUREMENTS_NAME).write_text("{}")
    (out / "truth.json").write_text(f'{{"info": {{"made_by": "{MADE_BY}"}}}}')
    (out / "mine.txt").write_text("not Temper's")
    gone = replace(data, image_folder=tmp_path / "gone")
    with pytest.raises(
        TemperError, match="None of the 6 pictures of toy0/val can be used; the first: .*cannot be read"
    ):
        run_benchmark([Candidate(bundles["student"], "fp32")], replace(gone, name="toy0/val"), QUICK, out, silent)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "mine.txt", "truth.json"]


def test_two_benchmarks_do_not_write_into_one_folder(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    with held_file(tmp_path / ".lock", "taken"), pytest.raises(TemperError, match="Another benchmark is at work in"):
        run_benchmark([Candidate(bundles["student"], "fp32")], data, QUICK, tmp_path, silent)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_picture_that_cannot_be_read_is_named_and_left_out(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    names = [sample.file_name for sample in data.samples]
    for name in names[1:]:
        (tmp_path / name).write_bytes((data.image_folder / name).read_bytes())
    out, broken, events = tmp_path / "out", replace(data, image_folder=tmp_path), []
    candidates = [Candidate(path, "fp32", threads=1) for path in bundles.values()]
    rows = run_benchmark(candidates, broken, QUICK, out, events.append)
    assert [one.file for one in rows.benchmark.unread] == names[:1]
    assert rows.benchmark.images == 6
    assert {row.figures.images for row in rows.accuracy} == {row.images for row in rows.sorting} == {5}
    (warning,) = [text for text in rows.benchmark.warnings if "could not be used" in text]
    assert names[0] in warning
    assert warning in [event.data["message"] for event in events if event.kind == "warning"]
    for row in rows.accuracy:
        kept = load_detections(out / row.detections)
        assert kept[names[0]].status is Status.ERROR
        own = broken.subset(range(1, 6))
        again = evaluate(own, [kept[sample.file_name] for sample in own.samples])
        assert again.ap == pytest.approx(row.figures.ap, abs=1.0)


def test_every_subject_has_the_rows_of_the_line(
    measured: tuple[Path, Measurements, list[Event]], data: DataSet
) -> None:
    _, rows, _ = measured
    for row in rows.accuracy:
        own = [one for one in rows.precision if one.subject == row.subject]
        assert [one.label for one in own] == [None, *data.labels]
        assert own[0].figures["ap"].value == row.figures.ap
        assert {one.label: one.figures["ap"].value for one in own[1:]} == row.figures.per_class
        escape = [one for one in rows.escape if one.subject == row.subject]
        assert [one.group for one in escape] == ["all"] + ["class"] * 3 + ["size"] * 3
        assert {one.threshold for one in escape if one.group == "class"} == {0.3}
        total = sum(len(sample.labels) for sample in data.samples)
        assert escape[0].escape.defects == total == sum(one.escape.defects for one in escape[4:])
        assert escape[0].escape.missed == sum(one.escape.missed for one in escape[1:4])
        alarms = [one for one in rows.false_alarms if one.subject == row.subject]
        assert alarms[0].alarms.false_alarms == sum(one.alarms.false_alarms for one in alarms[1:])
        assert {one.curve for one in rows.curves if one.subject == row.subject} == {"froc", "precision-recall"}


def test_pictures_without_defects_have_no_accuracy(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    empty = replace(data, samples=tuple(replace(s, boxes=s.boxes[:0], labels=s.labels[:0]) for s in data.samples[:2]))
    rows = run_benchmark([Candidate(bundles["student"], "fp32", threads=1)], empty, QUICK, tmp_path / "out", silent)
    assert rows.accuracy[0].figures.ap is None
    text = (tmp_path / "out" / MEASUREMENTS_NAME).read_text()
    assert all("NaN" not in line and json.loads(line) for line in text.splitlines())


def test_a_zipped_bundle_is_measured_like_a_folder(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    import shutil

    folder = bundles["student"]
    zipped = Path(shutil.make_archive(str(tmp_path / "small"), "zip", folder.parent, folder.name))
    rows = run_benchmark([Candidate(zipped, "fp32", threads=1)], data.subset([0]), QUICK, tmp_path / "out", silent)
    assert rows.latency[0].subject.model == "small"


@pytest.mark.parametrize("name", ["detections/mine.txt", "truth.json", "measurements.jsonl"])
@pytest.mark.parametrize("truth", [None, "mine", '{"images": [], "annotations": [], "categories": [], "info": {}}'])
def test_a_folder_of_somebody_elses_is_not_replaced(
    data: DataSet, name: str, truth: str | None, tmp_path: Path
) -> None:
    if truth is not None:
        (tmp_path / "truth.json").write_text(truth)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="is not of a benchmark, and it would be replaced"):
        run_benchmark([], data, BenchmarkSettings(), tmp_path, silent)
    assert (tmp_path / name).read_text() == "mine"
