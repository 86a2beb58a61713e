from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections, Status
from temper.detection.examples import (
    KEPT_DETECTIONS,
    KEPT_PICTURES,
    KEPT_SCORE,
    choose_examples,
    detections_of,
    examples_entry,
    plain_detections,
)
from toy_data import toy_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return toy_data(tmp_path_factory.mktemp("toy"), 6)


def test_one_picture_of_each_class_none_twice(data: DataSet) -> None:
    chosen = choose_examples(replace(data, labels=(*data.labels, "never seen")), 6)
    assert len(set(chosen)) == len(chosen) == 2
    assert (data.samples[chosen[0]].labels == 0).any()
    assert (data.samples[chosen[1]].labels == 1).any()
    assert len(choose_examples(data, 1)) == 1


def found_on(size: tuple[int, int], count: int = 3, name: str = "") -> Detections:
    generator = np.random.default_rng(count)
    corners = np.sort(generator.uniform(0, min(size), (count, 2, 2)), axis=1).reshape(count, 4)
    scores = np.sort(generator.uniform(0, 1, count))[::-1]
    return Detections(corners.astype(np.float32), scores.astype(np.float32), np.zeros(count, np.int32), size, name)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_detections_survive_as_json(count: int) -> None:
    found = found_on((64, 48), count, "a.png")
    back = detections_of(json.loads(json.dumps(plain_detections("a.png", found))))
    np.testing.assert_allclose(back.boxes, found.boxes, atol=0.005)
    np.testing.assert_allclose(back.scores, found.scores, atol=0.0001)
    assert (back.labels == found.labels).all()
    assert (back.image_size, back.source, back.status) == ((64, 48), "a.png", Status.OK)


def test_no_answer_stays_no_answer() -> None:
    silent = Detections.none((8, 8), status=Status.TIMEOUT)
    assert detections_of(plain_detections("a.png", silent)).status is Status.TIMEOUT


def test_an_entry_is_small_whatever_the_detector_says(tmp_path: Path) -> None:
    data = replace(toy_data(tmp_path, 12), labels=tuple("abcdefgh"))
    many = [found_on(sample.size, 400) for sample in data.samples]
    entry = examples_entry(data, many, step=30, epoch=2)
    assert (entry["kind"], entry["step"], entry["epoch"]) == ("examples", 30, 2)
    assert 0 < len(entry["pictures"]) <= KEPT_PICTURES
    for picture in entry["pictures"]:
        found = detections_of(picture)
        assert len(found) == KEPT_DETECTIONS
        assert found.scores.min() >= KEPT_SCORE
        # the best ones
        assert found.scores[0] == pytest.approx(many[0].scores[0], abs=1e-4)
    assert len(json.dumps(entry)) < 20_000
