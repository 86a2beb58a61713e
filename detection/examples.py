"""A few fixed pictures of a data set, and what a detector says of them: small enough to keep for every evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .dataset import DataSet
from .detections import Detections, Status

#: Pictures kept of every evaluation of a training.
KEPT_PICTURES = 6
#: Of each of them the best detections, from this score on; below it they say nothing of a detector at work.
KEPT_DETECTIONS, KEPT_SCORE = 30, 0.05


def choose_examples(data: DataSet, limit: int) -> list[int]:
    """Pictures to show, by a rule that does not look at any detection.

    For each class in turn the first picture of the data set with that class which was not taken yet.

    Args:
        data: to choose from.
        limit: at most so many.

    Returns:
        Indices into ``data.samples``.
    """
    chosen: list[int] = []
    for label in range(len(data.labels)):
        for index, sample in enumerate(data.samples):
            if index not in chosen and (sample.labels == label).any():
                chosen.append(index)
                break
    return chosen[:limit]


def examples_entry(data: DataSet, detections: Sequence[Detections], step: int, epoch: int) -> dict[str, Any]:
    """What a training's ``examples.jsonl`` keeps of one evaluation.

    Args:
        data: what was evaluated on.
        detections: of all its pictures, in order.
        step: optimizer steps done.
        epoch: epochs done.
    """
    chosen = choose_examples(data, KEPT_PICTURES)
    pictures = [plain_detections(data.samples[i].file_name, _best(detections[i])) for i in chosen]
    return {"kind": "examples", "step": step, "epoch": epoch, "pictures": pictures}


def plain_detections(file_name: str, found: Detections) -> dict[str, Any]:
    """The detections on one picture as plain JSON values: boxes to 0.01 px, scores to 0.0001."""
    return {
        "file": file_name,
        "size": list(found.image_size),
        "status": found.status.value,
        "boxes": np.round(found.boxes.astype(np.float64), 2).tolist(),
        "scores": np.round(found.scores.astype(np.float64), 4).tolist(),
        "labels": found.labels.tolist(),
    }


def detections_of(plain: Mapping[str, Any]) -> Detections:
    """The detections of :func:`plain_detections`; their source is the file's name.

    Raises:
        KeyError, TypeError, ValueError, IndexError: if the values are not what that function gives.
    """
    return Detections(
        np.array(plain["boxes"], np.float32).reshape(-1, 4),
        np.array(plain["scores"], np.float32),
        np.array(plain["labels"], np.int32),
        (int(plain["size"][0]), int(plain["size"][1])),
        str(plain["file"]),
        Status(plain["status"]),
    )


def _best(found: Detections) -> Detections:
    return found.keep(np.flatnonzero(found.scores >= KEPT_SCORE)[:KEPT_DETECTIONS])
