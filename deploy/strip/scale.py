"""From pixels of a camera to millimetres of the strip, and back to what people read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scale:
    """How a camera looks at the strip.

    Attributes:
        across: millimetres in a pixel across the strip, the picture's x.
        along: millimetres in a pixel along the strip, the picture's y.
        across_mm: where the picture's left edge lies on the strip.
    """

    across: float
    along: float
    across_mm: float = 0.0

    def to_strip(self, boxes: NDArray[np.float32], position_m: float) -> NDArray[np.float64]:
        """Boxes on the strip.

        Args:
            boxes: float32 [N, 4], x1, y1, x2, y2 in pixels.
            position_m: where the picture's first row lies along the strip.

        Returns:
            float64 [N, 4], x1, y1, x2, y2 in millimetres: across the strip and along it.
        """
        factors = np.array([self.across, self.along] * 2)
        return boxes.astype(np.float64) * factors + np.array([self.across_mm, 1000 * position_m] * 2)

    def window(self, size: tuple[int, int], position_m: float) -> NDArray[np.float64]:
        """float64 [4]: the part of the strip that a picture of ``size`` (width, height) shows, in millimetres."""
        whole = np.array([[0, 0, *size]], np.float32)
        return np.asarray(self.to_strip(whole, position_m)[0])

    def longest_mm(self, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [N]: the longer side of each box in millimetres."""
        width = (boxes[:, 2] - boxes[:, 0]).astype(np.float64) * self.across
        height = (boxes[:, 3] - boxes[:, 1]).astype(np.float64) * self.along
        return np.maximum(width, height)
