from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_rows import write_benchmark
from html_page import Page
from temper.benchmarks.measurement import MEASUREMENTS_NAME
from temper.benchmarks.report.build import ReportInput, build_report
from temper.benchmarks.report.training import TrainingFiles, training_part
from temper.core.errors import TemperError
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections
from temper.detection.examples import examples_entry


def training(folder: Path, role: str, data: DataSet) -> TrainingFiles:
    """What a training of three epochs leaves, as the trainer writes it."""
    files = TrainingFiles(*(folder / f"{role}-{name}" for name in ("metrics", "examples", "record")))
    metrics, examples = [], []
    for epoch in range(1, 4):
        at = {"step": epoch, "epoch": epoch}
        losses = {"classification": 1 / epoch, "regression": 2 / epoch}
        distillation = {"mgd": 0.5 / epoch} if role == "distilled" else {}
        metrics.append({"kind": "step", **at, "learning_rate": 0.1, "losses": losses, "distillation": distillation})
        per_class = dict.fromkeys(data.labels, 9.0 * epoch)
        metrics.append({"kind": "evaluated", **at, "ap": 10.0 * epoch, "per_class": per_class})
        found = [Detections(s.boxes, np.full(len(s.boxes), 0.3 * epoch), s.labels, s.size) for s in data.samples]
        examples.append(examples_entry(data, found, epoch, epoch))
    for path, lines in ((files.metrics, metrics), (files.examples, examples)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {"epochs": 3, "seconds": 200.0, "images_per_second": 31.4, "parameters": 1_500_000}
    files.record.write_text(json.dumps({**record, "accuracy": {"ap": 30.0}, "loss": "classification + regression"}))
    return files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: DataSet) -> tuple[Path, Page]:
    folder = tmp_path_factory.mktemp("report")
    source = ReportInput(
        "steel",
        write_benchmark(folder, data, warnings=["The machine was busy."]),
        data,
        {"name": "steel", "seed": 7, "teacher": {"depth": 50}, "distillation": {"mgd": {"alpha": 0.5}}},
        {role: training(folder, role, data) for role in ("teacher", "student", "distilled")},
    )
    page = build_report(source, folder / "out")
    return page, Page(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("stopping", "epoch"), [({}, 3), ({"best_epoch": None}, 3), ({"best_epoch": 2}, 2)])
def test_the_epoch_beside_map_is_that_of_the_weights_kept(
    tmp_path: Path, data: DataSet, stopping: dict[str, int | None], epoch: int
) -> None:
    files = training(tmp_path, "student", data)
    # an earlier epoch was better on the validation pictures, by which nothing is chosen
    text = files.metrics.read_text().replace('"ap": 10.0', '"ap": 90.0')
    files.metrics.write_text(text)
    files.record.write_text(json.dumps({**json.loads(files.record.read_text()), **stopping}))
    part = training_part({"student": files}, data, {"student": "Student alone"})
    assert part is not None and '"ap": 90.0' in text
    (facts,) = part.facts
    assert (facts.weights_epoch, facts.accuracy) == (epoch, 30.0)


def test_the_files_stand_side_by_side(whole: tuple[Path, Page]) -> None:
    names = ["report.html", "results.csv", "results.json", "results.md"]
    assert sorted(path.name for path in whole[0].parent.iterdir()) == names


