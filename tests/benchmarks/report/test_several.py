from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from bench_rows import subject, write_benchmark
from html_page import Page
from temper.benchmarks.estimate.row import EstimateRow
from temper.benchmarks.estimate.run import write_estimates
from temper.benchmarks.measurement import BenchmarkRow, read_rows, write_rows
from temper.benchmarks.report.several import read_folders
from temper.benchmarks.report.several_page import build_several, sentences_of_care, summary_sentences
from temper.core.errors import TemperError, UsageError
from temper.core.files import write_json
from temper.detection.dataset import DataSet

HASH = "d" * 64


def estimate(precision: str = "fp32", **changes: object) -> EstimateRow:
    row = EstimateRow(
        subject("student", precision, runtime="tensorrt"), HASH, "orin-nano", "Orin Nano", "15W", 15.0, 1, 4.0,
        (3.0, 6.0), 100.0, 8000.0, True, "compute",
    )  # fmt: skip
    return replace(row, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, data: DataSet) -> list[Path]:
    place = tmp_path_factory.mktemp("several")
    for host, warnings in (("line-1", ["It was busy."]), ("line-2", [])):
        write_benchmark(place / host, data, roles=("student", "distilled"), warnings=warnings)
    write_estimates(place / "estimates", [estimate(), estimate("int8", fits=False), estimate("fp16")])
    return [place / name for name in ("line-1", "line-2", "estimates")]


@pytest.fixture(scope="module")
def page(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Page]:
    path = build_several("all lines", read_folders(folders), tmp_path_factory.mktemp("page"))
    return path, Page(path.read_text(encoding="utf-8"))


def test_all_machines_stand_in_one_table(folders: list[Path]) -> None:
    several = read_folders(folders)
    rows = [(result.title, result.subject.precision, machine.name) for machine, result in several.results]
    assert rows[:3] == [
        ("Student alone", "fp32", "line-1"),
        ("Student alone", "fp32", "line-2"),
        ("Student alone", "int8", "line-1"),
    ]
    assert len(rows) == 8
    assert {(one.title, one.series, one.device) for one in several.estimates} == {
        ("Student alone", 0, "Orin Nano, 15W")
    }


def test_an_estimate_takes_the_accuracy_of_its_own_graph_alone(folders: list[Path]) -> None:
    several = read_folders(folders)
    fp32, int8, fp16 = several.estimates
    assert fp32.judged is not None and fp32.judged.figures is not None and fp32.judged.figures.ap == 60.0
    assert int8.judged is not None and fp16.judged is None
    estimated = [mark for mark in several.marks() if mark.estimated]
    # int8 does not fit; fp16 has no accuracy, and so no place in a plot
    assert [(mark.precision, mark.ap) for mark in estimated] == [("fp32", 60.0), ("fp16", None)]
    said = " ".join(sentences_of_care(several))
    assert "Nobody measured the accuracy of Student alone fp16" in said
    assert "memory is too small for Student alone on Orin Nano, 15W" in said
    assert "line-1: It was busy." in said


def test_estimates_never_look_like_measurements(page: tuple[Path, Page]) -> None:
    path, read = page
    text = path.read_text(encoding="utf-8")
    for words in ("Estimated, not measured", "3 latencies of 1 device were estimated, not measured", "~4.00"):
        assert words in read.text
    measured, estimated = text.split('id="estimates"')[0], text.split('id="estimates"')[1]
    assert "<em>~" not in measured and estimated.count("<em>~") == 3
    assert any("estimated" in (badge.get("class") or "") for badge in read.all("span"))
    lines = (path.parent / "results.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["kind"] for row in rows] == ["measured"] * 8 + ["estimated"] * 3
    assert rows[-1]["machine"] == "Orin Nano, 15W" and rows[-1]["end_to_end_p50_ms"] == "4.0" and rows[-1]["ap"] == ""
    assert (path.parent / "results.md").read_text(encoding="utf-8").count("| ESTIMATED |") == 3


def test_the_page_stands_alone_and_can_be_read_aloud(page: tuple[Path, Page]) -> None:
    path, read = page
    assert not read.all("script") and not read.all("link")
    assert all(header["scope"] for header in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table")) == 3
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"https?://[^\"'\s<)]+", path.read_text())) <= {"http://www.w3.org/1999/xlink"}
    # mAP and escapes wide and narrow, and a histogram for each of two machines' four candidates
    assert len(read.all("svg")) == 4 + 8


def test_a_mark_says_where_it_was_measured(folders: list[Path]) -> None:
    names = [mark.name for mark in read_folders(folders).marks()]
    assert len(names) == len(set(names))
    assert "MGD student int8, line-2" in names and "Student alone fp32 on tensorrt, Orin Nano, 15W" in names
    first, second, _ = summary_sentences(read_folders(folders))
    assert first == "4 graphs measured on 2 machines."
    assert second.startswith(
        "Of those within a point of the highest mAP (60.0) the fastest is Student alone int8, line-1"
    )


def test_a_measurement_of_the_estimated_device_stands_beside_it(tmp_path: Path, data: DataSet) -> None:
    path = write_benchmark(tmp_path / "nano", data, roles=("student",), runtimes=("tensorrt",))
    record = {"job": "j", "host": "nano", "address": "nano", "device": "orin-nano", "jetson": None}
    write_json(path.parent / "remote.json", {**record, "fetched_at": "2026-01-01T00:00:00+00:00", "sha256": {}})
    write_estimates(path.parent, [estimate(), estimate(batch=4)])
    first, second = read_folders([path.parent]).estimates
    assert first.measured == (("nano", 20.0),) and second.measured == ()


def test_bundles_of_one_name_that_differ_are_told_apart(tmp_path: Path, data: DataSet) -> None:
    for name, sha in (("old", "a" * 64), ("new", "b" * 64)):
        path = write_benchmark(tmp_path / name, data, roles=("student",), precisions=("fp32",))
        measured = read_rows(path)
        bundles = [replace(measured.benchmark.bundles[0], manifest_sha256=sha)]
        rewrite(path, replace(measured.benchmark, bundles=bundles, data_sha256=sha))
    several = read_folders([tmp_path / "old", tmp_path / "new"])
    assert {result.title for _, result in several.results} == {"Student alone aaaaaa", "Student alone bbbbbb"}
    assert sentences_of_care(several)[0].startswith("Not all were judged on the same pictures")


def rewrite(path: Path, benchmark: BenchmarkRow) -> None:
    measured = read_rows(path)
    write_rows(path, [benchmark, *measured.latency, *measured.accuracy, *measured.footprint])


def test_folders_that_cannot_stand_together_are_told(tmp_path: Path, data: DataSet) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty has neither measurements\.jsonl nor estimates\.jsonl"):
        read_folders([tmp_path / "empty"])
    path = write_benchmark(tmp_path / "silent", data, roles=())
    with pytest.raises(TemperError, match="silent.*holds no latencies"):
        read_folders([path.parent])


def test_none_is_called_the_fastest_across_other_pictures(tmp_path: Path, data: DataSet) -> None:
    one, other = (write_benchmark(tmp_path / name, data, roles=("student",)) for name in ("a", "b"))
    several = read_folders([one.parent, other.parent])
    assert several.compares and any("fastest" in sentence for sentence in summary_sentences(several))
    rewrite(other, replace(read_rows(other).benchmark, data_sha256="0" * 64))
    several = read_folders([one.parent, other.parent])
    assert not several.compares and not any("fastest" in sentence for sentence in summary_sentences(several))
    assert any("Not all were judged on the same pictures" in sentence for sentence in sentences_of_care(several))
