"""Figures against pycocotools, and where there is nothing to judge."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.detection.dataset import DataSet, Sample, to_coco
from temper.detection.detections import Detections, Status
from temper.detection.figure_names import FIGURE_TITLES
from temper.detection.metrics import AccuracyFigures, evaluate

LABELS = ("crazing", "patches", "scratches")


def a_data_set(samples: list[Sample], labels: tuple[str, ...] = LABELS) -> DataSet:
    return DataSet(labels, tuple(samples), Path("images"))


def a_sample(boxes: list[list[float]], labels: list[int], name: str = "a.png") -> Sample:
    return Sample(name, 300, 300, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int32))


def some_detections(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int32), (300, 300)
    )


def random_case(seed: int, images: int, classes: int, most: int) -> tuple[DataSet, list[Detections]]:
    """True boxes of all sizes, detections near them and elsewhere, many with equal scores."""
    rng = np.random.default_rng(seed)
    samples, detections = [], []
    for number in range(images):
        count = int(rng.integers(0, 6))
        corners = rng.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corners, corners + np.exp(rng.uniform(1, 5.3, (count, 2)))], axis=1).clip(0, 300)
        labels = rng.integers(0, classes, count)
        samples.append(a_sample(boxes.tolist(), labels.tolist(), f"{number}.png"))
        rows = int(rng.integers(0, most + 1))
        if count:
            picks = rng.integers(0, count, rows)
            found = boxes[picks] + rng.normal(0, rng.choice([0, 2, 15]), (rows, 4))
            said = np.where(rng.random(rows) < 0.8, labels[picks], rng.integers(0, classes, rows))
        else:
            found = np.concatenate([rng.uniform(0, 100, (rows, 2)), rng.uniform(120, 300, (rows, 2))], axis=1)
            said = rng.integers(0, classes, rows)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = np.sort(rng.integers(1, 40, rows) / 40)[::-1]
        detections.append(some_detections(found.tolist(), scores.tolist(), said.tolist()))
    return a_data_set(samples, tuple(f"class{i}" for i in range(classes))), detections


def judge_with_pycocotools(data: DataSet, detections: list[Detections]) -> list[float | None]:
    """ap, ap50, ap75, small, medium, large, then each class, in points."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    results = [
        {"image_id": i, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for i, found in enumerate(detections, start=1)
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = to_coco(data)
        truth.createIndex()
        judge = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    figures = [float(value) for value in judge.stats[:6]]
    for k in range(len(data.labels)):
        defined = judge.eval["precision"][:, :, k, 0, 2]
        defined = defined[defined > -1]
        figures.append(float(defined.mean()) if len(defined) else -1.0)
    return [None if value == -1 else 100 * value for value in figures]


def in_order(figures: AccuracyFigures) -> list[float | None]:
    return [
        figures.ap,
        figures.ap50,
        figures.ap75,
        figures.ap_small,
        figures.ap_medium,
        figures.ap_large,
        *figures.per_class.values(),
    ]


def assert_equal_figures(ours: list[float | None], theirs: list[float | None]) -> None:
    assert [value is None for value in ours] == [value is None for value in theirs]
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None]
    assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    images=st.integers(1, 12),
    classes=st.integers(1, 5),
    most=st.sampled_from([3, 20, 130]),
)
def test_figures_are_those_of_pycocotools(seed: int, images: int, classes: int, most: int) -> None:
    data, detections = random_case(seed, images, classes, most)
    if not sum(len(found) for found in detections):
        return  # pycocotools cannot load an empty list of results
    assert_equal_figures(in_order(evaluate(data, detections)), judge_with_pycocotools(data, detections))


