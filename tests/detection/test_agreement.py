from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.detection.agreement import Agreement, Closeness, MatchRule, PictureAgreement, Spread, compare_rows
from temper.detection.detections import Detections

SIZE = (64, 64)
RULE = MatchRule(0.02, 100)

Row = tuple[list[float], float, int]


def detections(rows: list[Row]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([label for _, _, label in rows], np.int32),
        SIZE,
    )


def compare(
    first: list[Row], second: list[Row], rule: MatchRule = RULE, candidates: list[Row] | None = None
) -> tuple[int, int]:
    """How many are matched and how many are not."""
    found = compare_rows(
        detections(first), detections(second), rule, None if candidates is None else detections(candidates)
    )
    return len(found.scores), len(found.missing) + len(found.strange)


def box_difference(found: PictureAgreement) -> float:
    return float(found.boxes_px.max(initial=0))


def test_equal_lists_do_not_differ() -> None:
    rows = [([0.0, 0.0, 20.0, 20.0], 0.9, 0), ([30.0, 30.0, 60.0, 50.0], 0.4, 1)]
    assert compare(rows, rows) == (2, 0)
    assert compare([], []) == (0, 0)
    assert Agreement().matched_share == 1


def test_differences_are_over_partners() -> None:
    first = detections([([0, 0, 40, 40], 0.9, 0), ([30, 30, 60, 50], 0.4, 1)])
    second = detections([([0, 0, 40, 40.25], 0.892, 0), ([30, 30, 60, 50], 0.4, 1)])
    found = compare_rows(first, second, RULE)
    assert found.scores == pytest.approx([0.008, 0], abs=1e-6)
    assert box_difference(found) == 0.25


@pytest.mark.parametrize(
    "other",
    [
        ([0, 0, 40, 40], 0.9, 1),  # another label
        ([0, 0, 40, 40], 0.88, 0),  # another score
        ([0, 0, 40, 43], 0.9, 0),  # another place
    ],
)
def test_what_is_too_different_has_no_partner(other: Row) -> None:
    first = [([0, 0, 40, 40], 0.9, 0), ([0, 0, 20, 20], 0.5, 2)]
    assert compare(first, [other, first[1]]) == (1, 2)
    found = compare_rows(detections(first), detections([first[1], other]), RULE)
    assert (found.missing.tolist(), found.strange.tolist()) == ([0], [1])


def test_each_row_has_one_partner_and_the_closest() -> None:
    first = [([0, 0, 40, 40], 0.9, 0), ([0, 0, 40, 40.5], 0.9, 0)]
    assert box_difference(compare_rows(detections(first), detections(first[::-1]), RULE)) == 0
    assert compare(first, first[:1]) == (1, 1)
    # of equal boxes, those with the nearest scores belong together
    twins = [([0, 0, 40, 40], 0.9, 0), ([0, 0, 40, 40], 0.895, 0)]
    assert compare_rows(detections(twins), detections(twins[::-1]), RULE).scores.max() == 0


def test_edges_in_pixels_may_be_asked_for_instead_of_overlap() -> None:
    rule = MatchRule(0.02, 100, Closeness(iou=0, score=1e-4, box_px=0.05))
    row = ([0.0, 0.0, 4.0, 4.0], 0.9, 0)
    assert compare([row], [([0.0, 0.0, 4.0, 4.04], 0.9, 0)], rule) == (1, 0)
    assert compare([row], [([0.0, 0.0, 4.0, 4.06], 0.9, 0)], rule) == (0, 2)


def test_rows_on_the_edge_do_not_count() -> None:
    box = [0.0, 0.0, 20.0, 20.0]
    assert compare([(box, 0.029, 0)], []) == (0, 0)
    assert compare([(box, 0.031, 0)], []) == (0, 1)
    # exact numbers leave less room
    assert compare([(box, 0.0205, 0)], [], RULE, []) == (0, 0)
    assert compare([(box, 0.029, 0)], [], RULE, []) == (0, 1)
    # a list that is full has another edge: its last score
    short = MatchRule(0.02, 2)
    first = [(box, 0.9, 0), ([30, 30, 60, 60], 0.5, 0)]
    second = [(box, 0.9, 0), ([40, 0, 60, 20], 0.505, 1)]
    assert compare(first, second, short) == (1, 0)
    assert compare(first, second) == (1, 2)


