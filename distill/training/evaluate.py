"""mAP of a detector that is still in Paddle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...detection.decode import DecodeSettings, decode_detections
from ...detection.detections import Detections
from ...detection.metrics import AccuracyFigures, evaluate
from .. import ranks
from ..detectors.normalise import Normalisation
from ..paddle_import import paddle
from .loader import PictureStore

if TYPE_CHECKING:
    from ..detectors.base import Detector


def raw_predictions(
    detector: Detector, images: NDArray[np.uint8], normalisation: Normalisation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores [B, A, classes] and regressions [B, A, 4] of pictures uint8 [B, H, W] or [B, H, W, 3]."""
    was_training = detector.training
    detector.eval()
    with paddle.no_grad():
        tensor = paddle.to_tensor(normalisation.apply(images))
        scores, regressions = detector.raw_predictions(detector.neck_features(tensor))
    if was_training:
        detector.train()
    return scores.numpy(), regressions.numpy()


def predict(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    batch_size: int = 8,
) -> Iterator[Detections]:
    """Detections of every picture of a store, in order, in pixels of the original pictures."""
    for start in range(0, len(store.data.samples), batch_size):
        yield from _predict_batch(detector, store, normalisation, settings, start, batch_size)


def predict_all(
    detector: Detector, store: PictureStore, normalisation: Normalisation, settings: DecodeSettings
) -> list[Detections]:
    """What :func:`predict` gives; several ranks share the work, and all get all of it."""
    if ranks.size() == 1:
        return list(predict(detector, store, normalisation, settings))
    return _predict_together(detector, store, normalisation, settings)


def evaluate_detector(
    detector: Detector, store: PictureStore, normalisation: Normalisation, settings: DecodeSettings
) -> AccuracyFigures:
    """COCO figures of a detector on a store's data set; several ranks share the work, and all get the figures."""
    return evaluate(store.data, predict_all(detector, store, normalisation, settings))


def _predict_batch(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    start: int,
    batch_size: int,
) -> Iterator[Detections]:
    rule, samples = store.rule, store.data.samples
    size = (rule.width, rule.height)
    coding = detector.box_coding(size)
    rows = range(start, min(start + batch_size, len(samples)))
    scores, regressions = raw_predictions(detector, np.stack([store.image(i) for i in rows]), normalisation)
    for row, index in enumerate(rows):
        boxes, kept, labels = decode_detections(scores[row], regressions[row], coding, size, settings)
        sample = samples[index]
        yield Detections(rule.boxes_to_image(boxes, sample.size), kept, labels, sample.size, sample.file_name)


def _predict_together(
    detector: Detector,
    store: PictureStore,
    normalisation: Normalisation,
    settings: DecodeSettings,
    batch_size: int = 8,
) -> list[Detections]:
    """What :func:`predict` gives, the batches dealt out to the ranks: the same batches, so the same numbers."""
    samples = store.data.samples
    # a row: x1, y1, x2, y2, score, label + 1; what another rank fills is 0 here, and adding changes nothing
    table = np.zeros((len(samples), settings.max_detections, 6))
    for start in range(ranks.rank() * batch_size, len(samples), ranks.size() * batch_size):
        found = _predict_batch(detector, store, normalisation, settings, start, batch_size)
        for index, one in enumerate(found, start=start):
            rows = np.concatenate([one.boxes, one.scores[:, None], one.labels[:, None] + 1], axis=1)
            table[index, : len(rows)] = rows
    detections = []
    for sample, rows in zip(samples, ranks.sum_over_ranks(table), strict=True):
        rows = rows[rows[:, 5] > 0]
        boxes, scores, labels = rows[:, :4], rows[:, 4], rows[:, 5] - 1
        detections.append(
            Detections(
                boxes.astype(np.float32),
                scores.astype(np.float32),
                labels.astype(np.int32),
                sample.size,
                sample.file_name,
            )
        )
    return detections
