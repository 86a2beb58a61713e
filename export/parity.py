"""What Paddle says of some pictures: the reference that every graph, on every runtime, is held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..detection.decode import DecodeSettings, decode_detections
from ..detection.detections import Detections
from ..detection.metrics import evaluate
from .evaluate import Progress, evenly_spaced, in_picture_pixels, no_progress

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector
    from ..distill.detectors.normalise import Normalisation
    from ..distill.training.loader import PictureStore

#: Of at most so many pictures the network's numbers are kept: of a large picture they are tens of megabytes.
RAW_PICTURES = 8

#: The network's scores float32 [A, classes] and regressions float32 [A, 4].
Raw = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class PaddleAnswer:
    """What the detector says of one picture in Paddle, boxes in pixels of the network's input.

    Attributes:
        detections: after NMS.
        candidates: before it: every box and class above the score floor of the best locations.
        score_floor: from which rounding decides nothing: that of the settings, or the score of the last of the best
            locations where others are left out.
        raw: what was decoded; None if it was not kept.
    """

    detections: Detections
    candidates: Detections
    score_floor: float
    raw: Raw | None = None


@dataclass(frozen=True, eq=False)
class PaddleReference:
    """A detector in Paddle, and what it says of some pictures.

    Attributes:
        detector: with its weights.
        normalisation: of its pictures.
        settings: how its answers were decoded.
        store: the pictures' data set, at the network's size.
        rows: which of its pictures.
        answers: one per row.
        ap: mAP on these pictures, in points; None where they have no true box.
        map_budget: points of mAP that a graph of coarser numbers was allowed to lose when it was exported.
    """

    detector: Detector
    normalisation: Normalisation
    settings: DecodeSettings
    store: PictureStore
    rows: tuple[int, ...]
    answers: tuple[PaddleAnswer, ...]
    ap: float | None
    map_budget: float = 0.0

    def judge(self, found: Sequence[Detections]) -> float | None:
        """mAP of detections on the same pictures, boxes in pixels of the network's input."""
        return evaluate(self.store.data.subset(self.rows), in_picture_pixels(found, self.store, self.rows)).ap

    @property
    def raw_places(self) -> list[int]:
        """Where in ``rows`` and ``answers`` the network's numbers were kept."""
        return [place for place, answer in enumerate(self.answers) if answer.raw is not None]


def ask_paddle(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    rows: Iterable[int],
    progress: Progress = no_progress,
    map_budget: float = 0.0,
) -> PaddleReference:
    """Run a detector in Paddle on pictures of a store and decode by the reference.

    Args:
        detector: with trained weights.
        store: pictures at the network's size.
        normalisation: what the network was trained on.
        settings: thresholds and limits.
        rows: which pictures, at least one.
        progress: called after every picture.
        map_budget: see :class:`PaddleReference`.

    Raises:
        ValueError: if there are no rows.
    """
    chosen = tuple(rows)
    if not chosen:
        raise ValueError("a comparison needs pictures, and none were chosen")
    answers = tuple(paddle_answers(detector, store, normalisation, settings, chosen, progress))
    found = in_picture_pixels([one.detections for one in answers], store, chosen)
    ap = evaluate(store.data.subset(chosen), found).ap
    return PaddleReference(detector, normalisation, settings, store, chosen, answers, ap, map_budget)


def paddle_answers(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    rows: Iterable[int],
    progress: Progress = no_progress,
) -> list[PaddleAnswer]:
    """What the detector finds in Paddle on pictures of a store; one per row, in order. See :func:`ask_paddle`."""
    from ..distill.training.evaluate import raw_predictions

    chosen = list(rows)
    kept = set(evenly_spaced(len(chosen), RAW_PICTURES))
    size = (store.rule.width, store.rule.height)
    coding = detector.box_coding(size)
    # an overlap is never more than 1, so that nothing is suppressed
    unsuppressed = replace(settings, nms_iou=1.0, max_detections=settings.candidates * detector.classes)
    answers = []
    for place, row in enumerate(chosen):
        scores, regressions = raw_predictions(detector, store.image(row)[np.newaxis], normalisation)
        both = []
        for how in (settings, unsuppressed):
            boxes, best, labels = decode_detections(scores[0], regressions[0], coding, size, how)
            both.append(Detections(boxes, best, labels, size, store.data.samples[row].file_name))
        floor = max(settings.score_floor, _last_taken(scores[0], settings.candidates))
        raw = (scores[0], regressions[0]) if place in kept else None
        answers.append(PaddleAnswer(both[0], both[1], floor, raw))
        progress(place + 1, len(chosen))
    return answers


def _last_taken(scores: NDArray[np.float32], candidates: int) -> float:
    """The score of the last location that is decoded; 0 where all of them are."""
    if len(scores) <= candidates:
        return 0.0
    best = scores.max(axis=1)
    return float(np.partition(best, len(best) - candidates)[len(best) - candidates])
