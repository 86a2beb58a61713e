"""The pictures on which two sides disagree at their own thresholds: who finds what, who flags what wrongly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...detection.boxes import iou_matrix
from ...detection.dataset import DataSet
from .accuracy import Judged


@dataclass(frozen=True)
class Disagreement:
    """One picture on which the sides disagree; every list names the class of each box.

    Attributes:
        file: the picture's name.
        lost: defects that A finds and B misses.
        gained: defects that B finds and A misses.
        alarms_added: false alarms of B where A has none of the class.
        alarms_gone: false alarms of A where B has none of the class.
    """

    file: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    alarms_added: tuple[str, ...]
    alarms_gone: tuple[str, ...]

    @property
    def weight(self) -> tuple[int, int]:
        """What puts it first: lost defects, then everything in which the sides differ."""
        parts = (self.lost, self.gained, self.alarms_added, self.alarms_gone)
        return len(self.lost), sum(len(part) for part in parts)


def find_disagreements(data: DataSet, a: Judged, b: Judged, found_iou: float) -> list[Disagreement]:
    """The pictures on which the sides disagree, those with most lost defects first.

    Args:
        data: the truth.
        a: one side.
        b: the other, on the same pictures.
        found_iou: from which IoU on two false alarms of a class are the same one.
    """
    found = []
    lost, gained = ~a.at.missed & b.at.missed, a.at.missed & ~b.at.missed
    for index, sample in enumerate(data.samples):
        here = a.inspected.defect_image == index
        parts = [a.inspected.defect_label[rows & here] for rows in (lost, gained)]
        parts += [_alone(b, a, index, found_iou), _alone(a, b, index, found_iou)]
        if any(len(part) for part in parts):
            named = (tuple(data.labels[label] for label in part.tolist()) for part in parts)
            found.append(Disagreement(sample.file_name, *named))
    return sorted(found, key=lambda one: one.weight, reverse=True)


def _alone(one: Judged, other: Judged, index: int, found_iou: float) -> NDArray[np.int64]:
    """The classes of the false alarms of one side on a picture that lie on no false alarm of the other's."""
    boxes, labels = _alarms(one, index)
    others, other_labels = _alarms(other, index)
    same = (iou_matrix(boxes, others) >= found_iou) & (labels[:, None] == other_labels[None])
    return labels[~same.any(axis=1)]


def _alarms(side: Judged, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    # the detections of a picture lie together, in its own order
    here = np.flatnonzero(side.inspected.image == index)
    wrong = side.at.false_alarm[here]
    boxes = side.detections[index].boxes[wrong] if len(here) else np.zeros((0, 4), np.float32)
    return boxes, side.inspected.label[here][wrong]
