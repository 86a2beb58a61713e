from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from temper.deploy.compare import PADDLE_TOLERANCES, TOLERANCES, Comparison, same_answer, tolerance_dict
from temper.deploy.runtimes.base import RawOutput

K = 6
FLOOR = 0.02


def answer(*rows: tuple[float, float, int]) -> RawOutput:
    """One picture's answer; a row is its score, the left edge of a box of 40 pixels, and its label."""
    boxes, scores = np.zeros((1, K, 4), np.float32), np.zeros((1, K), np.float32)
    labels = np.full((1, K), -1, np.int32)
    for index, (score, left, label) in enumerate(rows):
        boxes[0, index] = (left, 0, left + 40, 40)
        scores[0, index], labels[0, index] = score, label
    return RawOutput(boxes, scores, labels, np.array([len(rows)], np.int32))


def compare(reference: RawOutput, other: RawOutput) -> Comparison:
    comparison = Comparison(FLOOR)
    comparison.add(reference, other)
    return comparison


BOTH = answer((0.9, 0, 0), (0.5, 100, 1))


def test_equal_answers_match_whatever_their_order() -> None:
    for other in (BOTH, answer((0.5, 100, 1), (0.9, 0, 0))):
        found = compare(BOTH, other)
        assert (found.matched, found.unmatched, found.matched_share, found.same_count) == (2, 0, 1.0, 1)
        assert found.boxes_px.largest == 0


def test_differences_are_measured_over_partners_and_over_ranks() -> None:
    found = compare(BOTH, answer((0.895, 0.5, 0), (0.5, 100, 1)))
    assert found.matched == 2
    assert found.matched_scores.largest == pytest.approx(0.005)
    assert found.scores.to_dict() == {"largest": pytest.approx(0.005), "mean": pytest.approx(0.0025), "values": 2}
    assert found.boxes_px.to_dict() == {"largest": 0.5, "mean": pytest.approx(0.125), "values": 8}


@pytest.mark.parametrize(
    "other",
    [
        answer((0.9, 0, 1), (0.5, 100, 1)),  # another label
        answer((0.88, 0, 0), (0.5, 100, 1)),  # another score
        answer((0.9, 2, 0), (0.5, 100, 1)),  # another place: IoU 38/42
    ],
)
def test_what_is_too_different_has_no_partner(other: RawOutput) -> None:
    found = compare(BOTH, other)
    assert (found.matched, found.unmatched) == (1, 2)
    assert found.matched_share == pytest.approx(0.5)


def test_one_detection_is_the_partner_of_one_only() -> None:
    found = compare(answer((0.9, 0, 0)), answer((0.9, 0, 0), (0.9, 0.2, 0)))
    assert (found.matched, found.unmatched, found.same_count) == (1, 1, 0)


def test_the_closest_comes_first() -> None:
    found = compare(answer((0.9, 0, 0), (0.895, 1, 0)), answer((0.9, 1, 0), (0.9, 0, 0)))
    assert found.matched == 2
    assert found.boxes_px.largest == 0


def test_a_row_on_the_edge_may_be_on_one_side_only() -> None:
    assert compare(BOTH, answer((0.9, 0, 0), (0.5, 100, 1), (0.029, 200, 2))).unmatched == 0
    assert compare(BOTH, answer((0.9, 0, 0), (0.5, 100, 1), (0.031, 200, 2))).unmatched == 1
    full = answer(*((0.9 - 0.1 * i, 100.0 * i, 0) for i in range(K)))
    weaker = answer(*((0.9 - 0.1 * i, 100.0 * i, 0) for i in range(K - 1)), (0.395, 2000, 1))
    assert compare(full, weaker).unmatched == 0, "the last of a full list"


def test_nothing_on_both_sides_is_agreement() -> None:
    found = compare(answer(), answer())
    assert found.matched_share == 1.0
    assert found.to_dict()["scores_by_rank"] == {"largest": None, "mean": None, "values": 0}


def test_a_batch_is_compared_picture_by_picture() -> None:
    two = RawOutput(*(np.concatenate([getattr(BOTH, name)] * 2) for name in ("boxes", "scores", "labels", "count")))
    comparison = Comparison(FLOOR)
    comparison.add(two, replace(two, scores=two.scores - np.float32(0.001)))
    assert (comparison.pictures, comparison.matched) == (2, 4)


def test_coarser_numbers_may_be_further_apart() -> None:
    shares = [TOLERANCES[precision].matched_share for precision in ("fp32", "fp16", "int8")]
    assert shares == sorted(shares, reverse=True)
    for table in (TOLERANCES, PADDLE_TOLERANCES):
        batches = [table[precision].batch.score for precision in ("fp32", "fp16", "int8")]
        assert batches == sorted(batches)
        # for a record: JSON knows no infinity
        assert all(json.dumps(tolerance_dict(one), allow_nan=False) for one in table.values())
    errors = [PADDLE_TOLERANCES[precision].relative_error for precision in ("fp32", "fp16", "int8")]
    assert errors == sorted(errors)


def full(*scores: float) -> RawOutput:
    """An answer with all its places taken."""
    return answer(*((score, 100.0 * place, 0) for place, score in enumerate(scores)))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (answer(*((1.0, 100.0 * place, 0) for place in range(K))), True),
        (answer(), False),  # however alike the lost ones were
    ],
)
def test_a_picture_in_a_batch_has_its_own_rows(other: RawOutput, same: bool) -> None:
    assert same_answer(full(*[1.0] * K), other, FLOOR, TOLERANCES["fp32"].batch) is same


def test_one_row_does_not_stand_for_several() -> None:
    once, thrice = answer((0.9, 0, 0)), answer(*[(0.9, 0, 0)] * 3)
    assert not same_answer(once, thrice, FLOOR, TOLERANCES["fp32"].batch)
    assert not same_answer(thrice, once, FLOOR, TOLERANCES["fp32"].batch)


def test_rows_on_the_edge_of_a_full_answer_may_change_places() -> None:
    one = full(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    other = answer(*((0.9 - 0.1 * place, 100.0 * place, 0) for place in range(5)), (0.40001, 900.0, 0))
    assert same_answer(one, other, FLOOR, TOLERANCES["fp32"].batch)
    other = answer(*((0.9 - 0.1 * place, 100.0 * place, 0) for place in range(5)), (0.45, 900.0, 0))
    assert not same_answer(one, other, FLOOR, TOLERANCES["fp32"].batch)
