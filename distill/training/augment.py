"""Changes of a training picture that leave strip steel strip steel: both flips, brightness, contrast; no hue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..recipe_training import AugmentSection


def augment(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], section: AugmentSection, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Change one picture and its boxes.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        boxes: float32 [N, 4] in pixels of the picture.
        section: which changes, and how strong.
        generator: source of chance; always used the same number of times, so that one option does not change the
            draws of another.

    Returns:
        The changed picture and boxes; the arguments are not written to.
    """
    height, width = image.shape[:2]
    mirror, flip, brightness, contrast = generator.random(4)
    boxes = boxes.copy()
    if section.flip_horizontal and mirror < 0.5:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if section.flip_vertical and flip < 0.5:
        image = image[::-1]
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    shift = (2 * brightness - 1) * section.brightness * 255
    gain = 1 + (2 * contrast - 1) * section.contrast
    if shift or gain != 1:
        # a table of 256 entries is the cheapest exact way to change every pixel alike
        table = np.clip(np.rint((np.arange(256) - 127.5) * gain + 127.5 + shift), 0, 255).astype(np.uint8)
        image = table[image]
    return np.ascontiguousarray(image), boxes
