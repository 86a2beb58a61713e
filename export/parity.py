"""Paddle against an exported graph, on real pictures: nothing is called exported before this has passed.

Detections of both sides are paired one to one: same picture, same label, IoU at least 0.95, the closest pair first.
Over the pairs the scores and box edges are compared, edges in pixels of the graph's input.

Two lists can differ although every number agrees to the last digits, because some decisions stand on an edge:

- A score at the floor, or at the last place of a full list, may fall to either side. Such a row is left out of the
  count.
- Of two boxes that overlap and score nearly the same, NMS may keep the other one. So a graph's row that is no close
  match of one of Paddle's detections is looked for among Paddle's candidates, the boxes before NMS: if it is one of
  them within the limits, the graph computed the right numbers, and it is compared with that one. Paddle's row that it
  drove out is left out of the count, for the graph holds a row that suppresses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Parity
from ..core.errors import TemperError
from ..detection.boxes import iou_matrix
from ..detection.decode import DecodeSettings, decode_detections
from ..detection.detections import Detections
from ..detection.metrics import evaluate
from .evaluate import Progress, in_picture_pixels, no_progress

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector
    from ..distill.detectors.normalise import Normalisation
    from ..distill.training.loader import PictureStore

#: Two detections are one and the same if they overlap at least this much.
MATCH_IOU = 0.95
#: How far an fp32 graph may be from Paddle in score and in pixels of a box edge, and how many rows must have a partner.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_BOX_DIFFERENCE_PX = 0.5
MIN_MATCHED_SHARE = 0.95
#: By so little an overlap may miss the NMS limit on one side and pass it on the other.
_IOU_ROUNDING = 0.01


@dataclass(frozen=True)
class Differences:
    """Two lists of detections on one picture, or on many, compared.

    Attributes:
        pairs: rows of the graph that found their partner.
        unpaired: rows of either side that have none, and no excuse.
        score: largest difference in score over the pairs.
        box_px: largest difference of a box edge over the pairs.
    """

    pairs: int = 0
    unpaired: int = 0
    score: float = 0.0
    box_px: float = 0.0

    @property
    def matched_share(self) -> float:
        """Share of the rows of both sides that have a partner; 1 where there are no rows."""
        rows = 2 * self.pairs + self.unpaired
        return 2 * self.pairs / rows if rows else 1.0

    def __add__(self, other: Differences) -> Differences:
        return Differences(
            self.pairs + other.pairs,
            self.unpaired + other.unpaired,
            max(self.score, other.score),
            max(self.box_px, other.box_px),
        )


def compare(
    paddle: Detections, graph: Detections, settings: DecodeSettings, candidates: Detections | None = None
) -> Differences:
    """Pair what Paddle and a graph found on one picture and measure how far the pairs are apart.

    Args:
        paddle: Paddle's detections.
        graph: the graph's.
        settings: how both were decoded.
        candidates: Paddle's boxes before NMS; without them a row that NMS decided otherwise has no partner.
    """
    partner = _partners(paddle, graph)
    paired = partner >= 0
    score_gap, box_gap = np.full(len(graph), np.inf), np.full(len(graph), np.inf)
    score_gap[paired] = np.abs(graph.scores[paired] - paddle.scores[partner[paired]])
    box_gap[paired] = np.abs(graph.boxes[paired] - paddle.boxes[partner[paired]]).max(axis=1)
    if candidates is not None:
        for row in np.flatnonzero((score_gap > MAX_SCORE_DIFFERENCE) | (box_gap > MAX_BOX_DIFFERENCE_PX)).tolist():
            gaps = _nearest_candidate(graph, row, candidates)
            if gaps is not None:
                score_gap[row], box_gap[row] = gaps
                partner[row], paired[row] = -1, True
    missing = np.delete(np.arange(len(paddle)), partner[partner >= 0])
    driven_out = np.zeros(len(missing), bool)
    if candidates is not None and len(graph):
        driven_out = _suppressed(paddle.keep(missing), graph, settings.nms_iou)
    lost = ~driven_out & ~_on_the_edge(paddle.scores[missing], graph, settings)
    strange = ~_on_the_edge(graph.scores[~paired], paddle, settings)
    return Differences(
        int(paired.sum()),
        int(lost.sum() + strange.sum()),
        float(score_gap[paired].max(initial=0)),
        float(box_gap[paired].max(initial=0)),
    )


def _nearest_candidate(graph: Detections, row: int, candidates: Detections) -> tuple[float, float] | None:
    """How far a graph's row is, in score and box, from the candidate it is within the limits; None if there is none."""
    scores = np.abs(candidates.scores - graph.scores[row])
    boxes = np.abs(candidates.boxes - graph.boxes[row]).max(axis=1, initial=0)
    same = candidates.labels == graph.labels[row]
    within = np.flatnonzero(same & (scores <= MAX_SCORE_DIFFERENCE) & (boxes <= MAX_BOX_DIFFERENCE_PX))
    if not len(within):
        return None
    nearest = within[np.argmin(boxes[within])]
    return float(scores[nearest]), float(boxes[nearest])


def _suppressed(rows: Detections, others: Detections, nms_iou: float) -> NDArray[np.bool_]:
    """Which rows NMS would drop, give or take rounding, because of one of ``others``; bool [N]."""
    overlaps = iou_matrix(rows.boxes, others.boxes) > nms_iou - _IOU_ROUNDING
    same = rows.labels[:, None] == others.labels[None, :]
    ahead = others.scores[None, :] >= rows.scores[:, None] - MAX_SCORE_DIFFERENCE
    dropped: NDArray[np.bool_] = (overlaps & same & ahead).any(axis=1)
    return dropped


