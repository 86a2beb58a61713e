"""A graph on a data set, whether there is a bundle around it yet or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..deploy.runtimes.base import Runtime
from ..deploy.runtimes.load import DEFAULT_RUNTIME, open_graph
from ..detection.detections import Detections

if TYPE_CHECKING:
    from ..distill.training.loader import PictureStore

#: Told how many pictures are done, of how many.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""


def graph_detections(
    graph: Path, store: PictureStore, rows: Iterable[int] | None = None, progress: Progress = no_progress
) -> list[Detections]:
    """What a graph finds on the pictures of a store, on ONNX Runtime; see :func:`runtime_detections`.

    Args:
        graph: an ONNX file with the contract of ``docs/architecture.md``.
        store: pictures at the graph's size.
        rows: which of them; all if not given.
        progress: called after every picture.

    Raises:
        TemperError: if the graph does not load or run, or a picture cannot be read.
    """
    runtime = open_graph(DEFAULT_RUNTIME, graph)
    try:
        return runtime_detections(runtime, store, range(len(store.data)) if rows is None else rows, progress)
    finally:
        runtime.close()


def runtime_detections(
    runtime: Runtime, store: PictureStore, rows: Iterable[int], progress: Progress = no_progress
) -> list[Detections]:
    """What a loaded graph finds on the pictures of a store, one at a time, as on the line.

    Args:
        runtime: has the graph.
        store: pictures at the graph's size.
        rows: which of them.
        progress: called after every picture.

    Returns:
        One per picture, in order, boxes in pixels of the graph's input.

    Raises:
        TemperError: if the graph does not run, or a picture cannot be read.
    """
    chosen = list(rows)
    size = (store.rule.width, store.rule.height)
    found = []
    for done, row in enumerate(chosen, start=1):
        answer = runtime.infer(store.image(row)[np.newaxis])
        count = int(answer.count[0])
        boxes, scores, labels = answer.boxes[0, :count], answer.scores[0, :count], answer.labels[0, :count]
        found.append(Detections(boxes, scores, labels, size, store.data.samples[row].file_name))
        progress(done, len(chosen))
    return found


def in_picture_pixels(found: Iterable[Detections], store: PictureStore, rows: Iterable[int]) -> list[Detections]:
    """Detections in pixels of the graph's input, brought back to the pixels of the store's pictures at ``rows``."""
    moved = []
    for one, row in zip(found, rows, strict=True):
        size = store.data.samples[row].size
        boxes = store.rule.boxes_to_image(one.boxes, size)
        moved.append(Detections(boxes, one.scores, one.labels, size, one.source, one.status))
    return moved


def evenly_spaced(total: int, wanted: int) -> list[int]:
    """At most ``wanted`` of ``total`` positions, spread evenly: in a list sorted by class each has its share."""
    if wanted >= total:
        return list(range(total))
    return [int(position) for position in np.linspace(0, total - 1, wanted).round()]
