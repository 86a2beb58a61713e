"""PaddleDetection's exported ONNX model with the host's part as its deploy code has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError
from ..deploy.runtimes.onnxruntime import import_onnxruntime
from ..deploy.stages import StageTimes
from ..detection.detections import Detections

Resize = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class PeerSettings:
    """Of the exported model.

    Attributes:
        width: of its input in pixels.
        height: of it.
        mean: of each channel, on the scale from 0 to 255.
        std: of each channel, on the same.
    """

    width: int
    height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture [H, W, 3] at the model's size, linear, as PaddleDetection's RetinaNets are set."""
        resized = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)


class PeerSession:
    """The model in ONNX Runtime.

    Args:
        path: the ONNX file, with the inputs ``image`` float32 [B, 3, H, W] and ``scale_factor`` float32 [B, 2].
        settings: of it.
        threads: of the session; None lets it choose.
        resize: brings a picture to its size; None takes that of the settings.

    Raises:
        TemperError: if ONNX Runtime does not load it.
    """

    def __init__(
        self, path: Path, settings: PeerSettings, threads: int | None = None, resize: Resize | None = None
    ) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # a class of its own for every way a file can be wrong
            said = (str(error).strip().splitlines() or [type(error).__name__])[0].replace("|", "/")
            raise TemperError(f"ONNX Runtime does not load {path.name}: {said.rstrip('. ')}.") from error
        self.settings = settings
        self._resize = resize or settings.resize
        # on the scale from 0 to 1, as its configurations have them
        self._mean = np.array(settings.mean, np.float32) / 255
        self._std = np.array(settings.std, np.float32) / 255

    def detect_batch(
        self, images: Sequence[NDArray[np.uint8]], sources: Sequence[str] = (), timer: StageTimes | None = None
    ) -> list[Detections]:
        """Detections on pictures uint8 [H, W, 3] RGB; see ``deploy.detector.BundleDetector.detect_batch``.

        Raises:
            TemperError: if ONNX Runtime fails on it.
        """
        timer = {} if timer is None else timer
        started = time.perf_counter()
        feed = {"image": np.stack([self._prepare(image) for image in images]), "scale_factor": self._scales(images)}
        given = time.perf_counter()
        try:
            rows, counts = self._session.run(None, feed)
        except Exception as error:  # as above
            raise TemperError(f"ONNX Runtime fails on it ({type(error).__name__}).") from error
        answered = time.perf_counter()
        ends = np.cumsum(np.asarray(counts).reshape(-1))
        if len(ends) != len(images) or ends[-1] != len(rows):
            raise TemperError(f"it gives {len(rows)} rows, and counts {np.asarray(counts).reshape(-1).tolist()}")
        parts = np.split(rows, ends[:-1])
        found = [
            _detections(part, image, source)
            for part, image, source in zip(parts, images, sources or [""] * len(images), strict=True)
        ]
        timer["compute"] = 1000 * (answered - given)
        timer["end_to_end"] = 1000 * (time.perf_counter() - started)
        return found

    def _prepare(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [3, H, W]: resized, divided by 255, normalised, channels first."""
        scaled = self._resize(image).astype(np.float32) / np.float32(255)
        scaled -= self._mean
        scaled /= self._std
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def _scales(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        settings = self.settings
        return np.array(
            [[settings.height / image.shape[0], settings.width / image.shape[1]] for image in images], np.float32
        )


def _detections(rows: NDArray[np.float32], image: NDArray[np.uint8], source: str) -> Detections:
    """Rows float32 [N, 6] of class, score, x1, y1, x2, y2, best first, ended at the picture."""
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    size = (image.shape[1], image.shape[0])
    boxes = rows[:, 2:].clip(0, np.array([*size, *size], np.float32))
    return Detections(boxes, rows[:, 1].copy(), rows[:, 0].astype(np.int32), size, source)