def _on_the_edge(scores: NDArray[np.float32], other: Detections, settings: DecodeSettings) -> NDArray[np.bool_]:
    """Which scores are so near the floor, or the end of the other side's full list, that they may be missing there."""
    edge = settings.score_floor
    if len(other) >= settings.max_detections:
        edge = max(edge, float(other.scores.min()))
    near: NDArray[np.bool_] = scores <= edge + MAX_SCORE_DIFFERENCE
    return near


def _partners(paddle: Detections, graph: Detections) -> NDArray[np.int64]:
    """For each of the graph's rows the row of Paddle's that belongs to it, -1 if none; int64 [N]."""
    overlaps = iou_matrix(graph.boxes, paddle.boxes)
    rows, columns = np.nonzero((overlaps >= MATCH_IOU) & (graph.labels[:, None] == paddle.labels[None, :]))
    apart = np.abs(graph.scores[rows] - paddle.scores[columns])
    partner = np.full(len(graph), -1, np.int64)
    taken = np.zeros(len(paddle), bool)
    for index in np.lexsort((apart, -overlaps[rows, columns])):
        row, column = rows[index], columns[index]
        if partner[row] < 0 and not taken[column]:
            partner[row], taken[column] = column, True
    return partner


@dataclass(frozen=True)
class PaddleAnswer:
    """What the detector says of one picture in Paddle, boxes in pixels of the network's input.

    Attributes:
        detections: after NMS.
        candidates: before it: every box and class above the score floor of the best locations.
    """

    detections: Detections
    candidates: Detections


def paddle_answers(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    rows: Iterable[int],
    progress: Progress = no_progress,
) -> list[PaddleAnswer]:
    """What the detector finds in Paddle on pictures of a store, decoded by the reference; one per row, in order."""
    from ..distill.training.evaluate import raw_predictions

    chosen = list(rows)
    size = (store.rule.width, store.rule.height)
    coding = detector.box_coding(size)
    # an overlap is never more than 1, so that nothing is suppressed
    unsuppressed = replace(settings, nms_iou=1.0, max_detections=settings.candidates * detector.classes)
    answers = []
    for done, row in enumerate(chosen, start=1):
        raw_scores, regressions = raw_predictions(detector, store.image(row)[np.newaxis], normalisation)
        both = []
        for how in (settings, unsuppressed):
            boxes, scores, labels = decode_detections(raw_scores[0], regressions[0], coding, size, how)
            both.append(Detections(boxes, scores, labels, size, store.data.samples[row].file_name))
        answers.append(PaddleAnswer(both[0], both[1]))
        progress(done, len(chosen))
    return answers


def check_parity(
    paddle: Sequence[PaddleAnswer],
    graph: Sequence[Detections],
    store: PictureStore,
    rows: Sequence[int],
    settings: DecodeSettings,
    *,
    exact: bool,
) -> Parity:
    """Compare what Paddle and a graph found on the same pictures.

    Args:
        paddle: Paddle's answers.
        graph: the graph's detections, boxes in pixels of its input.
        store: the pictures' data set.
        rows: which of its pictures.
        settings: how both were decoded.
        exact: whether the graph should compute Paddle's numbers (fp32), so that Paddle's candidates can tell a decision
            on the edge from a fault. A quantised graph's cannot be found among them.

    Returns:
        The record that goes into the manifest.

    Raises:
        ValueError: if the lists differ in length, or are empty.
    """
    import onnxruntime

    if not rows or not len(paddle) == len(graph) == len(rows):
        raise ValueError(f"{len(paddle)}, {len(graph)} and {len(rows)} entries cannot be compared")
    total = sum(
        (
            compare(answer.detections, found, settings, answer.candidates if exact else None)
            for answer, found in zip(paddle, graph, strict=True)
        ),
        Differences(),
    )
    data = store.data.subset(rows)
    return Parity(
        images=len(rows),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        largest_score_difference=total.score,
        largest_box_difference_px=total.box_px,
        matched_share=total.matched_share,
        map_paddle=evaluate(data, in_picture_pixels([one.detections for one in paddle], store, rows)).ap,
        map_graph=evaluate(data, in_picture_pixels(graph, store, rows)).ap,
    )


def require_parity(parity: Parity, graph: Path) -> None:
    """Refuse an fp32 graph that does not compute what Paddle computes.

    Raises:
        TemperError: with the figures and their limits.
    """
    faults = []
    if parity.largest_score_difference > MAX_SCORE_DIFFERENCE:
        faults.append(f"scores differ by up to {parity.largest_score_difference:.2g} (limit {MAX_SCORE_DIFFERENCE:g})")
    if parity.largest_box_difference_px > MAX_BOX_DIFFERENCE_PX:
        faults.append(
            f"box edges by up to {parity.largest_box_difference_px:.2g} px (limit {MAX_BOX_DIFFERENCE_PX:g} px)"
        )
    if parity.matched_share < MIN_MATCHED_SHARE:
        faults.append(
            f"{1 - parity.matched_share:.1%} of the detections have no partner (limit {1 - MIN_MATCHED_SHARE:.0%})"
        )
    if faults:
        raise TemperError(
            f"The graph {graph.name} is not what was trained, on {parity.images} pictures: {', '.join(faults)}. "
            "Nothing was exported; check the versions of paddlepaddle and paddle2onnx with 'temper doctor'."
        )
