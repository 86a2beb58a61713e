"""Changes of a training picture that leave strip steel strip steel.

Both flips: a strip has no up and no left. Brightness, contrast and gamma: lamps age and cameras are set anew. Noise:
lines are fast and exposures short. No hue, no crop and no rotation: steel is grey, and scratches run along the strip.
"""

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
        generator: source of chance; drawn from in the same order whatever is used, so that one option does not change
            the draws of another.

    Returns:
        The changed picture and boxes; the arguments are not written to.
    """
    height, width = image.shape[:2]
    mirror, flip, brightness, contrast, curve, loudness = generator.random(6)
    boxes = boxes.copy()
    if section.flip_horizontal and mirror < 0.5:
        image = image[:, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if section.flip_vertical and flip < 0.5:
        image = image[::-1]
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    shift = (2 * brightness - 1) * section.brightness * 255
    gain = 1 + (2 * contrast - 1) * section.contrast
    gamma = (1 + section.gamma) ** (2 * curve - 1)
    if shift or gain != 1 or gamma != 1:
        # a table of 256 entries is the cheapest exact way to change every pixel alike
        bent = 255 * (np.arange(256) / 255) ** gamma if gamma != 1 else np.arange(256)
        table = np.clip(np.rint((bent - 127.5) * gain + 127.5 + shift), 0, 255).astype(np.uint8)
        image = table[image]
    if section.noise:
        # last: a sensor's noise comes after the light, and is no brighter where the strip is
        noise = generator.standard_normal(image.shape, np.float32) * np.float32(loudness * section.noise * 255)
        image = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image), boxes
