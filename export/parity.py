"""Paddle against an exported graph, on real pictures: nothing is called exported before this has passed.

Detections of both sides are paired one to one: same picture, same label, IoU at least 0.95, the closest pair first.
Over the pairs the scores and box edges are compared, edges in pixels of the graph's input.

Some rows have no partner for an innocent reason. A score on the edge, the score floor or the last place of a full list,
may fall to either side of it, and of two boxes that overlap by nearly the NMS limit, or score nearly the same, the other
one may survive. The first kind is recognised and not counted; for the second, which cannot be told from a fault by looking
at one row, a small share of unpaired rows is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
#: What an fp32 graph may differ from Paddle: in score, in pixels of a box edge, and in the share of rows left unpaired.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_BOX_DIFFERENCE_PX = 0.5
MAX_UNPAIRED_SHARE = 0.05


@dataclass(frozen=True)
class Differences:
    """Two lists of detections on one picture, or on many, compared.

    Attributes:
        pairs: detections that found their partner.
        unpaired: detections of either side without one, those on the edge left out.
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


def compare(first: Detections, second: Detections, settings: DecodeSettings) -> Differences:
    """Pair two lists of detections of one picture and measure how far the pairs are apart."""
    pairs = _pairs(first, second)
    mine, theirs = pairs[:, 0], pairs[:, 1]
    alone = np.concatenate([np.delete(first.scores, mine), np.delete(second.scores, theirs)])
    edges = [settings.score_floor]
    edges += [float(one.scores.min()) for one in (first, second) if len(one) >= settings.max_detections]
    # the side that has the row places it above the edge, by no more than scores may differ
    on_the_edge = np.any([np.abs(alone - edge) <= MAX_SCORE_DIFFERENCE for edge in edges], axis=0)
    unpaired = int(np.count_nonzero(~on_the_edge))
    if not len(pairs):
        return Differences(unpaired=unpaired)
    return Differences(
        len(pairs),
        unpaired,
        float(np.abs(first.scores[mine] - second.scores[theirs]).max()),
        float(np.abs(first.boxes[mine] - second.boxes[theirs]).max()),
    )


def _pairs(first: Detections, second: Detections) -> NDArray[np.int64]:
    """Rows of both lists that belong together, int64 [P, 2], each row at most once."""
    overlaps = iou_matrix(first.boxes, second.boxes)
    fitting = (overlaps >= MATCH_IOU) & (first.labels[:, None] == second.labels[None, :])
    rows, columns = np.nonzero(fitting)
    apart = np.abs(first.scores[rows] - second.scores[columns])
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    pairs = []
    for index in np.lexsort((apart, -overlaps[rows, columns])):
        row, column = int(rows[index]), int(columns[index])
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def paddle_detections(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    rows: Iterable[int],
    progress: Progress = no_progress,
) -> list[Detections]:
    """What the detector finds in Paddle on pictures of a store, decoded by the reference.

    Returns:
        One per row, in order, boxes in pixels of the network's input.
    """
    from ..distill.training.evaluate import raw_predictions

    chosen = list(rows)
    size = (store.rule.width, store.rule.height)
    coding = detector.box_coding(size)
    found = []
    for done, row in enumerate(chosen, start=1):
        scores, regressions = raw_predictions(detector, store.image(row)[np.newaxis], normalisation)
        boxes, kept, labels = decode_detections(scores[0], regressions[0], coding, size, settings)
        found.append(Detections(boxes, kept, labels, size, store.data.samples[row].file_name))
        progress(done, len(chosen))
    return found


def check_parity(
    paddle: Sequence[Detections],
    graph: Sequence[Detections],
    store: PictureStore,
    rows: Sequence[int],
    settings: DecodeSettings,
) -> Parity:
    """Compare what Paddle and a graph found on the same pictures.

    Args:
        paddle: Paddle's detections, boxes in pixels of the network's input.
        graph: the graph's, likewise.
        store: the pictures' data set.
        rows: which of its pictures.
        settings: how both were decoded.

    Returns:
        The record that goes into the manifest.

    Raises:
        ValueError: if the lists differ in length, or are empty.
    """
    import onnxruntime

    if not rows or not len(paddle) == len(graph) == len(rows):
        raise ValueError(f"{len(paddle)}, {len(graph)} and {len(rows)} entries cannot be compared")
    total = sum((compare(a, b, settings) for a, b in zip(paddle, graph, strict=True)), Differences())
    data = store.data.subset(rows)
    return Parity(
        images=len(rows),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        largest_score_difference=total.score,
        largest_box_difference_px=total.box_px,
        matched_share=total.matched_share,
        map_paddle=evaluate(data, in_picture_pixels(paddle, store, rows)).ap,
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
    if 1 - parity.matched_share > MAX_UNPAIRED_SHARE:
        faults.append(
            f"{1 - parity.matched_share:.1%} of the detections have no partner (limit {MAX_UNPAIRED_SHARE:.0%})"
        )
    if faults:
        raise TemperError(
            f"The graph {graph.name} is not what was trained, on {parity.images} pictures: {', '.join(faults)}. Nothing was "
            "exported; check the versions of paddlepaddle and paddle2onnx with 'temper doctor'."
        )
