"""Cutting a wide picture into tiles that a graph can see defects in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tiles:
    """How pictures of one size are cut.

    Attributes:
        size: width and height of the picture in pixels.
        tile: width and height of every tile; never larger than the picture.
        offsets: int64 [T, 2], x and y of each tile's first pixel, row by row. Together they cover the picture.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """float64 [T, 4]: x1, y1, x2, y2 of each tile in the picture."""
        return np.concatenate([self.offsets, self.offsets + np.array(self.tile)], axis=1).astype(np.float64)

    def cut(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The tiles of a picture [H, W] or [H, W, 3], as views of it: nothing is copied.

        Raises:
            ValueError: if the picture has another size.
        """
        if (image.shape[1], image.shape[0]) != self.size:
            raise ValueError(f"these tiles are for pictures of {self.size}; one of {image.shape[1::-1]} was given")
        width, height = self.tile
        return [image[y : y + height, x : x + width] for x, y in self.offsets.tolist()]


def plan(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> Tiles:
    """Cut pictures of ``size`` into as few tiles as cover them, spread evenly.

    Neighbours have at least ``overlap`` pixels in common; more where the tiles do not come out even, so that the last
    one looks at as much of the picture as the others.

    Args:
        size: width and height of the pictures in pixels.
        tile: wanted width and height; along an axis on which the picture is smaller the tile is as large as that.
        overlap: pixels; less than half of the tile's smaller side.

    Raises:
        ValueError: if a size is not positive or the overlap too large.
    """
    if min(*size, *tile) < 1 or overlap < 0 or 2 * overlap > min(tile):
        raise ValueError(f"no tiles of {tile} with overlap {overlap} for pictures of {size}")
    fitting = (min(size[0], tile[0]), min(size[1], tile[1]))
    x, y = (_places(whole, part, overlap) for whole, part in zip(size, fitting, strict=True))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return Tiles(size, fitting, grid)


def _places(whole: int, part: int, overlap: int) -> NDArray[np.int64]:
    if part >= whole:
        return np.zeros(1, np.int64)
    count = -(-(whole - overlap) // (part - overlap))
    return np.round(np.linspace(0, whole - part, count)).astype(np.int64)
