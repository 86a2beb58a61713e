"""A line scan camera's blocks of lines as frames that overlap.

The camera gives blocks, as many lines in each as its driver likes. They are joined, and cut anew into frames of one
height; each frame begins with the last lines of the one before, so that a defect on an edge is whole on one of them,
or is joined across it.

    block 1      block 2      block 3
    |------------|------------|------------|
    |== frame 1 ===|
             |== frame 2 ===|
                      |== frame 3 ===|
             <---->  overlap
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..frames import Cause, Frame
from .base import Camera


@dataclass(eq=False)
class _Block:
    """Lines that are not all used yet."""

    lines: NDArray[np.uint8]
    frame: Frame
    #: the moment of its first line, by ``time.monotonic()``
    moment: float


class LineScanCamera:
    """Gives a line scan camera's lines as frames; see ``base.Camera``.

    A frame's moment of exposure is that of its first line. Where a block is lost, the lines before it that make no
    whole frame are given out with it as one frame that was not inspected, and frames begin anew after it. ``encoder``
    of a frame is that of its first line: the camera's own count between its blocks, or else the number of the line.

    Args:
        camera: gives blocks of lines.
        height: lines in a frame.
        overlap: lines that a frame has in common with the one before; less than ``height``.
    """

    wrap = None

    def __init__(self, camera: Camera, height: int, overlap: int) -> None:
        self._camera, self._height, self._overlap = camera, height, overlap
        self._blocks: deque[_Block] = deque()
        self._skip = 0
        self._count = self._lines = 0
        self._counts_per_line = 0.0
        self._period = 0.0
        self._ready: deque[Frame] = deque()

    @property
    def facts(self) -> dict[str, str]:
        """Those of the camera, and how its lines are cut."""
        return {**self._camera.facts, "lines": f"{self._height} with {self._overlap} in common"}

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        while not self._ready:
            block = self._camera.grab(timeout)
            if block is None:
                return None
            self._take(block)
        return self._ready.popleft()

    def close(self) -> None:
        """Free the camera."""
        self._camera.close()

    def _take(self, frame: Frame) -> None:
        if frame.image is None:
            self._lost(frame)
            return
        block = _Block(frame.image, frame, frame.arrived - frame.travel_ms / 1000)
        if self._blocks:
            last = self._blocks[-1]
            self._period = max(0.0, (block.moment - last.moment) / len(last.lines))
            if frame.encoder is not None and last.frame.encoder is not None:
                self._counts_per_line = max(0.0, (frame.encoder - last.frame.encoder) / len(last.lines))
        self._blocks.append(block)
        while self._waiting >= self._height:
            self._ready.append(self._cut(frame))

    @property
    def _waiting(self) -> int:
        return sum(len(block.lines) for block in self._blocks) - self._skip

    def _cut(self, newest: Frame) -> Frame:
        """The next frame of the lines that wait."""
        first = self._blocks[0]
        moment = first.moment + self._skip * self._period
        parts, needed, skip = [], self._height, self._skip
        for block in self._blocks:
            part = block.lines[skip : skip + needed]
            parts.append(part)
            needed, skip = needed - len(part), 0
            if not needed:
                break
        # a frame inside one block needs no copy
        image = parts[0] if len(parts) == 1 else np.concatenate(parts)
        cut = self._numbered(first.frame, moment, newest, image=image)
        self._advance(self._height - self._overlap)
        return cut

    def _advance(self, lines: int) -> None:
        self._skip += lines
        self._lines += lines
        while self._blocks and self._skip >= len(self._blocks[0].lines):
            self._skip -= len(self._blocks.popleft().lines)

    def _lost(self, frame: Frame) -> None:
        """A block that did not come, with what waited before it."""
        waited = self._waiting if self._blocks else 0
        first = self._blocks[0] if waited > self._overlap else None
        moment = first.moment + self._skip * self._period if first else frame.arrived - frame.travel_ms / 1000
        # a lost block has as many lines as the one before it, as far as anybody knows
        lines = len(self._blocks[-1].lines) if self._blocks else 0
        cause = frame.cause or Cause.LOST
        detail = frame.detail or "It did not arrive."
        origin = first.frame if first else frame
        self._ready.append(self._numbered(origin, moment, frame, image=None, cause=cause, detail=detail))
        self._blocks.clear()
        self._lines += waited + lines
        self._skip = 0

    def _numbered(
        self,
        origin: Frame,
        moment: float,
        newest: Frame,
        image: NDArray[np.uint8] | None,
        cause: Cause | None = None,
        detail: str | None = None,
    ) -> Frame:
        """A frame of the lines' own count, exposed at ``moment`` and whole once the newest block had come."""
        self._count += 1
        return replace(
            origin,
            source=f"{origin.camera} {self._count}",
            image=image,
            cause=cause,
            detail=detail,
            frame_id=self._count,
            encoder=self._lines
            if origin.encoder is None
            else round(origin.encoder + self._skip * self._counts_per_line),
            exposed=origin.exposed + moment - (origin.arrived - origin.travel_ms / 1000),
            arrived=newest.arrived,
            travel_ms=1000 * (newest.arrived - moment),
        )