def test_a_decision_of_nms_on_the_edge_is_no_fault() -> None:
    first, second = ([10.0, 10.0, 40.0, 40.0], 0.8, 0), ([12.0, 10.0, 44.0, 40.0], 0.8 - 1e-6, 0)
    # a third box that only the second one suppresses
    third = ([20.0, 10.0, 52.0, 40.0], 0.3, 0)
    candidates = [first, second, third]
    assert compare([first, third], [second]) == (0, 3)
    assert compare([first, third], [second], RULE, candidates) == (1, 0)
    assert compare([second], [first, third], RULE, candidates) == (2, 0)


def test_a_decision_on_the_edge_among_boxes_nearly_alike() -> None:
    # close enough to be taken for one another, and 1 pixel apart
    first, second = ([0.0, 0.0, 60.0, 60.0], 0.8, 0), ([0.0, 0.0, 60.0, 59.0], 0.8 - 1e-6, 0)
    pair = detections([first]), detections([second])
    assert box_difference(compare_rows(*pair, RULE)) == 1
    assert box_difference(compare_rows(*pair, RULE, detections([first, second]))) == 0


def test_candidates_excuse_no_fault() -> None:
    row = ([0.0, 0.0, 60.0, 60.0], 0.8, 0)
    candidates = [row, ([0.0, 0.0, 60.0, 58.0], 0.7, 0)]
    shifted = compare_rows(detections([row]), detections([([0, 0, 60, 59], 0.8, 0)]), RULE, detections(candidates))
    assert box_difference(shifted) == 1
    assert compare([row], [([0.0, 0.0, 60.0, 60.0], 0.75, 0)], RULE, candidates) == (0, 2)
    assert compare([row], [], RULE, candidates) == (0, 1)
    assert compare([row], [row, ([0.0, 0.0, 30.0, 30.0], 0.6, 0)], RULE, candidates) == (1, 1)
    # a wrong row drives nothing out, however much it overlaps
    assert compare([row], [([0.0, 0.0, 60.0, 50.0], 0.9, 0)], RULE, candidates) == (0, 2)


_rows = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(2, 24), st.integers(2, 24)),
        st.floats(0.0625, 1, width=16),
        st.integers(0, 1),
    ),
    max_size=8,
)


@given(_rows, _rows)
def test_comparing_has_no_direction(first: list[tuple], second: list[tuple]) -> None:
    def made(rows: list[tuple]) -> list[Row]:
        return [([x, y, x + w, y + h], score, label) for (x, y, w, h), score, label in rows]

    forth, back = compare(made(first), made(second)), compare(made(second), made(first))
    assert forth == back
    assert 2 * forth[0] + forth[1] <= len(first) + len(second)
    assert compare(made(first), made(first)) == (len(first), 0)


def test_pictures_add_up() -> None:
    rows, total = [([0.0, 0.0, 40.0, 40.0], 0.9, 0)], Agreement()
    total.add_picture(detections(rows), detections(rows), RULE)
    total.add_picture(detections(rows), detections([([0, 0, 40, 41], 0.895, 0)]), RULE)
    total.add_picture(detections(rows), detections([]), RULE)
    assert (total.pictures, total.same_count, total.matched, total.unmatched) == (3, 2, 2, 1)
    assert total.matched_share == pytest.approx(0.8)
    assert total.matched_scores.to_dict() == {
        "largest": pytest.approx(0.005),
        "mean": pytest.approx(0.0025),
        "values": 2,
    }
    assert total.boxes_px.mean == pytest.approx(1 / 8)
    assert total.to_dict()["pictures_with_the_same_count"] == 2


def test_spread_keeps_largest_and_mean() -> None:
    spread = Spread()
    for part in ([1.0, 3.0], [], [2.0]):
        spread.add(np.array(part))
    assert spread.to_dict() == {"largest": 3.0, "mean": 2.0, "values": 3}
    assert Spread().to_dict() == {"largest": None, "mean": None, "values": 0}
