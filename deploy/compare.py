"""Two runtimes on one graph: are their answers the same? And how far apart may answers be, by the graph's precision?

All tolerances stand here: those of a runtime against another with the same graph, and those of a graph against the
Paddle model it was made from. How detections are paired is in ``detection.agreement``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Precision
from ..detection.agreement import Agreement, Closeness, MatchRule, alike
from .runtimes.base import RawOutput, Runtime

#: Of partners, wherever detections are counted.
MATCH = Closeness(iou=0.95, score=0.01)


@dataclass(frozen=True)
class Tolerance:
    """How far answers may be from a reference's.

    Attributes:
        matched_share: so many of both sides' detections must have a partner, from 0 to 1.
        map_points: so far may mAP be below the reference's, in points.
        batch: so alike must a picture's detections be in a batch and alone.
        relative_error: of the network's numbers before decoding, at most: the length of the difference by the length of
            the reference (root of the sums of squares); None where they are not compared.
        score: partners' scores are at most so far apart.
        box_px: so are their edges, in pixels of the graph's input.
        exact: how near the graph's rows are to the reference's candidates, so that these tell a decision of NMS on the
            edge from a fault; None where the numbers are too coarse for that.
    """

    matched_share: float
    map_points: float
    batch: Closeness
    relative_error: float | None = None
    score: float | None = None
    box_px: float | None = None
    exact: Closeness | None = None


#: A picture in a batch gives what it gives alone, but for the order of floating-point sums.
_BATCH: dict[Precision, Closeness] = {
    "fp32": Closeness(0.0, 1e-4, 0.05),
    "fp16": Closeness(0.0, 5e-3, 1.0),
    # the integers are the same whatever the order; where a floating-point sum before them rounds, one step is lost
    "int8": Closeness(0.0, 1e-2, 1.0),
}

#: A runtime against ONNX Runtime on the processor, both with the same graph. Rounding happens elsewhere in every
#: runtime; the coarser the numbers in the graph, the more it shows.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(0.99, 0.1, _BATCH["fp32"]),
    "fp16": Tolerance(0.95, 0.3, _BATCH["fp16"]),
    # seen of the demo's bundles on OpenVINO against ONNX Runtime: 93 and 96 of 100 matched, mAP 0.1 and 0.5 apart
    "int8": Tolerance(0.85, 1.0, _BATCH["int8"]),
}

#: A graph, on any runtime, against the Paddle model in fp32 (docs/how-to/verify.md says where the figures come from).
PADDLE_TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(
        0.98, 0.1, _BATCH["fp32"], relative_error=5e-4, score=1e-3, box_px=0.5, exact=Closeness(0.0, 1e-3, 0.5)
    ),
    "fp16": Tolerance(0.95, 0.3, _BATCH["fp16"], relative_error=2e-2, exact=Closeness(0.0, 5e-3, 1.0)),
    # int8 is judged by its mAP: scores may move by more than 0.01, and the error finds a graph that is broken, not one
    # that rounds
    "int8": Tolerance(0.0, 1.0, _BATCH["int8"], relative_error=0.8),
}
#: mAP against Paddle is held from so many pictures on: on fewer, one box that falls to the other side moves it by
#: points.
MAP_PICTURES = 50


class Comparison(Agreement):
    """Answers of a runtime held against those of a reference, picture by picture."""

    def __init__(self, score_floor: float) -> None:
        super().__init__()
        self.score_floor = score_floor

    def add(self, reference: RawOutput, answer: RawOutput) -> None:
        """Compare one call's answers, [B, ...] each."""
        rule = MatchRule(self.score_floor, answer.scores.shape[1], MATCH)
        for row in range(len(answer.count)):
            self.add_picture(_Rows.of(reference, row), _Rows.of(answer, row), rule)


def same_answer(first: RawOutput, second: RawOutput, score_floor: float, closeness: Closeness) -> bool:
    """Whether of two answers for one picture ([1, ...] each) every row has its like in the other, in any order.

    A row may be missing in the other answer where its score is within the closeness of the floor, or where the other
    answer is full and the row's score is within the closeness of the lowest in there.
    """
    one, other = _Rows.of(first, 0), _Rows.of(second, 0)
    most = first.scores.shape[1]
    same = alike(one, other, closeness)
    others_found: NDArray[np.bool_] = np.any(same, axis=1)
    ones_found: NDArray[np.bool_] = np.any(same, axis=0)
    others_due = other.scores > one.lowest(most, score_floor) + closeness.score
    ones_due = one.scores > other.lowest(most, score_floor) + closeness.score
    # nor may one row stand for several
    enough = others_due.sum() <= len(one.scores) and ones_due.sum() <= len(other.scores)
    return bool(enough and others_found[others_due].all() and ones_found[ones_due].all())


def different_in_batch(
    runtime: Runtime, images: NDArray[np.uint8], score_floor: float, closeness: Closeness
) -> tuple[RawOutput, list[int]]:
    """Whether pictures in a batch get the answers they get alone.

    Args:
        runtime: has the graph.
        images: uint8 [B, H, W] or [B, H, W, 3] at the graph's size.
        score_floor: of the graph.
        closeness: of detections that are the same.

    Returns:
        The answer for all of them together, and which of them get another one alone.

    Raises:
        UsageError: if the runtime does not take so many at once.
        TemperError: if it fails.
    """
    together = runtime.infer(images)
    different = []
    for index in range(len(images)):
        alone = runtime.infer(images[index : index + 1])
        if not same_answer(alone, row_of(together, index), score_floor, closeness):
            different.append(index)
    return together, different


def row_of(answer: RawOutput, row: int) -> RawOutput:
    """One picture's part of a batch's answer, as an answer for one picture ([1, ...] each)."""
    part = slice(row, row + 1)
    return RawOutput(answer.boxes[part], answer.scores[part], answer.labels[part], answer.count[part])


@dataclass(frozen=True)
class _Rows:
    """What was found on one picture."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]

    @classmethod
    def of(cls, answer: RawOutput, row: int) -> _Rows:
        count = int(answer.count[row])
        return cls(answer.boxes[row, :count], answer.scores[row, :count], answer.labels[row, :count])

    def lowest(self, most: int, score_floor: float) -> float:
        """The score from which on these rows, at most so many, have all there is."""
        return float(self.scores.min()) if len(self.scores) == most else score_floor


def tolerance_dict(tolerance: Tolerance) -> dict[str, Any]:
    """A tolerance as plain JSON values, for a record."""
    plain: dict[str, Any] = asdict(tolerance)
    plain |= {"match_iou": MATCH.iou, "match_score": MATCH.score}
    plain["batch"] = {"score": tolerance.batch.score, "box_px": tolerance.batch.box_px}
    plain["exact"] = None
    if tolerance.exact is not None:
        plain["exact"] = {"score": tolerance.exact.score, "box_px": tolerance.exact.box_px}
    return plain
