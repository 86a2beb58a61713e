"""mAP of a detector that is still in Paddle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...detection.dataset import DataSet
from ...detection.decode import DecodeSettings, decode_detections
from ...detection.detections import Detections
from ...detection.metrics import AccuracyFigures, evaluate
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
    rule, samples = store.rule, store.data.samples
    size = (rule.width, rule.height)
    coding = detector.box_coding(size)
    for start in range(0, len(samples), batch_size):
        rows = range(start, min(start + batch_size, len(samples)))
        scores, regressions = raw_predictions(detector, np.stack([store.image(i) for i in rows]), normalisation)
        for row, index in enumerate(rows):
            boxes, kept, labels = decode_detections(scores[row], regressions[row], coding, size, settings)
            sample = samples[index]
            yield Detections(rule.boxes_to_image(boxes, sample.size), kept, labels, sample.size, sample.file_name)


def evaluate_detector(
    detector: Detector, store: PictureStore, normalisation: Normalisation, settings: DecodeSettings
) -> AccuracyFigures:
    """COCO figures of a detector on a store's data set."""
    data: DataSet = store.data
    return evaluate(data, list(predict(detector, store, normalisation, settings)))
