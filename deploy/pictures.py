"""Annotated pictures: the picture as it was, with the defects drawn on it."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.errors import TemperError
from ..core.files import write_bytes
from ..detection.detections import Detections
from ..detection.draw import draw_boxes

#: Smaller pictures are enlarged until their longer side has this many pixels, so that labels can be read.
LEGIBLE_SIDE = 600
MAX_SCALE = 4
JPEG_QUALITY = 90
#: Pixels of the longer side that libjpeg still writes.
MAX_JPEG_SIDE = 65_500
#: Of the original name this much is kept; with its number in front a name stays unique.
NAME_LENGTH = 80


class PictureWriter:
    """Writes annotated pictures as JPEG below ``out/pictures/run-N``, in a thread; use it as a context manager.

    Args:
        out: the folder of results.
        run_id: number of the run in the store.
        labels: of the bundle.
    """

    def __init__(self, out: Path, run_id: int, labels: list[str]) -> None:
        self._out = out
        self._folder = f"pictures/run-{run_id}"
        self._labels = labels
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._pending: list[Future[None]] = []

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def write(self, index: int, source: str, image: NDArray[np.uint8], defects: Detections) -> str:
        """Draw and write one picture, soon; it is there once :meth:`flush` returns.

        Args:
            index: of the frame.
            source: name of the frame; its last part becomes part of the file's name.
            image: uint8 [H, W] or [H, W, 3] RGB; must not change any more.
            defects: what to draw, boxes in pixels of ``image``.

        Returns:
            The file's path below the folder of results, with forward slashes.
        """
        name = f"{self._folder}/{index:06d}-{_plain_stem(source)}.jpg"
        self._pending.append(self._thread.submit(self._draw, self._out / name, image, defects))
        return name

    def flush(self) -> None:
        """Wait until every picture is on the disk, or has failed.

        Raises:
            TemperError: if one cannot be written.
        """
        pending, self._pending = self._pending, []
        wait(pending)
        for picture in pending:
            picture.result()

    def _draw(self, path: Path, image: NDArray[np.uint8], defects: Detections) -> None:
        scale = min(MAX_SCALE, max(1, math.ceil(LEGIBLE_SIDE / max(image.shape[:2]))))
        drawn = draw_boxes(image, defects.boxes, defects.labels, self._labels, defects.scores, scale=scale)
        drawn = _as_jpeg_allows(drawn)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        encoded, content = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), quality)
        if not encoded:
            raise TemperError(f"The annotated picture {path} cannot be made; use --pictures none.")
        write_bytes(path, content.tobytes())


def _as_jpeg_allows(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The drawing, made smaller where a side is longer than JPEG knows: a strip of a line scan camera."""
    factor = MAX_JPEG_SIDE / max(drawn.shape[:2])
    if factor >= 1:
        return drawn
    height, width = (max(1, int(side * factor)) for side in drawn.shape[:2])
    return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _plain_stem(source: str) -> str:
    """The name without its ending and without characters that shells and other systems stumble over."""
    name = PurePosixPath(source).name
    stem = PurePosixPath(name).stem if "#" not in name else name
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in stem)
    return kept[:NAME_LENGTH]
