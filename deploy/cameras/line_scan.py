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
from .encoder import EncoderCount


@dataclass
class LineCount:
    """The number of the next line that comes, which goes on over all connections to a camera."""

    next: int = 0


@dataclass(eq=False)
class _Block:
    """Lines that are not all used yet.

    Attributes:
        lines: uint8 [H, W] or [H, W, 3].
        frame: that brought them.
        moment: of the first line, by ``time.monotonic()``.
        first: number of the first line.
        count: of the encoder at the first line; None if the camera told none.
    """

    lines: NDArray[np.uint8]
    frame: Frame
    moment: float
    first: int
    count: int | None


class LineScanCamera:
    """Gives a line scan camera's lines as frames; see ``base.Camera``.

    A frame's moment of exposure is that of its first line. Where a block is lost, the lines before it that make no
    whole frame are given out with it as one frame that was not inspected, and frames begin anew after it; so they do
    where the lines change their width. ``encoder`` of a frame is the number of its first line, or the camera's own
    count there, reckoned between its blocks.

    Args:
        camera: gives blocks of lines.
        height: lines in a frame.
        overlap: lines that a frame has in common with the one before.
        lines: goes on over connections; None begins at 0.
        encoder_bits: of the counter that the camera tells; None where lines are counted instead.

    Raises:
        ValueError: if ``overlap`` is not less than ``height``, as then no frame would bring a line further.
    """

    wrap = None

    def __init__(
        self,
        camera: Camera,
        height: int,
        overlap: int,
        lines: LineCount | None = None,
        encoder_bits: int | None = None,
    ) -> None:
        if not 0 <= overlap < height:
            raise ValueError(f"an overlap of {overlap} lines does not fit into a height of {height}")
        self._camera, self._height, self._overlap = camera, height, overlap
        self._lines = lines or LineCount()
        self._encoder = None if encoder_bits is None else EncoderCount(encoder_bits)
        self._known: tuple[int, int] | None = None
        self._counts_per_line: float | None = None
        self._blocks: deque[_Block] = deque()
        self._skip = self._frames = 0
        #: number of the line after the last one that was on a frame
        self._shown = self._lines.next
        self._usual: int | None = None
        self._lost_first = 0
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
        lines = frame.image
        if self._blocks and lines.shape[1:] != self._blocks[-1].lines.shape[1:]:
            self._changed(frame, lines.shape[1])
        # of blocks lost before the first one came nobody knew how many lines they had
        self._lines.next += self._lost_first * len(lines)
        self._lost_first, self._usual = 0, len(lines)
        moment = frame.arrived - frame.travel_ms / 1000
        block = _Block(lines, frame, moment, self._lines.next, self._counted(frame.encoder))
        if self._blocks:
            last = self._blocks[-1]
            self._period = max(0.0, (block.moment - last.moment) / len(last.lines))
        self._lines.next += len(lines)
        self._blocks.append(block)
        while self._blocks and self._lines.next - self._first >= self._height:
            self._ready.append(self._cut(frame))

    def _counted(self, counted: int | None) -> int | None:
        """The encoder's count at the first line of the block that comes now; the way of a line is learnt from it."""
        if self._encoder is None or counted is None:
            return None
        count, line = self._encoder.next(counted), self._lines.next
        if self._known is not None and line > self._known[0]:
            self._counts_per_line = (count - self._known[1]) / (line - self._known[0])
        self._known = line, count
        return count

    @property
    def _first(self) -> int:
        """Number of the first line that waits."""
        return self._blocks[0].first + self._skip if self._blocks else self._lines.next

    def _cut(self, newest: Frame) -> Frame:
        """The next frame of the lines that wait."""
        first = self._blocks[0]
        parts, needed, skip = [], self._height, self._skip
        for block in self._blocks:
            part = block.lines[skip : skip + needed]
            parts.append(part)
            needed, skip = needed - len(part), 0
            if not needed:
                break
        # a frame inside one block needs no copy
        image = parts[0] if len(parts) == 1 else np.concatenate(parts)
        moment = first.moment + self._skip * self._period
        cut = self._numbered(first.frame, moment, newest, self._count_at(self._first, first), image=image)
        self._shown = self._first + self._height
        self._skip += self._height - self._overlap
        while self._blocks and self._skip >= len(self._blocks[0].lines):
            self._skip -= len(self._blocks.popleft().lines)
        return cut

    def _lost(self, frame: Frame) -> None:
        """A block that did not come, with what waited before it."""
        self._give_up(frame, frame.cause or Cause.LOST, frame.detail or "It did not arrive.")
        # a lost block has as many lines as the one before it, as far as anybody knows
        if self._usual is None:
            self._lost_first += 1
        else:
            self._lines.next += self._usual
        self._shown = self._lines.next

    def _changed(self, frame: Frame, width: int) -> None:
        """A block whose lines do not fit the ones before: those are given up if they were on no frame yet."""
        before = self._blocks[-1].lines.shape[1]
        detail = f"The camera's lines were {before} pixels wide, and {width} from the next block on."
        if self._lines.next > self._shown:
            self._give_up(frame, Cause.ERROR, detail)
        self._blocks.clear()
        self._skip = 0

    def _give_up(self, frame: Frame, cause: Cause, detail: str) -> None:
        """One frame that is not inspected, of the lines that wait; of the block in ``frame`` if they were shown."""
        first = self._blocks[0] if self._blocks and self._lines.next > self._shown else None
        if first is not None:
            moment, line, origin = first.moment + self._skip * self._period, self._first, first.frame
        else:
            moment, line, origin = frame.arrived - frame.travel_ms / 1000, self._lines.next, frame
        count = None if self._lost_first or self._usual is None else self._count_at(line, first)
        self._ready.append(self._numbered(origin, moment, frame, count, cause=cause, detail=detail))
        self._blocks.clear()
        self._skip = 0

    def _count_at(self, line: int, block: _Block | None) -> int | None:
        """What ``encoder`` is at a line; None while the camera has not told enough counts."""
        if self._encoder is None:
            return line
        known = self._known if block is None or block.count is None else (block.first, block.count)
        if known is None:
            return None
        if line == known[0]:
            return known[1]
        return None if self._counts_per_line is None else round(known[1] + (line - known[0]) * self._counts_per_line)

    def _numbered(
        self,
        origin: Frame,
        moment: float,
        newest: Frame,
        count: int | None,
        image: NDArray[np.uint8] | None = None,
        cause: Cause | None = None,
        detail: str | None = None,
    ) -> Frame:
        """A frame of the lines' own count, exposed at ``moment`` and whole once the newest block had come."""
        self._frames += 1
        return replace(
            origin,
            source=f"{origin.camera} {self._frames}",
            image=image,
            cause=cause,
            detail=detail,
            frame_id=self._frames,
            encoder=count,
            exposed=origin.exposed + moment - (origin.arrived - origin.travel_ms / 1000),
            arrived=newest.arrived,
            travel_ms=1000 * (newest.arrived - moment),
        )
