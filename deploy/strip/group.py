"""A defect in the making: what is known of it so far, and the pieces of one that does not end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .defect import Joined


@dataclass(eq=False)
class Group:
    """The parts of one defect, joined.

    Attributes:
        label: its class.
        side: of the strip.
        box: float64 [4], around all of it that was not told as a piece, in millimetres.
        score: the highest of its parts.
        frames: numbers of the first and the last frame that show a part of it.
        cut: whether it may reach further.
        counts: whether a part of it made its frame one with a defect.
        told: millimetres of it that were told as pieces.
        into: the group that it was joined with, which goes on for both.
    """

    label: int
    side: str
    box: NDArray[np.float64]
    score: float
    frames: tuple[int, int]
    cut: bool = False
    counts: bool = True
    told: float = 0.0
    into: Group | None = None
    #: What lies beyond its next piece: from where to where across, and the first frame that shows it.
    _beyond: tuple[float, float, int] | None = None

    @property
    def last(self) -> Group:
        """The group that goes on for this one."""
        group = self
        while group.into is not None:
            group = group.into
        return group

    def absorb(self, other: Group, longest: float) -> None:
        """Take in a group that does not begin before this one; pieces are ``longest`` long."""
        other.into = self
        line = float(self.box[1]) + longest
        if other.box[3] > line:
            own = (float(other.box[0]), float(other.box[2]), other.frames[0])
            self._beyond = own if self._beyond is None else _wider(self._beyond, own)
        if other.box[1] < line:
            self.box[0], self.box[2] = min(self.box[0], other.box[0]), max(self.box[2], other.box[2])
        self.box[3] = max(self.box[3], other.box[3])
        self.score = max(self.score, other.score)
        self.frames = (min(self.frames[0], other.frames[0]), max(self.frames[1], other.frames[1]))
        self.cut = self.cut or other.cut
        self.counts = self.counts or other.counts
        self.told = max(self.told, other.told)

    def pieces(self, longest: float, until: float = np.inf) -> Iterator[Joined]:
        """Pieces of a defect that is longer than ``longest``, each where the one before ends.

        Args:
            longest: millimetres along the strip.
            until: pieces that end behind it are not given out yet.
        """
        while self.box[3] - self.box[1] > longest and self.box[1] + longest <= until:
            line = float(self.box[1]) + longest
            self.cut = True
            yield self.joined(line)
            self.told += longest
            left, right, first = self._beyond or (float(self.box[0]), float(self.box[2]), self.frames[0])
            self.box = np.array([left, line, right, self.box[3]])
            self.frames = (first, self.frames[1])
            self._beyond = None if self.box[3] <= line + longest else (left, right, first)

    def joined(self, end: float | None = None) -> Joined:
        """What it is so far, up to ``end`` or to where it ends itself."""
        x1, y1, x2, y2 = (float(edge) for edge in self.box)
        length = (y2 if end is None else end) - y1
        longest = max(self.told + y2 - y1, x2 - x1)
        size = (y1 / 1000, x1, length, x2 - x1)
        return Joined(
            self.label, self.score, *size, self.frames, self.cut, longest, self.side, self.counts, self.told > 0
        )


def _wider(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float, int]:
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2])
