"""Paddle's answers at a size that its networks do not take: as the graph does it, padded on the right and below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..distill.detectors.normalise import Normalisation

if TYPE_CHECKING:
    from ..detection.decode import BoxCoding
    from ..distill.detectors.base import Detector
    from ..distill.recipe_sizes import GraphSize


@dataclass(frozen=True)
class PaddedNormalisation(Normalisation):
    """Normalises, then fills up with zeros, which are the mean, to ``padded`` (width, height)."""

    padded: tuple[int, int] = (0, 0)

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`Normalisation`; the pictures come out at the padded size."""
        normalised = super().apply(images)
        width, height = self.padded
        below, right = height - normalised.shape[2], width - normalised.shape[3]
        return np.pad(normalised, ((0, 0), (0, 0), (0, below), (0, right)))


class PaddedDetector:
    """A detector whose locations are those of the padded picture, whatever size it is asked about."""

    def __init__(self, detector: Detector, padded: tuple[int, int]) -> None:
        self._detector, self._padded = detector, padded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def box_coding(self, size: tuple[int, int]) -> BoxCoding:
        """What the regressions mean; see :class:`Detector`."""
        return self._detector.box_coding(self._padded)


def at_size(detector: Detector, normalisation: Normalisation, size: GraphSize) -> tuple[Detector, Normalisation]:
    """A detector and a normalisation for pictures of a size, padded where the network does not take it."""
    if size.padded == size.pixels:
        return detector, normalisation
    padded = PaddedNormalisation(normalisation.mean, normalisation.std, size.padded)
    return cast("Detector", PaddedDetector(detector, size.padded)), padded
