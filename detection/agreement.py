"""Two lists of detections on the same picture: are they the same? The one place where this is decided.

Detections are paired one to one: same label, overlap and score as near as a :class:`Closeness` asks, the closest pair
first. Two lists can differ although every number agrees to the last digits, because some decisions stand on an edge:

- A score at the floor, or at the last place of a full list, may fall to either side. Such a row is not counted.
- Of two boxes that overlap and score nearly the same, NMS may keep the other one. Where the reference's candidates (its
  boxes before NMS) are known, a row that is no close match of a detection is looked for among them: if it is one of
  them, the right numbers were computed, and it is compared with that one. The reference's row that it drove out is not
  counted, for the answer holds a row that suppresses it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .boxes import iou_matrix

#: By so little an overlap may miss the NMS limit on one side and pass it on the other.
_IOU_ROUNDING = 0.01


class Rows(Protocol):
    """What was found on one picture; :class:`~.detections.Detections` is one."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """float32 [N, 4]."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """float32 [N], descending."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """int32 [N]."""


@dataclass(frozen=True)
class Closeness:
    """How alike two detections of one label are that count as one and the same.

    Attributes:
        iou: they overlap at least so much.
        score: their scores are at most so far apart.
        box_px: so are their edges, in pixels.
    """

    iou: float = 0.95
    score: float = 0.01
    box_px: float = math.inf


@dataclass(frozen=True)
class MatchRule:
    """How two lists are held against each other.

    Attributes:
        score_floor: of both.
        max_detections: rows that either has at most.
        closeness: of partners.
        nms_iou: of both; only needed where candidates are known.
        exact: how near a row must be to a candidate that it is taken for.
    """

    score_floor: float
    max_detections: int
    closeness: Closeness = field(default_factory=Closeness)
    nms_iou: float = 0.5
    exact: Closeness = field(default_factory=lambda: Closeness(0.0, 1e-3, 0.5))


@dataclass(frozen=True, eq=False)
class PictureAgreement:
    """Two lists on one picture, compared.

    Attributes:
        missing: the reference's rows that have no partner and no excuse, int64 [N].
        strange: the answer's, int64 [N].
        scores: differences of the scores of partners, float32 [matched].
        boxes_px: differences of their edges in pixels, float32 [matched, 4].
    """

    missing: NDArray[np.int64]
    strange: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes_px: NDArray[np.float32]


def compare_rows(reference: Rows, answer: Rows, rule: MatchRule, candidates: Rows | None = None) -> PictureAgreement:
    """Pair what a reference and an answer found on one picture.

    Args:
        reference: what should have been found.
        answer: what was found.
        rule: how.
        candidates: the reference's boxes before NMS; without them a row that NMS decided otherwise has no partner.
    """
    partner = _partners(reference, answer, rule.closeness)
    paired = partner >= 0
    score_gap = np.zeros(len(answer.scores), np.float32)
    box_gap = np.zeros((len(answer.scores), 4), np.float32)
    score_gap[paired] = np.abs(answer.scores[paired] - reference.scores[partner[paired]])
    box_gap[paired] = np.abs(answer.boxes[paired] - reference.boxes[partner[paired]])
    margin = rule.closeness.score
    driven_out = np.zeros(len(reference.scores), bool)
    if candidates is not None:
        margin = rule.exact.score
        near = paired & (score_gap <= rule.exact.score) & (box_gap <= rule.exact.box_px).all(axis=1)
        for row in np.flatnonzero(~near).tolist():
            found = _nearest_candidate(answer, row, candidates, rule.exact)
            if found is not None:
                score_gap[row] = abs(candidates.scores[found] - answer.scores[row])
                box_gap[row] = np.abs(candidates.boxes[found] - answer.boxes[row])
                partner[row], paired[row] = -1, True
        driven_out = _suppressed(reference, answer, paired, rule)
    lost = np.ones(len(reference.scores), bool)
    lost[partner[partner >= 0]] = False
    lost &= ~driven_out & ~_on_the_edge(reference.scores, answer, rule, margin)
    strange = ~paired & ~_on_the_edge(answer.scores, reference, rule, margin)
    return PictureAgreement(np.flatnonzero(lost), np.flatnonzero(strange), score_gap[paired], box_gap[paired])


def alike(reference: Rows, answer: Rows, closeness: Closeness) -> NDArray[np.bool_]:
    """Which rows of an answer could be which of a reference, bool [answer's, reference's]."""
    apart = np.abs(answer.scores[:, None] - reference.scores[None, :])
    found: NDArray[np.bool_] = (answer.labels[:, None] == reference.labels[None, :]) & (apart <= closeness.score)
    if closeness.iou:
        found &= iou_matrix(answer.boxes, reference.boxes) >= closeness.iou
    if math.isfinite(closeness.box_px):
        edges = np.abs(answer.boxes[:, None] - reference.boxes[None, :]).max(axis=-1, initial=0)
        found &= edges <= closeness.box_px
    return found


def _partners(reference: Rows, answer: Rows, closeness: Closeness) -> NDArray[np.int64]:
    """For each of the answer's rows the row of the reference that belongs to it, -1 if none; int64 [N]."""
    overlaps = iou_matrix(answer.boxes, reference.boxes)
    apart = np.abs(answer.scores[:, None] - reference.scores[None, :])
    rows, columns = np.nonzero(alike(reference, answer, closeness))
    partner = np.full(len(answer.scores), -1, np.int64)
    taken = np.zeros(len(reference.scores), bool)
    for index in np.lexsort((apart[rows, columns], -overlaps[rows, columns])):
        row, column = rows[index], columns[index]
        if partner[row] < 0 and not taken[column]:
            partner[row], taken[column] = column, True
    return partner


