"""Pictures of which it is known what the tiny bundle says of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def steel(defect: bool, width: int = 128, height: int = 100) -> NDArray[np.uint8]:
    """Even grey, which the tiny bundle finds ok, or with a white square, which it finds a defect."""
    image = np.full((height, width), 120, np.uint8)
    if defect:
        image[30:56, 40:72] = 255
    return image
