"""From a network's raw numbers to detections, in NumPy: the reference the exported graph is held against.

The graph's tail (``export``) does the same with standard ONNX operators; training uses this one to measure
mAP. The order of the steps is the contract: best class score per location, top ``candidates``, decode,
clip, class-wise NMS, top ``max_detections``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .boxes import iou_matrix

#: Limit of the predicted log scale, so that exp() stays finite (the usual log(1000 / 16)).
MAX_LOG_SCALE = float(np.log(1000.0 / 16.0))
#: A box with a shorter side than this, in pixels of the network's input, is no detection.
MIN_SIDE_PX = 1.0


@dataclass(frozen=True, eq=False)
class BoxCoding:
    """How a detector writes a box as four numbers per location.

    Attributes:
        kind: ``"anchor_deltas"``: dx, dy, dw, dh relative to an anchor's centre and size (R-CNN, 2014);
            ``"point_distances"``: left, top, right, bottom in pixels from a point.
        references: float32 [A, 4] anchors (x1, y1, x2, y2), or [A, 2] points (x, y), in pixels of the input.
    """

    kind: Literal["anchor_deltas", "point_distances"]
    references: NDArray[np.float32]

    def decode(self, regressions: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Boxes [n, 4] from regressions [n, 4] that belong to the references at ``rows`` [n]."""
        references = self.references[rows]
        if self.kind == "point_distances":
            return np.concatenate([references - regressions[:, :2], references + regressions[:, 2:]], axis=1)
        sizes = references[:, 2:] - references[:, :2]
        centres = references[:, :2] + 0.5 * sizes + regressions[:, :2] * sizes
        half = 0.5 * sizes * np.exp(np.minimum(regressions[:, 2:], MAX_LOG_SCALE))
        return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


@dataclass(frozen=True)
class DecodeSettings:
    """The settings of decoding, the same in training, in the graph and in the manifest.

    Attributes:
        score_floor: detections below are dropped before NMS; low, because mAP needs the tail of the curve.
        nms_iou: of two boxes of one class that overlap by more than this, the lower score is dropped.
        candidates: locations kept per picture before NMS, by their best class score.
        max_detections: rows kept per picture after NMS.
    """

    score_floor: float = 0.02
    nms_iou: float = 0.5
    candidates: int = 1000
    max_detections: int = 100


def decode_detections(
    scores: NDArray[np.float32],
    regressions: NDArray[np.float32],
    coding: BoxCoding,
    input_size: tuple[int, int],
    settings: DecodeSettings,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Decode one picture.

    Args:
        scores: float32 [A, C], probabilities from 0 to 1.
        regressions: float32 [A, 4], as ``coding`` says.
        coding: references and their meaning.
        input_size: width and height of the network's input; boxes are clipped to it.
        settings: thresholds and limits.

    Returns:
        boxes float32 [n, 4] in pixels of the network's input, scores float32 [n] descending, labels int32 [n].
    """
    best = scores.max(axis=1)
    # stable, so that equal scores keep the order of the locations, as TopK does in the graph
    rows = np.argsort(-best, kind="stable")[: settings.candidates]
    rows = rows[best[rows] > settings.score_floor]
    boxes = coding.decode(regressions[rows], rows)
    boxes = np.clip(boxes, 0, np.array([*input_size, *input_size], np.float32)).astype(np.float32)
    # what lies outside the picture has no area left, overlaps nothing, and would survive any NMS
    inside = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE_PX).all(axis=1)
    boxes, rows = boxes[inside], rows[inside]
    kept_boxes, kept_scores, kept_labels = [], [], []
    for label in range(scores.shape[1]):
        class_scores = scores[rows, label]
        chosen = np.flatnonzero(class_scores > settings.score_floor)
        chosen = chosen[np.argsort(-class_scores[chosen], kind="stable")]
        chosen = chosen[non_maximum_suppression(boxes[chosen], settings.nms_iou, settings.max_detections)]
        kept_boxes.append(boxes[chosen])
        kept_scores.append(class_scores[chosen])
        kept_labels.append(np.full(len(chosen), label, np.int32))
    all_scores = np.concatenate(kept_scores)
    order = np.argsort(-all_scores, kind="stable")[: settings.max_detections]
    return (
        np.concatenate(kept_boxes)[order],
        all_scores[order].astype(np.float32),
        np.concatenate(kept_labels)[order],
    )


def non_maximum_suppression(boxes: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.int64]:
    """Greedy NMS over boxes [N, 4] already sorted by descending score; gives the rows kept, at most ``limit``."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    overlaps = iou_matrix(boxes, boxes) > iou
    alive = np.ones(len(boxes), bool)
    kept: list[int] = []
    for row in range(len(boxes)):
        if alive[row]:
            kept.append(row)
            if len(kept) == limit:
                break
            alive &= ~overlaps[row]
    return np.array(kept, np.int64)
