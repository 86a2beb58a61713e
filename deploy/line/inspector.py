"""Frames through the graph: cut into tiles, put together into calls of the sizes the runtime is fast at, and back.

Three steps that may run at the same time, each in a thread of its own: :meth:`Inspector.prepare` fills the input,
:meth:`Inspector.infer` lets the runtime compute, :meth:`Inspector.finish` makes detections of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ...detection.detections import Detections
from ..detector import BundleDetector
from ..frames import Frame
from ..runtimes.base import RawOutput, infer_timed
from ..stages import StageTimes, timed
from ..strip.seams import merge
from ..strip.tiles import Tiles, plan
from .batching import SIZES, fast_sizes, split

#: Detections below this share of their class's threshold are not joined over seams: they cannot make a defect of one.
_FLOOR = 0.5


@dataclass(eq=False)
class Work:
    """Some frames on their way through the graph.

    Attributes:
        frames: with an image each.
        tiles: how each of them is cut.
        calls: the input of each call of the runtime, uint8 [B, H, W] or [B, H, W, 3].
        answers: of each call; filled by :meth:`Inspector.infer`.
        times: milliseconds by stage, of all the frames together.
        error: why there are no answers; None if there are.
    """

    frames: list[Frame]
    tiles: list[Tiles]
    calls: list[NDArray[np.uint8]]
    answers: list[RawOutput] = field(default_factory=list)
    times: StageTimes = field(default_factory=dict)
    error: str | None = None


class Inspector:
    """A detector with tiles.

    Args:
        detector: a bundle, loaded.
        tile: width and height of a tile in pixels of the camera; None inspects each frame whole.
        overlap: pixels that neighbouring tiles have in common.
        most_batch: most pictures in one call; None measures what the runtime is fast at.
    """

    def __init__(
        self, detector: BundleDetector, tile: tuple[int, int] | None, overlap: int, most_batch: int | None = None
    ) -> None:
        self.detector = detector
        self._tile, self._overlap = tile, overlap
        self._most_batch = most_batch
        self._plans: dict[tuple[int, int], Tiles] = {}
        self._sizes: tuple[int, ...] = (1,)
        self._floors = detector.thresholds * np.float32(_FLOOR)

    def warm_up(self, sizes: Sequence[tuple[int, int]], waiting: int, beat: Callable[[], None] = lambda: None) -> None:
        """Find out which sizes of calls are fast, and let the runtime do once what it does once.

        Args:
            sizes: width and height of the frames that are expected; none if not known.
            waiting: frames that can wait at once.
            beat: is called now and then.

        Raises:
            TemperError: if the runtime fails.
        """
        # of a line with tiles any frame may have more of them than the largest call takes
        unknown = 1 if self._tile is None else SIZES[-1]
        tiles = max((len(self.plan(size)) for size in sizes), default=unknown)
        most = min(tiles * waiting, self._most_batch or tiles * waiting)
        shape = self.detector.input_shape
        self._sizes = fast_sizes(self.detector.runtime, shape, most, beat)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes of calls that are used."""
        return self._sizes

    def frames_at_once(self, size: tuple[int, int]) -> int:
        """How many frames of that size, at least 1, fill the largest call."""
        return max(1, self._sizes[-1] // len(self.plan(size)))

    def plan(self, size: tuple[int, int]) -> Tiles:
        """How frames of ``size`` (width, height) are cut."""
        tiles = self._plans.get(size)
        if tiles is None:
            tiles = self._plans[size] = plan(size, self._tile or size, self._overlap if self._tile else 0)
        return tiles

    def prepare(self, frames: list[Frame]) -> Work:
        """Fill the input: every tile resized by the bundle's rule, straight into the memory of its call.

        Args:
            frames: at least one, with an image each.

        Raises:
            ValueError: if a picture has the wrong channels.
        """
        times: StageTimes = {}
        with timed(times, "preprocess"):
            tiles = [self.plan((image.shape[1], image.shape[0])) for image in map(_image, frames)]
            calls = [
                np.empty((count, *self.detector.input_shape), np.uint8)
                for count in split(sum(len(one) for one in tiles), self._sizes)
            ]
            slots = (slot for call in calls for slot in call)
            for frame, cut in zip(frames, tiles, strict=True):
                for part in cut.cut(_image(frame)):
                    self.detector.fill_input(part, next(slots))
        return Work(frames, tiles, calls, times=times)

    def infer(self, work: Work) -> Work:
        """Let the runtime compute; what it fails on is noted in ``work.error``."""
        try:
            for call in work.calls:
                times: StageTimes = {}
                work.answers.append(infer_timed(self.detector.runtime, call, times))
                for stage, duration in times.items():
                    work.times[stage] = work.times.get(stage, 0.0) + duration
        except TemperError as error:
            work.error = str(error)
        work.calls = []  # a wide strip's pictures are large; nobody needs them any more
        return work

    def finish(self, work: Work) -> list[Detections]:
        """The detections of each frame, boxes in its pixels, joined over the seams of its tiles.

        Args:
            work: with answers.
        """
        with timed(work.times, "postprocess"):
            boxes, scores, labels, count = (
                np.concatenate([getattr(answer, name) for answer in work.answers])
                for name in ("boxes", "scores", "labels", "count")
            )
            given = np.arange(scores.shape[1]) < count[:, None]
            given &= scores >= self._floors[labels]
            row, place = np.nonzero(given)
            chosen = (boxes[row, place], scores[row, place], labels[row, place])
            found, start = [], 0
            for frame, tiles in zip(work.frames, work.tiles, strict=True):
                first, last = np.searchsorted(row, [start, start + len(tiles)])
                own = tuple(values[first:last] for values in chosen)
                found.append(self._of_frame(frame, tiles, row[first:last] - start, *own))
                start += len(tiles)
        return found

    def _of_frame(
        self,
        frame: Frame,
        tiles: Tiles,
        tile_of: NDArray[np.int64],
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        labels: NDArray[np.int32],
    ) -> Detections:
        image = _image(frame)
        size = (image.shape[1], image.shape[0])
        if not len(boxes):
            return Detections.none(size, frame.source)
        boxes = self.detector.rule.boxes_to_image(boxes, tiles.tile)
        boxes += np.tile(tiles.offsets[tile_of], (1, 2)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        found = Detections(boxes[order], scores[order], labels[order], size, frame.source)
        return merge(found, tile_of[order], tiles)


def _image(frame: Frame) -> NDArray[np.uint8]:
    if frame.image is None:
        raise ValueError(f"the frame {frame.source} has no image")
    return frame.image
