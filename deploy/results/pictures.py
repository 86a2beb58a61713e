"""Pictures of frames: as the camera gave them, and with the defects drawn on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...core.files import write_bytes
from ...detection.detections import Detections
from ...detection.draw import draw_boxes

#: Smaller pictures are enlarged until their longer side has this many pixels, so that labels can be read.
LEGIBLE_SIDE = 600
MAX_SCALE = 4
JPEG_QUALITY = 90
#: Pixels of the longer side that libjpeg still writes.
MAX_JPEG_SIDE = 65_500
#: Of the original name this much is kept; with its number in front a name stays unique.
NAME_LENGTH = 80


class PictureWriter:
    """Writes pictures as JPEG below ``out/pictures/run-N``, in threads; use it as a context manager.

    Args:
        out: the folder of results.
        run: number of the run in the store.
        labels: of the bundle.
        side: longest side of annotated pictures, in pixels; None keeps the picture's size, and enlarges small ones.
        room: is asked whether there is room for a file of so many bytes, before it is written; if there is none, the
            picture is left out, as is one that cannot be written. None writes all, and raises where it cannot.
        most_waiting: pictures that may wait; further ones are left out, as verdicts do not wait for pictures. None lets
            any number wait.
    """

    def __init__(
        self,
        out: Path,
        run: int,
        labels: Sequence[str],
        *,
        side: int | None = None,
        room: Callable[[int], bool] | None = None,
        most_waiting: int | None = None,
    ) -> None:
        self._out = out
        self._folder = f"pictures/run-{run}"
        self._labels = list(labels)
        self._side, self._room, self._most_waiting = side, room, most_waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._pending: list[tuple[str, Future[int]]] = []
        self._left_out = 0

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    @property
    def left_out(self) -> int:
        """How many pictures were not written, as there was no room or too many waited."""
        return self._left_out

    def write(self, number: int, source: str, image: NDArray[np.uint8], defects: Detections) -> str | None:
        """Draw and write one picture, soon; it is there once :meth:`flush` returns.

        Args:
            number: of the frame.
            source: name of the frame; its last part becomes part of the file's name.
            image: uint8 [H, W] or [H, W, 3] RGB; must not change any more.
            defects: what to draw, boxes in pixels of ``image``.

        Returns:
            The file's path below the folder of results, with forward slashes; None if it is left out.
        """
        name = f"{self._folder}/{number:06d}-{_plain_stem(source)}.jpg"
        return name if self._submit(name, lambda: self._put(name, self._draw(image, defects))) else None

    def write_full(self, number: int, source: str, image: NDArray[np.uint8]) -> str | None:
        """Write one picture as the camera gave it; otherwise as :meth:`write`."""
        name = f"{self._folder}/{number:06d}-{_plain_stem(source)}.full.jpg"
        return name if self._submit(name, lambda: self._put(name, image)) else None

    def flush(self) -> dict[str, int]:
        """Wait until every picture is on the disk, was left out, or has failed.

        Returns:
            The length in bytes of each picture that is there now, by its name.

        Raises:
            TemperError: if one cannot be written.
        """
        pending, self._pending = self._pending, []
        wait([picture for _, picture in pending])
        return {name: length for name, picture in pending if (length := picture.result())}

    def _submit(self, name: str, work: Callable[[], int]) -> bool:
        waiting = sum(not picture.done() for _, picture in self._pending)
        if self._most_waiting is not None and waiting >= self._most_waiting:
            self._left_out += 1
            return False
        self._pending.append((name, self._thread.submit(work)))
        return True

    def _put(self, name: str, picture: NDArray[np.uint8]) -> int:
        picture = _as_jpeg_allows(picture)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        ready = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        encoded, content = cv2.imencode(".jpg", ready, quality)
        if not encoded:
            raise TemperError(f"The picture {self._out / name} cannot be made; use --pictures none.")
        if self._room is not None and not self._room(len(content)):
            self._left_out += 1
            return 0
        try:
            write_bytes(self._out / name, content.tobytes())
        except TemperError:
            if self._room is None:
                raise
            self._left_out += 1  # it stays counted as written until the next start: rather too much than too little
            return 0
        return len(content)

    def _draw(self, image: NDArray[np.uint8], defects: Detections) -> NDArray[np.uint8]:
        longest = max(image.shape[:2])
        scale = min(MAX_SCALE, max(1, math.ceil(LEGIBLE_SIDE / longest)))
        boxes = defects.boxes
        if self._side is not None:
            scale = 1
            factor = self._side / longest
            if factor < 1:  # before it is drawn on, so that lines and letters stay legible
                width, height = (max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
                boxes = boxes * np.array([width / image.shape[1], height / image.shape[0]] * 2, np.float32)
                image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return draw_boxes(image, boxes, defects.labels, self._labels, defects.scores, scale=scale)


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
