"""Shapes that defects are drawn from.

Only ``+ - * /``, square roots, comparisons and roundings of float64: IEEE 754 fixes their results to the last
bit, so every machine draws the same. No sine, no exponential, no sum of floats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .stream import Stream
from .texture import NOISE_PEAK, lattice_noise

Plane = NDArray[np.float64]


def wobble(stream: Stream, width: int, height: int, cell: tuple[int, int]) -> Plane:
    """Smooth noise from -1 to 1, float64 [height, width], with features the size of ``cell`` (width, height)."""
    return lattice_noise(stream, width, height, cell) / float(NOISE_PEAK)


def grid(width: int, height: int) -> tuple[Plane, Plane]:
    """Pixel centres as x [1, width] and y [height, 1], each from -1 to 1 over its side."""
    x = (np.arange(width, dtype=np.float64) + 0.5) / width * 2 - 1
    y = (np.arange(height, dtype=np.float64) + 0.5) / height * 2 - 1
    return x[None, :], y[:, None]


def ramp(values: Plane, start: float, end: float) -> Plane:
    """0 up to ``start``, 1 from ``end`` on, straight in between; ``start`` may be the larger."""
    return np.clip((values - start) / (end - start), 0.0, 1.0)


def blot(stream: Stream, width: int, height: int, ragged: float, soft: float) -> Plane:
    """A ragged blot that fills the plane: 1 inside, 0 outside.

    Args:
        stream: where the random numbers come from.
        width: of the plane in pixels.
        height: of the plane in pixels.
        ragged: how far the outline strays, as a share of the radius.
        soft: width of the edge in pixels.

    Returns:
        float64 [height, width], 0 to 1.
    """
    x, y = grid(width, height)
    coarse = wobble(stream, width, height, (max(4, width // 3), max(4, height // 3)))
    fine = wobble(stream, width, height, (5, 7))
    radius = np.sqrt(x * x + y * y)
    # The outline strays less far out, or crumbs would lie beside the blot and stretch its box.
    radius += ragged * (0.75 * coarse + 0.25 * fine) * ramp(radius, 1.4, 0.7)
    edge = 2 * soft / min(width, height)
    return ramp(radius, 0.92 - 0.6 * ragged, 0.92 - 0.6 * ragged - min(edge, 0.6))


def area_weight(stream: Stream, width: int, height: int) -> Plane:
    """How densely a field of many small marks covers its area: 1 inside, fading at an uneven rim."""
    x, y = grid(width, height)
    squared = x * x * x * x + y * y * y * y + 0.2 * wobble(stream, width, height, (18, 18))
    return ramp(squared, 1.0, 0.6)


def crack_net(stream: Stream, width: int, height: int, cell: tuple[int, int]) -> Plane:
    """How far each pixel is from the borders of a net of irregular cells.

    Args:
        stream: where the random numbers come from.
        width: of the plane in pixels.
        height: of the plane in pixels.
        cell: mean width and height of a cell in pixels.

    Returns:
        float64 [height, width] in pixels, 0 on a border.
    """
    x = np.arange(width, dtype=np.float64)[None, :] + 2.2 * wobble(stream, width, height, (7, 7))
    y = np.arange(height, dtype=np.float64)[:, None] + 2.2 * wobble(stream, width, height, (7, 7))
    column = np.floor(x / cell[0]).astype(np.intp) + 2
    row = np.floor(y / cell[1]).astype(np.intp) + 2
    shape = height // cell[1] + 6, width // cell[0] + 6
    # Centres keep off the sides of their cell: two close ones would have a broad border between them.
    centre_x = (stream.fractions(shape) * 0.7 + 0.15 + np.arange(-2, shape[1] - 2)[None, :]) * cell[0]
    centre_y = (stream.fractions(shape) * 0.7 + 0.15 + np.arange(-2, shape[0] - 2)[:, None]) * cell[1]
    nearest = np.full((height, width), np.inf)
    second = nearest.copy()
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            away_x = x - centre_x[row + step_y, column + step_x]
            away_y = y - centre_y[row + step_y, column + step_x]
            distance = away_x * away_x + away_y * away_y
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    to_border: Plane = np.sqrt(second) - np.sqrt(nearest)
    return to_border


def stamp(plane: Plane, mark: Plane, left: int, top: int) -> None:
    """Press ``mark`` into ``plane`` at a corner: the stronger of the two stays, what juts out is cut off."""
    rows = slice(max(0, top), min(plane.shape[0], top + mark.shape[0]))
    columns = slice(max(0, left), min(plane.shape[1], left + mark.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = mark[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    under = plane[rows, columns]
    np.copyto(under, part, where=np.abs(part) > np.abs(under))
