"""From camera bytes to what the network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std per channel, on the scale from 0 to 255.

    Grey pictures have one mean and one std, written three times: the network takes their one channel for
    three equal ones, and its first convolution folds to one channel, exactly, borders included.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [B, H, W] -> float32 [B, 1, H, W]; uint8 [B, H, W, 3] -> float32 [B, 3, H, W]."""
        if images.ndim == 3:
            return (images[:, None].astype(np.float32) - np.float32(self.mean[0])) / np.float32(self.std[0])
        scaled = (images.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


#: ImageNet's figures, which Paddle's pretrained backbones expect.
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
#: Their means over the channels, for cameras without colour.
GREY = Normalisation((114.495, 114.495, 114.495), (57.63, 57.63, 57.63))


def normalisation_for(channels: Literal["grey", "rgb"]) -> Normalisation:
    """The normalisation of an input with these channels."""
    return GREY if channels == "grey" else IMAGENET