def test_detections_past_the_hundredth_of_a_class_do_not_count() -> None:
    wrong = [[200.0, 200.0, 210.0, 210.0]] * 100
    right = [[10.0, 10.0, 60.0, 60.0]]
    data = a_data_set([a_sample(right, [0])])
    scores = np.linspace(0.9, 0.1, 101).tolist()
    detections = [some_detections(wrong + right, scores, [0] * 101)]
    assert evaluate(data, detections).ap == 0
    assert_equal_figures(in_order(evaluate(data, detections)), judge_with_pycocotools(data, detections))


def test_perfect_detections_have_100_points_and_an_unseen_class_none() -> None:
    boxes = [[0.0, 0.0, 20.0, 20.0], [30.0, 30.0, 90.0, 90.0]]
    data = a_data_set([a_sample(boxes, [0, 1])])
    figures = evaluate(data, [some_detections(boxes, [0.9, 0.8], [0, 1])])
    assert figures.images == 1
    assert (figures.ap, figures.ap50, figures.ap75) == (pytest.approx(100),) * 3
    assert (figures.ap_small, figures.ap_medium) == (pytest.approx(100),) * 2
    assert figures.ap_large is None
    assert figures.per_class == {"crazing": pytest.approx(100), "patches": pytest.approx(100), "scratches": None}


def test_nothing_found_is_0_points_not_none() -> None:
    data = a_data_set([a_sample([[0, 0, 50, 50]], [2])])
    figures = evaluate(data, [Detections.none((300, 300))])
    assert figures.ap == figures.ap50 == figures.ap_medium == 0
    assert figures.ap_small is None
    assert figures.per_class == {"crazing": None, "patches": None, "scratches": 0}


def test_without_any_true_box_every_figure_is_none() -> None:
    data = a_data_set([a_sample([], [])])
    for found in (Detections.none((300, 300)), some_detections([[0, 0, 9, 9]], [0.5], [1])):
        figures = evaluate(data, [found])
        assert in_order(figures) == [None] * 9
        assert figures.images == 1


def test_an_empty_data_set_has_no_figures() -> None:
    assert in_order(evaluate(a_data_set([]), [])) == [None] * 9
    assert evaluate(a_data_set([a_sample([], [])], ()), [Detections.none((300, 300))]).per_class == {}


def test_no_answer_counts_as_nothing_found() -> None:
    boxes = [[0.0, 0.0, 50.0, 50.0]]
    data = a_data_set([a_sample(boxes, [0]), a_sample(boxes, [0], "b.png")])
    found = some_detections(boxes, [0.9], [0])
    unanswered = evaluate(data, [found, Detections.none((300, 300), status=Status.TIMEOUT)])
    assert unanswered == evaluate(data, [found, Detections.none((300, 300))])
    assert unanswered.ap is not None
    assert unanswered.ap == pytest.approx(100 * 51 / 101)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 pictures need 1 detections; 0 were given"):
        evaluate(a_data_set([a_sample([], [])]), [])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (some_detections([[0, 0, 9, 9]], [0.5], [3]), "label outside 0 to 2"),
        (some_detections([[0, 0, 9, 9]], [0.5], [-1]), "label outside 0 to 2"),
        (some_detections([[0, 0, np.nan, 9]], [0.5], [0]), r"a\.png.*not finite"),
        (some_detections([[0, 0, 9, 9]], [np.inf], [0]), r"a\.png.*not finite"),
    ],
)
def test_a_detection_that_cannot_be_judged_is_refused(found: Detections, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(a_data_set([a_sample([[0, 0, 9, 9]], [0])]), [found])


def test_every_figure_has_a_title() -> None:
    names = {field.name for field in dataclasses.fields(AccuracyFigures)}
    assert set(FIGURE_TITLES) == names - {"images", "per_class"}


def test_figures_survive_json() -> None:
    data, detections = random_case(7, 8, 3, 20)
    figures = evaluate(data, detections)
    assert AccuracyFigures(**json.loads(json.dumps(figures.to_dict()))) == figures


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    data, detections = random_case(3, 4, 2, 10)
    evaluate(data, detections)
    assert capfd.readouterr() == ("", "")
