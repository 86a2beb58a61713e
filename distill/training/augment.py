"""Changes of a training picture that leave strip steel strip steel.

Both flips: a strip has no up and no left. Brightness, contrast and gamma: lamps age and cameras are set anew. Noise:
lines are fast and exposures short. No hue, no crop and no rotation: steel is grey, and scratches run along the strip.

The student sees all of them. Its teacher sees the flips alone: at one size they make at most four pictures out of one,
so that its features can be computed once, and light and noise change nothing of what there is to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..recipe_training import AugmentSection

#: The bits of a flip's number: 0 is the picture as it is, 3 both flips at once.
MIRRORED, UPENDED = 1, 2


def flips_of(section: AugmentSection) -> tuple[int, ...]:
    """The numbers of all flips that can happen, ascending."""
    allowed = (MIRRORED if section.flip_horizontal else 0) | (UPENDED if section.flip_vertical else 0)
    return tuple(flip for flip in range(4) if flip & allowed == flip)


def changes_more_than_flips(section: AugmentSection) -> bool:
    """Whether a picture's pixels may get other values."""
    return any((section.brightness, section.contrast, section.gamma, section.noise))


def flip_image(image: NDArray[np.uint8], flip: int) -> NDArray[np.uint8]:
    """A picture [H, W] or [H, W, 3] after a flip; a view of the argument."""
    return image[:: -1 if flip & UPENDED else 1, :: -1 if flip & MIRRORED else 1]


def augment(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], section: AugmentSection, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
    """Change one picture and its boxes, as the student sees them.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        boxes: float32 [N, 4] in pixels of the picture.
        section: which changes, and how strong.
        generator: source of chance; drawn from in the same order whatever is used, so that one option does not change
            the draws of another.

    Returns:
        The changed picture and boxes, and the flip's number; the arguments are not written to.
    """
    height, width = image.shape[:2]
    mirror, upend, brightness, contrast, curve, loudness = generator.random(6)
    flip = MIRRORED if section.flip_horizontal and mirror < 0.5 else 0
    flip |= UPENDED if section.flip_vertical and upend < 0.5 else 0
    image, boxes = flip_image(image, flip), boxes.copy()
    if flip & MIRRORED:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if flip & UPENDED:
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
    return np.ascontiguousarray(image), boxes, flip
