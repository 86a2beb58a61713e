"""From camera bytes to what the network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..recipe_detectors import PixelScale


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

    def rescaling_to(self, other: Normalisation) -> Rescaling | None:
        """What turns pictures normalised by this into those normalised by ``other``; None where they are the same."""
        if self == other:
            return None
        mean, std, wanted_mean, wanted_std = (
            np.array(x, np.float64) for x in (self.mean, self.std, other.mean, other.std)
        )
        return Rescaling(tuple((std / wanted_std).tolist()), tuple(((mean - wanted_mean) / wanted_std).tolist()))


@dataclass(frozen=True)
class Rescaling:
    """image * factor + offset per channel: from one normalisation to another."""

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def apply(self, images: Any) -> Any:
        """Pictures [B, 3, H, W] or, of one channel, [B, 1, H, W], as a Paddle tensor or a NumPy array."""
        channels = range(images.shape[1])
        if len(channels) == 1:
            return images * self.factor[0] + self.offset[0]
        factor, offset = (np.array(x, np.float32).reshape(1, -1, 1, 1) for x in (self.factor, self.offset))
        if isinstance(images, np.ndarray):
            return images * factor + offset
        from ..paddle_import import paddle

        return images * paddle.to_tensor(factor) + paddle.to_tensor(offset)


#: ImageNet's figures, which Paddle's pretrained backbones expect.
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
#: Their means over the channels, for cameras without colour.
GREY = Normalisation((114.495, 114.495, 114.495), (57.63, 57.63, 57.63))
#: From 0 to 1, as PP-YOLOE+ was pretrained.
UNIT = Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


def normalisation_for(channels: Literal["grey", "rgb"], scale: PixelScale = "imagenet") -> Normalisation:
    """The normalisation of an input with these channels, for a detector whose pixels are scaled so."""
    if scale == "unit":
        return UNIT
    return GREY if channels == "grey" else IMAGENET
