"""What of a detector's answer counts as a defect, and how severe it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ...detection.detections import Detections
from .defect import Severity
from .scale import Scale

Corners = tuple[tuple[float, float], ...]
#: A class of which the line says nothing.
DEFAULT_SEVERITY: Severity = "major"


@dataclass(frozen=True)
class Zone:
    """Where nothing counts: a defect is left out when its middle lies in the zone or on its edge.

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
    """From which longest side on, in millimetres, a defect of a class is how severe; None: never.

    What none of the three takes in is minor.
    """

    minor: float | None = 0.0
    major: float | None = None
    critical: float | None = None

    def of(self, longest_mm: float) -> Severity:
        """The severity of a defect of that size."""
        if self.critical is not None and longest_mm >= self.critical:
            return "critical"
        return "major" if self.major is not None and longest_mm >= self.major else "minor"


@dataclass(frozen=True, eq=False)
class Judging:
    """A line's rules.

    Attributes:
        thresholds: float32 [classes], the score from which on a detection counts, from the bundle.
        smallest_mm: float64 [classes], the longest side from which on it counts; 0 takes all.
        zones: where nothing counts.
        severity: by class index, a severity or a rule by size; :data:`DEFAULT_SEVERITY` for the others.
    """

    thresholds: NDArray[np.float32]
    smallest_mm: NDArray[np.float64]
    zones: Sequence[Zone] = ()
    severity: Mapping[int, Severity | SeverityRule] = field(default_factory=dict)

    def defects(self, found: Detections, camera: str, scale: Scale | None) -> Detections:
        """The detections that count.

        Args:
            found: on one frame, boxes in its pixels.
            camera: that took it.
            scale: of that camera; None if not known, then sizes and zones in millimetres are not looked at.
        """
        kept = found.at_thresholds(self.thresholds)
        if not len(kept):
            return kept
        counts = np.ones(len(kept), bool)
        if scale is not None and self.smallest_mm.any():
            counts &= scale.longest_mm(kept.boxes) >= self.smallest_mm[kept.labels]
        middles = ((kept.boxes[:, :2] + kept.boxes[:, 2:]) / 2).astype(np.float64)
        for zone in self.zones:
            if zone.camera == camera:
                counts &= ~zone.holds(middles)
            elif zone.camera is None and scale is not None:
                counts &= ~zone.holds(middles * np.array([scale.across, scale.along]) + np.array([scale.across_mm, 0]))
        return kept if counts.all() else kept.keep(counts)

    def severity_of(self, label: int, longest_mm: float) -> Severity:
        """How severe a defect of a class is, by its longest side in millimetres."""
        rule = self.severity.get(label, DEFAULT_SEVERITY)
        return rule.of(longest_mm) if isinstance(rule, SeverityRule) else rule
