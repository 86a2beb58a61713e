"""The bare strip: rolled texture, uneven light, sensor noise.

All of it is integer arithmetic in 64ths of a grey level, so every machine draws the same pixels. The strip
runs along y here; the generator turns the picture for strips that run along x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stream import Stream

#: Fixed-point units in one grey level.
UNITS = 64
#: Largest value of :func:`lattice_noise`.
NOISE_PEAK = 1024
#: Standard deviation of :meth:`Stream.bell`, rounded.
_BELL_DEVIATION = 148
#: Light of 1.0 in fixed point.
_FULL_LIGHT = 1024


def lattice_noise(stream: Stream, width: int, height: int, cell: tuple[int, int]) -> NDArray[np.int32]:
    """Smooth noise: random values on a lattice of ``cell`` (width, height) pixels, blended in between.

    Returns:
        int32 [height, width], from -NOISE_PEAK to NOISE_PEAK.
    """
    shift = stream.integer(0, cell[0] * 256), stream.integer(0, cell[1] * 256)
    column, weight_x = _lattice_positions(width, cell[0], shift[0])
    row, weight_y = _lattice_positions(height, cell[1], shift[1])
    values = stream.integers(-NOISE_PEAK, NOISE_PEAK + 1, (int(row[-1]) + 2, int(column[-1]) + 2))
    rows = values[row] * (256 - weight_y)[:, None] + values[row + 1] * weight_y[:, None] >> 8
    blended: NDArray[np.int32] = rows[:, column] * (256 - weight_x) + rows[:, column + 1] * weight_x >> 8
    return blended


def _lattice_positions(length: int, cell: int, shift: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The lattice index left of each pixel, and the smooth weight (0 to 256) of the index right of it."""
    position = (np.arange(length, dtype=np.int64) * 256 + shift) // cell
    part = position & 255
    weight = part * part * (768 - 2 * part) >> 16
    return (position >> 8).astype(np.intp), weight.astype(np.int32)


@dataclass(frozen=True, eq=False)
class Surface:
    """A strip before the camera has seen it.

    Attributes:
        steel: int32 [H, W], how bright the steel is, in 64ths of a grey level.
        light_across: int32 [W], and
        light_along: int32 [H]: their sum lights a pixel, 1024 is neutral.
        noise: int32 [H, W] of the sensor, in 64ths of a grey level.
    """

    steel: NDArray[np.int32]
    light_across: NDArray[np.int32]
    light_along: NDArray[np.int32]
    noise: NDArray[np.int32]

    def photograph(
        self, rows: slice = slice(None), columns: slice = slice(None), change: NDArray[np.int32] | None = None
    ) -> NDArray[np.uint8]:
        """The part of the picture at ``rows`` and ``columns`` as the camera sees it.

        Args:
            rows: of the surface.
            columns: of the surface.
            change: int32, what a defect there adds to the steel's brightness, in 64ths of a grey level.

        Returns:
            uint8 [rows, columns].
        """
        steel = self.steel[rows, columns]
        if change is not None:
            steel = np.maximum(steel + change, 0)
        seen = steel * (self.light_along[rows, None] + self.light_across[columns]) >> 10
        seen += self.noise[rows, columns] + UNITS // 2
        picture: NDArray[np.uint8] = np.clip(seen >> 6, 0, 255).astype(np.uint8)
        return picture


def draw_surface(stream: Stream, width: int, height: int, grain: tuple[float, float]) -> Surface:
    """Draw a strip that runs along y.

    Args:
        stream: where the random numbers come from.
        width: in pixels, across the strip.
        height: in pixels, along the strip.
        grain: lowest and highest roughness of the steel, in grey levels (standard deviation).

    Returns:
        The surface, without defects.
    """
    steel = np.full((height, width), stream.integer(100 * UNITS, 180 * UNITS), np.int32)
    # Roll marks: narrow and long, two widths; then the uneven oxide that no strip is without.
    for cell, low, high in (((2, 90), 2, 7), ((9, 400), 2, 8), ((45, 70), 2, 9)):
        level = stream.integer(low * UNITS, high * UNITS)
        steel += lattice_noise(stream, width, height, cell) * level >> 10
    roughness = int(stream.between(*grain) * UNITS)
    steel += _grain(stream, width, height) * roughness // 256
    sensor = stream.integer(UNITS, 5 * UNITS // 2)
    return Surface(
        steel,
        _light(stream, width) + _FULL_LIGHT,
        _light(stream, height),
        stream.bell((height, width)) * sensor // _BELL_DEVIATION,
    )


def _grain(stream: Stream, width: int, height: int) -> NDArray[np.int32]:
    """Rolled grain, standard deviation near 256: white noise drawn out along the strip."""
    noise = stream.bell((height + 2, width + 1))
    along = noise[:-2] + 2 * noise[1:-1] + noise[2:]
    # Variance of the weights 1 2 1 by 2 1 is 6 * 5 = 30: 148 * sqrt(30) = 811, and 811 * 81 / 256 = 256.
    grain: NDArray[np.int32] = (2 * along[:, 1:] + along[:, :-1]) * 81 >> 8
    return grain


def _light(stream: Stream, length: int) -> NDArray[np.int32]:
    """A gradient and a bow along one axis: up to about a seventh and a tenth of full light, int32 [length]."""
    slope, bow = stream.integer(-150, 151), stream.integer(-90, 31)
    position = np.arange(length, dtype=np.int64) * 2048 // max(1, length - 1) - 1024
    return ((position * slope >> 10) + ((position * position >> 10) * bow >> 10)).astype(np.int32)
