"""What of a detector's answer counts as a defect, and how severe it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ...detection.detections import Detections
from .defect import Joined, Severity
from .scale import Scale

Corners = tuple[tuple[float, float], ...]
#: A class of which the line says nothing.
DEFAULT_SEVERITY: Severity = "major"

#: Pixels by which a box may miss the edge of the picture and still be cut by it.
EDGE_PX = 2.0
#: Positions that count from 1970 have a resolution of some thousandths of a millimetre.
_ROUNDING_MM = 0.01


@dataclass(frozen=True)
class Zone:
    """Where nothing counts: a defect is left out when its middle lies in the zone or on its edge.

    Of a defect over several frames or cameras, a zone in pixels holds the middle of each part, and all parts have to
    lie in zones.

    Attributes:
        camera: in whose pixels the corners are; None: in millimetres across the strip.
        corners: two opposite ones of a box, or all of a polygon, in order; y of a zone across the strip may be
            infinite.
    """

    camera: str | None
    corners: Corners

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Bool [N]: which of the points [N, 2] lie in it."""
        corners = np.array(self.corners, np.float64)
        if len(corners) == 2:
            low, high = corners.min(axis=0), corners.max(axis=0)
            return np.asarray(((points >= low) & (points <= high)).all(axis=1))
        outline = corners.astype(np.float32).reshape(-1, 1, 2)
        inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in points]
        return np.array(inside, bool)


@dataclass(frozen=True)
class SeverityRule:
    """From which longest side on, in millimetres, a defect of a class is more than minor; None: never."""

    major: float | None = None
    critical: float | None = None

    def of(self, longest_mm: float) -> Severity:
        """The severity of a defect of that size."""
        if self.critical is not None and longest_mm >= self.critical:
            return "critical"
        return "major" if self.major is not None and longest_mm >= self.major else "minor"


@dataclass(frozen=True, eq=False)
class Parts:
    """What a frame shows of defects.

    Attributes:
        found: all that may be a part of a defect.
        counts: bool [N], which of them make the frame one with a defect.
    """

    found: Detections
    counts: NDArray[np.bool_]

    @property
    def counted(self) -> Detections:
        """Those that count."""
        return self.found if self.counts.all() else self.found.keep(self.counts)


@dataclass(frozen=True, eq=False)
class Judging:
    """A line's rules.

    A frame cannot know the size of what lies at its edge, as it may go on beyond; there everything counts for the
    frame, and the defect is judged by its whole size once it is joined. What a frame shows whole is judged on the
    frame. So each defect that counts has a frame that counts, and a frame may count for one that turns out too small.

    Attributes:
        thresholds: float32 [classes], the score from which on a detection counts, from the bundle.
        smallest_mm: float64 [classes], the longest side from which on it counts; 0 takes all.
        zones: where nothing counts.
        severity: by class index, a severity or a rule by size; :data:`DEFAULT_SEVERITY` for the others.
        edge_mm: nearer to its edge a frame does not show a defect whole; at least :data:`EDGE_PX`.
    """

    thresholds: NDArray[np.float32]
    smallest_mm: NDArray[np.float64]
    zones: Sequence[Zone] = ()
    severity: Mapping[int, Severity | SeverityRule] = field(default_factory=dict)
    edge_mm: float = 0.0

    def parts(self, found: Detections, camera: str, scale: Scale | None) -> Parts:
        """What a frame shows of defects.

        Args:
            found: on one frame, boxes in its pixels.
            camera: that took it.
            scale: of that camera; None if not known, then sizes and zones in millimetres are not looked at.
        """
        kept = found.at_thresholds(self.thresholds)
        counts = np.ones(len(kept), bool)
        if not len(kept):
            return Parts(kept, counts)
        middles = ((kept.boxes[:, :2] + kept.boxes[:, 2:]) / 2).astype(np.float64)
        for zone in self.zones:
            if zone.camera == camera:
                counts &= ~zone.holds(middles)
        at_edge = joinable = np.ones(len(kept), bool)
        if scale is not None:
            at_edge, joinable = self._near_edge(kept, scale, 1), self._near_edge(kept, scale, 2)
            large = scale.longest_mm(kept.boxes) >= self.smallest_mm[kept.labels]
            counts &= (at_edge | large) & ~self._ignored(scale.to_strip(kept.boxes, 0.0), at_edge)
        shown = counts | joinable
        return Parts(kept.keep(shown), counts[shown]) if not shown.all() else Parts(kept, counts)

    def counts(self, defect: Joined) -> bool:
        """Whether a whole defect counts: by its size, its place across the strip, and the parts of it."""
        middle = np.array([[defect.across_mm + defect.width_mm / 2, 0.0]])
        ignored = any(zone.holds(middle)[0] for zone in self.zones if zone.camera is None)
        return defect.counts and not ignored and defect.longest_mm >= self.smallest_mm[defect.label] - _ROUNDING_MM

    def _near_edge(self, found: Detections, scale: Scale, times: float) -> NDArray[np.bool_]:
        """Bool [N]: what is so near to the picture's edge that it may go on beyond it."""
        edge = np.maximum(EDGE_PX, times * self.edge_mm / np.array([scale.across, scale.along]))
        low, high = found.boxes[:, :2] <= edge, found.boxes[:, 2:] >= np.array(found.image_size) - edge
        return np.asarray((low | high).any(axis=1))

    def _ignored(self, boxes: NDArray[np.float64], at_edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bool [N]: which boxes in millimetres lie in zones across the strip; what may go on, if all of it does."""
        ignored = np.zeros(len(boxes), bool)
        for zone in self.zones:
            if zone.camera is None:
                whole = zone.holds(boxes[:, :2]) & zone.holds(boxes[:, 2:])
                ignored |= np.where(at_edge, whole, zone.holds((boxes[:, :2] + boxes[:, 2:]) / 2))
        return ignored

    def severity_of(self, label: int, longest_mm: float) -> Severity:
        """How severe a defect of a class is, by its longest side in millimetres."""
        rule = self.severity.get(label, DEFAULT_SEVERITY)
        return rule.of(longest_mm) if isinstance(rule, SeverityRule) else rule
