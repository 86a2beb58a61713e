from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from temper.benchmarks.report.pictures import SHOWN_HEIGHT, SHOWN_WIDTH, make_examples
from temper.detection.dataset import DataSet, Sample
from temper.detection.detections import Detections, Status
from temper.detection.examples import choose_examples

THRESHOLDS = np.full(3, 0.5, np.float32)


def decode(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def test_what_is_below_the_threshold_is_not_shown(data: DataSet) -> None:
    sample = data.samples[choose_examples(data, 1)[0]]
    found = Detections(
        np.array([[4, 4, 30, 30], [30, 30, 60, 60]], np.float32),
        np.array([0.9, 0.4], np.float32),
        np.array([0, 1], np.int32),
        sample.size,
    )
    example = make_examples(data, {"Student": {sample.file_name: found}}, {"Student": THRESHOLDS})[0]
    truth, student = example.panels
    assert truth.title == "Truth"
    assert student.description == "Student: 1 dark."
    assert decode(student.uri).shape[:2] == (student.height, student.width)


def test_no_answer_is_not_no_defect(data: DataSet) -> None:
    sample = data.samples[choose_examples(data, 1)[0]]
    silent = {sample.file_name: Detections.none(sample.size, status=Status.ERROR)}
    nothing = {sample.file_name: Detections.none(sample.size)}
    (example, *_) = make_examples(
        data, {"a": silent, "b": nothing, "c": {}}, {"a": THRESHOLDS, "b": THRESHOLDS, "c": THRESHOLDS}
    )
    assert [panel.description for panel in example.panels[1:]] == ["a: no answer.", "b: nothing.", "c: no answer."]


def test_pictures_of_any_size_fit(tmp_path: Path) -> None:
    for width, height in ((2048, 64), (64, 2048), (10, 10)):
        cv2.imwrite(str(tmp_path / "p.png"), np.full((height, width), 90, np.uint8))
        box = np.array([[0, 0, width, height]], np.float32)
        data = DataSet(("a",), (Sample("p.png", width, height, box, np.zeros(1, np.int32)),), tmp_path)
        (example,) = make_examples(data, {}, {})
        assert example.panels[0].width <= SHOWN_WIDTH
        assert example.panels[0].height <= SHOWN_HEIGHT


def test_a_picture_that_is_gone_is_left_out(data: DataSet, tmp_path: Path) -> None:
    assert make_examples(replace(data, image_folder=tmp_path), {}, {}) == []
