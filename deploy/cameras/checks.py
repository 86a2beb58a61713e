"""Whether a picture is one of the strip at all: not black, not overexposed, not the same as the one before."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..frames import Cause

#: Rows and columns that are looked at for darkness and light: so many tell a share to within a percent.
_SAMPLES = 128
#: Rows that are compared with those of the frame before; a sensor's noise makes every one of them differ.
_ROWS = 32


@dataclass(frozen=True)
class CheckSettings:
    """When a picture is none of the strip.

    Attributes:
        black_below: grey value from 0 to 255; a frame is black where ``share`` of it is darker.
        overexposed_above: grey value; a frame is overexposed where ``share`` of it is brighter.
        share: of the pixels, from 0 to 1.
        frozen_after: identical frames in a row, counting the first, from which on they are frozen; 0 never looks.
    """

    black_below: float = 8.0
    overexposed_above: float = 250.0
    share: float = 0.99
    frozen_after: int = 3


class PictureChecks:
    """Looks at one camera's pictures, one after the other.

    Args:
        settings: when a picture is none of the strip.
    """

    def __init__(self, settings: CheckSettings) -> None:
        self._settings = settings
        self._digest: int | None = None
        self._same = 0

    def look(self, image: NDArray[np.uint8]) -> tuple[Cause, str] | None:
        """Look at the next picture.

        Args:
            image: uint8 [H, W] or [H, W, 3].

        Returns:
            Why it cannot be inspected and the same as a sentence; None if it can.
        """
        same = self._count_same(image)
        sample = image[:: max(1, image.shape[0] // _SAMPLES), :: max(1, image.shape[1] // _SAMPLES)]
        settings = self._settings
        dark = float(np.count_nonzero(sample < settings.black_below)) / sample.size
        if dark >= settings.share:
            return Cause.BLACK, f"{dark:.1%} of it is darker than {settings.black_below:g} of 255."
        bright = float(np.count_nonzero(sample > settings.overexposed_above)) / sample.size
        if bright >= settings.share:
            return Cause.OVEREXPOSED, f"{bright:.1%} of it is brighter than {settings.overexposed_above:g} of 255."
        if settings.frozen_after and same >= settings.frozen_after:
            return Cause.FROZEN, f"The same picture came {same} times in a row."
        return None

    def forget(self) -> None:
        """Begin anew, after the connection was made anew."""
        self._digest, self._same = None, 0

    def _count_same(self, image: NDArray[np.uint8]) -> int:
        """How often this picture has come in a row, by a digest of whole rows spread over it."""
        if not self._settings.frozen_after:
            return 0
        rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // _ROWS)])
        digest = crc32(rows.data, image.shape[0] << 32 | image.shape[1])
        self._same = self._same + 1 if digest == self._digest else 1
        self._digest = digest
        return self._same
