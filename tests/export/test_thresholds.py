from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.detection.dataset import DataSet, Sample
from temper.detection.detections import Detections
from temper.export.thresholds import best_thresholds, correct_detections, threshold_of_best_f1


def f1_at(threshold: float, scores: np.ndarray, correct: np.ndarray, truths: int) -> float:
    kept = scores >= threshold
    return 2 * int((kept & correct).sum()) / (int(kept.sum()) + truths)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.8, 0.81]) | st.floats(0, 1, width=32), st.booleans())),
    st.integers(0, 10),
)
def test_no_threshold_is_better(rows: list[tuple[float, bool]], missed: int) -> None:
    scores = np.array([score for score, _ in rows], np.float32)
    correct = np.array([right for _, right in rows], bool)
    truths = int(correct.sum()) + missed
    threshold = threshold_of_best_f1(scores, correct, truths)
    assert 0 <= threshold <= 1
    if not truths or not correct.any():
        assert threshold == 0.5
        return
    best = max(f1_at(float(t), scores, correct, truths) for t in scores)
    assert f1_at(threshold, scores, correct, truths) == pytest.approx(best)


def test_the_threshold_lies_between_neighbours() -> None:
    scores = np.array([0.9, 0.7, 0.3, 0.2], np.float32)
    assert threshold_of_best_f1(scores, np.array([True, True, False, False]), 2) == pytest.approx(0.5)
    assert threshold_of_best_f1(scores, np.array([True, True, True, True]), 4) == pytest.approx(0.18), (
        "with a margin below the weakest"
    )


def test_only_the_first_to_find_a_box_is_correct() -> None:
    truth = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [30, 30, 40, 40], [50, 50, 60, 60]], np.float32)
    assert correct_detections(boxes, truth).tolist() == [True, False, False, True]
    assert correct_detections(boxes, truth[:0]).tolist() == [False] * 4
    assert correct_detections(boxes[:0], truth).tolist() == []


def test_class_by_class(tmp_path: Path) -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    samples = tuple(Sample(f"{i}.png", 20, 20, box, np.array([0], np.int32)) for i in range(4))
    data = DataSet(("scratch", "patch"), samples, tmp_path)
    # right at 0.8, wrong at 0.4; class 1 is never there
    found = Detections(
        np.array([[0, 0, 10, 10], [10, 10, 19, 19], [0, 0, 10, 10]]), [0.8, 0.4, 0.35], [0, 0, 1], (20, 20)
    )
    assert best_thresholds(data, [found] * 4) == {"scratch": pytest.approx(0.6), "patch": 0.5}
    assert best_thresholds(data, [Detections.none((20, 20))] * 4) == {"scratch": 0.5, "patch": 0.5}
    with pytest.raises(ValueError, match="4 pictures need 4"):
        best_thresholds(data, [found])
