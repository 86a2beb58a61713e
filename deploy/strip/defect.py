"""A defect of the strip, whole: what frames and cameras saw of it, joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["minor", "major", "critical"]


@dataclass(frozen=True)
class Joined:
    """A defect as its parts show it, before the line's rules are asked what it is.

    Attributes:
        label: 0-based index into the bundle's labels.
        score: the highest of its parts.
        position_m: where it begins along the strip, in metres.
        across_mm: where its left edge lies across the strip.
        length_mm: along the strip.
        width_mm: across the strip.
        frames: numbers of the first and the last frame that show a part of it.
        cut: as in :class:`StripDefect`.
        longest_mm: the longer one of its sides; of a piece, of all that is known of the defect by then.
        side: of the strip.
        counts: whether any of its parts made its frame one with a defect.
        goes_on: whether it is a piece that goes on where another one ended.
    """

    label: int
    score: float
    position_m: float
    across_mm: float
    length_mm: float
    width_mm: float
    frames: tuple[int, int]
    cut: bool
    longest_mm: float
    side: str = ""
    counts: bool = True
    goes_on: bool = False

    def judged(self, severity: Severity, repeat_m: float | None) -> StripDefect:
        """The defect of the strip that it is."""
        size = (self.position_m, self.across_mm, self.length_mm, self.width_mm)
        return StripDefect(self.label, self.score, severity, *size, self.frames, self.cut, repeat_m, self.side)


@dataclass(frozen=True)
class StripDefect:
    """One defect.

    Attributes:
        label: 0-based index into the bundle's labels.
        score: the highest of its parts.
        severity: as the line's rules say.
        position_m: where it begins along the strip, in metres.
        across_mm: where its left edge lies across the strip.
        length_mm: along the strip.
        width_mm: across the strip.
        frames: numbers of the first and the last frame that show a part of it.
        cut: whether it may reach further: into a part of the strip that was not inspected, or beyond the longest
            length.
        repeat_m: the distance at which it comes again and again; None if it does not.
        side: of the strip; empty where no line says it.
    """

    label: int
    score: float
    severity: Severity
    position_m: float
    across_mm: float
    length_mm: float
    width_mm: float
    frames: tuple[int, int]
    cut: bool = False
    repeat_m: float | None = None
    side: str = ""
