"""Two runtimes on one graph: are their answers the same?

Detections are matched one to one: same picture, same label, IoU at least 0.95, score within 0.01, the closest first. A
row at the score floor, or as weak as the last row of a full list, may be on one side only: it stands on an edge where
the last digits decide, and is not counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Precision
from ..detection.boxes import iou_matrix
from .runtimes.base import RawOutput

MATCH_IOU = 0.95
MATCH_SCORE = 0.01


@dataclass(frozen=True)
class Tolerance:
    """How far a runtime may be from the reference with the same graph.

    Attributes:
        matched_share: so many of both sides' detections must have a partner, from 0 to 1.
        map_points: so far may mAP be apart, in points.
    """

    matched_share: float
    map_points: float


#: Rounding happens elsewhere in every runtime; the coarser the numbers in the graph, the more it shows.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(0.99, 0.1),
    "fp16": Tolerance(0.95, 0.3),
    # seen of the demo's bundles on OpenVINO against ONNX Runtime: 93 and 96 of 100 matched, mAP 0.1 and 0.5 apart
    "int8": Tolerance(0.85, 1.0),
}


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

    def to_dict(self) -> dict[str, Any]:
        """Largest, mean and how many values; None where there are none."""
        none = not self.values
        return {
            "largest": None if none else self.largest,
            "mean": None if none else self.total / self.values,
            "values": self.values,
        }


@dataclass
class Comparison:
    """Answers of a runtime held against those of a reference, picture by picture.

    Attributes:
        score_floor: of the bundle.
        pictures: how many were compared.
        same_count: of how many both found equally many things.
        matched: detections of the runtime that have a partner.
        unmatched: detections of either side that have none and no excuse.
        scores: differences of the scores rank by rank, as far as both lists go.
        matched_scores: differences of the scores of partners.
        boxes_px: differences of the box edges of partners, in pixels of the graph's input.
    """

    score_floor: float
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

    def add(self, reference: RawOutput, answer: RawOutput) -> None:
        """Compare one call's answers, [B, ...] each."""
        for row in range(len(answer.count)):
            self._add_picture(_Rows.of(reference, row), _Rows.of(answer, row))

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

    def _add_picture(self, reference: _Rows, answer: _Rows) -> None:
        self.pictures += 1
        self.same_count += len(reference.scores) == len(answer.scores)
        both = min(len(reference.scores), len(answer.scores))
        self.scores.add(np.abs(reference.scores[:both] - answer.scores[:both]))
        ours, theirs = _match_rows(reference, answer)
        self.matched += len(ours)
        self.matched_scores.add(np.abs(reference.scores[theirs] - answer.scores[ours]))
        self.boxes_px.add(np.abs(reference.boxes[theirs] - answer.boxes[ours]))
        self.unmatched += self._inexcusable(np.delete(reference.scores, theirs), answer)
        self.unmatched += self._inexcusable(np.delete(answer.scores, ours), reference)

    def _inexcusable(self, scores: NDArray[np.float32], other: _Rows) -> int:
        """How many of the scores are so far above the edge that the other side should have them."""
        edge = self.score_floor
        if other.full:
            edge = max(edge, float(other.scores.min()))
        return int((scores > edge + MATCH_SCORE).sum())


@dataclass(frozen=True)
class _Rows:
    """What was found on one picture."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    full: bool

    @classmethod
    def of(cls, answer: RawOutput, row: int) -> _Rows:
        count = int(answer.count[row])
        return cls(
            answer.boxes[row, :count],
            answer.scores[row, :count],
            answer.labels[row, :count],
            count == answer.scores.shape[1] and count > 0,
        )


def _match_rows(reference: _Rows, answer: _Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the answer that have a partner, and the reference's rows these are; int64 [N] each."""
    overlaps = iou_matrix(answer.boxes, reference.boxes)
    apart = np.abs(answer.scores[:, None] - reference.scores[None, :])
    same = (answer.labels[:, None] == reference.labels[None, :]) & (apart <= MATCH_SCORE) & (overlaps >= MATCH_IOU)
    ours, theirs = np.nonzero(same)
    taken_ours, taken_theirs, pairs = set[int](), set[int](), []
    for index in np.lexsort((apart[ours, theirs], -overlaps[ours, theirs])).tolist():
        pair = int(ours[index]), int(theirs[index])
        if pair[0] not in taken_ours and pair[1] not in taken_theirs:
            taken_ours.add(pair[0])
            taken_theirs.add(pair[1])
            pairs.append(pair)
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


def tolerance_dict(precision: Precision) -> dict[str, Any]:
    """The tolerance of a precision as plain values, for a record."""
    return {**asdict(TOLERANCES[precision]), "match_iou": MATCH_IOU, "match_score": MATCH_SCORE}