def _nearest_candidate(answer: Rows, row: int, candidates: Rows, exact: Closeness) -> int | None:
    """The candidate that a row of the answer is; None if there is none near enough."""
    scores = np.abs(candidates.scores - answer.scores[row])
    boxes = np.abs(candidates.boxes - answer.boxes[row]).max(axis=1, initial=0)
    same = candidates.labels == answer.labels[row]
    within = np.flatnonzero(same & (scores <= exact.score) & (boxes <= exact.box_px))
    return int(within[np.argmin(boxes[within])]) if len(within) else None


def _suppressed(reference: Rows, answer: Rows, paired: NDArray[np.bool_], rule: MatchRule) -> NDArray[np.bool_]:
    """Which rows of the reference NMS would drop, give or take rounding, because of a right row of the answer."""
    overlaps = iou_matrix(reference.boxes, answer.boxes) > rule.nms_iou - _IOU_ROUNDING
    same = reference.labels[:, None] == answer.labels[None, :]
    ahead = answer.scores[None, :] >= reference.scores[:, None] - rule.exact.score
    dropped: NDArray[np.bool_] = (overlaps & same & ahead & paired[None, :]).any(axis=1)
    return dropped


def _on_the_edge(scores: NDArray[np.float32], other: Rows, rule: MatchRule, margin: float) -> NDArray[np.bool_]:
    """Which scores are so near the floor, or the end of the other side's full list, that they may be missing there."""
    edge = rule.score_floor
    if len(other.scores) >= rule.max_detections:
        edge = max(edge, float(other.scores.min()))
    near: NDArray[np.bool_] = scores <= edge + margin
    return near


@dataclass
class Spread:
    """The largest and the mean of some absolute differences."""

    largest: float = 0.0
    total: float = 0.0
    values: int = 0

    def add(self, differences: NDArray[Any]) -> None:
        """Take more of them in."""
        if differences.size:
            self.largest = max(self.largest, float(differences.max()))
            self.total += float(differences.sum(dtype=np.float64))
            self.values += int(differences.size)

    @property
    def mean(self) -> float | None:
        """Their mean; None where there are none."""
        return self.total / self.values if self.values else None

    def to_dict(self) -> dict[str, Any]:
        """Largest, mean and how many values; None where there are none."""
        return {"largest": self.largest if self.values else None, "mean": self.mean, "values": self.values}


@dataclass
class Agreement:
    """Answers held against those of a reference, picture by picture.

    Attributes:
        pictures: how many were compared.
        same_count: of how many both found equally many things.
        matched: detections of the answers that have a partner.
        unmatched: detections of either side that have none and no excuse.
        scores: differences of the scores rank by rank, as far as both lists go.
        matched_scores: differences of the scores of partners.
        boxes_px: differences of the box edges of partners, in pixels.
    """

    pictures: int = 0
    same_count: int = 0
    matched: int = 0
    unmatched: int = 0
    scores: Spread = field(default_factory=Spread)
    matched_scores: Spread = field(default_factory=Spread)
    boxes_px: Spread = field(default_factory=Spread)

    @property
    def matched_share(self) -> float:
        """Share of both sides' detections that have a partner; 1 where there are none."""
        rows = 2 * self.matched + self.unmatched
        return 2 * self.matched / rows if rows else 1.0

    def add_picture(
        self, reference: Rows, answer: Rows, rule: MatchRule, candidates: Rows | None = None
    ) -> PictureAgreement:
        """Compare one picture more; see :func:`compare_rows`."""
        found = compare_rows(reference, answer, rule, candidates)
        self.pictures += 1
        self.same_count += len(reference.scores) == len(answer.scores)
        both = min(len(reference.scores), len(answer.scores))
        self.scores.add(np.abs(reference.scores[:both] - answer.scores[:both]))
        self.matched += len(found.scores)
        self.unmatched += len(found.missing) + len(found.strange)
        self.matched_scores.add(found.scores)
        self.boxes_px.add(found.boxes_px)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {
            "pictures": self.pictures,
            "pictures_with_the_same_count": self.same_count,
            "matched_share": self.matched_share,
            "matched": self.matched,
            "unmatched": self.unmatched,
            "scores_by_rank": self.scores.to_dict(),
            "scores_of_matched": self.matched_scores.to_dict(),
            "box_edges_of_matched_px": self.boxes_px.to_dict(),
        }