def test_the_page_needs_nothing_else(whole: tuple[Path, Page]) -> None:
    path, page = whole
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 1_500_000
    assert not page.all("script")
    assert not page.all("link")
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.all("img"))
    # namespaces are names, not places
    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) <= {"http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text


def test_the_page_can_be_read_aloud(whole: tuple[Path, Page]) -> None:
    _, page = whole
    assert all(image["alt"] for image in page.all("img"))
    assert all(drawn["role"] == "img" and drawn["aria-label"] for drawn in page.all("svg"))
    assert all(header["scope"] for header in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html")[0]["lang"] == "en"
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    labelled = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert labelled <= set(ids)


def test_its_links_lead_somewhere(whole: tuple[Path, Page]) -> None:
    _, page = whole
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = [(link["href"] or "").removeprefix("#") for link in page.all("a")]
    assert len(targets) == 10
    assert set(targets) <= ids


def test_everything_asked_for_is_there(whole: tuple[Path, Page], data: DataSet) -> None:
    _, page = whole
    for words in (
        "MGD student reaches 50.0 mAP, 5.0 points less than the same student trained alone (55.0",
        "; may be chance, the intervals overlap)",
        "The machine was busy.",
        "In short",
        "What escapes, what is flagged",
        "Worst misses of the MGD student",
        "MGD student: 1 missed, 0 false alarms",
        "Per class",
        "Training",
        "Examples",
        "Is the exported graph the trained model?",
        "How it was measured",
        "depth: 50",
        "measured",
        *data.labels,
    ):
        assert words in page.text
    # accuracy, escapes, stages, mAP by epoch, FROC, precision: each wide and narrow; two losses, MGD's, the learning
    # rate; three classes; the latencies of three models as two graphs
    assert len(page.all("svg")) == 12 + 4 + 3 + 6
    # toy pictures have two of the three classes; each with truth and three models, then three models at three epochs;
    # and the one picture with misses
    missed = {text for text in (image["alt"] for image in page.all("img")) if text and "missed" in text}
    assert len(missed) == 3
    assert len(page.all("img")) == 2 * 4 + 2 * 9 + 4


def test_every_loss_and_class_has_its_curves(whole: tuple[Path, Page], data: DataSet) -> None:
    described = [drawn["aria-label"] or "" for drawn in whole[1].all("svg")]
    of_both = "Student alone: 1 in epoch 1, 0.333 in epoch 3; MGD student: 1 in epoch 1, 0.333 in epoch 3."
    assert sum(text.startswith("Classification loss by epoch. Teacher:") and of_both in text for text in described) == 1
    assert "MGD distillation loss by epoch. MGD student: 0.5 in epoch 1, 0.167 in epoch 3." in described
    for label in data.labels:
        assert (
            sum(text.startswith(f"{label} by epoch. Teacher: 9 in epoch 1, 27 in epoch 3;") for text in described) == 1
        )


def test_the_same_pictures_are_followed_over_time(whole: tuple[Path, Page]) -> None:
    said = [image["alt"] or "" for image in whole[1].all("img")]
    first = [text for text in said if text.startswith("MGD student, epoch 1:")]
    last = [text for text in said if text.startswith("MGD student, epoch 3:")]
    assert len(first) == len(last) == 2
    # surer with every epoch: 0.3 is drawn, and no less
    assert all("nothing" not in text for text in first + last)


def test_charts_take_the_pages_colours(whole: tuple[Path, Page]) -> None:
    text = whole[0].read_text(encoding="utf-8")
    assert not re.search(r"#010[0-9a-f]{3}", text)
    used = set(re.findall(r"var\((--[a-z0-9-]+)", text))
    defined = set(re.findall(r"(--[a-z0-9-]+):", text))
    assert used <= defined


def test_the_same_measurements_make_the_same_page(tmp_path: Path, data: DataSet) -> None:
    source = ReportInput("steel", write_benchmark(tmp_path, data, roles=("student",)), data)
    pages = [build_report(source, tmp_path / name).read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_strangers_labels_are_text(tmp_path: Path, data: DataSet) -> None:
    labels = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}")
    strange = replace(data, labels=labels, name="<b>data</b>")
    page = build_report(ReportInput("<i>steel</i>", write_benchmark(tmp_path, strange), strange), tmp_path / "out")
    read = Page(page.read_text(encoding="utf-8"))
    assert not read.all("script")
    assert not read.all("b")
    assert not read.all("i")
    assert all("onerror" not in image for image in read.all("img"))
    assert "<script>alert(1)</script>" in read.text
    assert "{{ 7 * 7 }}" in read.text


def test_a_bare_benchmark_is_reported_too(tmp_path: Path, data: DataSet) -> None:
    """No trainings, no recipe, no pictures any more, one model without role."""
    gone = replace(data, image_folder=tmp_path / "gone")
    path = write_benchmark(tmp_path, gone, roles=("other",), precisions=("fp32",))
    read = Page(build_report(ReportInput("steel", path, gone), tmp_path / "out").read_text(encoding="utf-8"))
    assert "steel-other" in read.text
    assert "Training" not in read.text
    assert not read.all("img")
    assert "seed: 7" in read.text  # from the bundle


def test_missing_measurements_are_told(tmp_path: Path, data: DataSet) -> None:
    with pytest.raises(TemperError, match="temper bench run"):
        build_report(ReportInput("steel", tmp_path / MEASUREMENTS_NAME, data), tmp_path)


def test_measurements_without_latency_are_told(tmp_path: Path, data: DataSet) -> None:
    path = write_benchmark(tmp_path, data, roles=())
    with pytest.raises(TemperError, match="no latencies"):
        build_report(ReportInput("steel", path, data), tmp_path)
