"""The six defects of hot-rolled strip, after their look in NEU-DET (Song and Yan, 2013).

Each is drawn for a strip that runs along y, as a plane float64 [height, width]: what it does to the steel's
brightness, from -1 (darkest) over 0 (untouched) to 1 (brightest).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .shapes import Plane, area_weight, blot, crack_net, ramp, stamp, wobble
from .stream import Stream


@dataclass(frozen=True)
class Defect:
    """How one class is drawn.

    Attributes:
        draw: (stream, width, height) -> plane.
        scale: its side against that of the other classes.
        aspect: lowest and highest height / width.
        strength: its contrast against that of the other classes.
    """

    draw: Callable[[Stream, int, int], Plane]
    scale: float
    aspect: tuple[float, float]
    strength: float


def draw_crazing(stream: Stream, width: int, height: int) -> Plane:
    """A net of fine dark cracks over an area, mostly across the strip, broken in places, with finer ones between."""
    main = _cracks(stream, width, height, (stream.integer(15, 22), stream.integer(8, 12)), 2.2)
    fine = _cracks(stream, width, height, (stream.integer(8, 12), stream.integer(5, 8)), 1.6)
    return -np.maximum(main, 0.55 * fine) * area_weight(stream, width, height)


def _cracks(stream: Stream, width: int, height: int, cell: tuple[int, int], thick: float) -> Plane:
    distance = crack_net(stream, width, height, cell)
    thick_here = thick * (0.75 + 0.45 * wobble(stream, width, height, (9, 6)))
    kept = ramp(wobble(stream, width, height, (13, 8)), -0.35, 0.05)
    return np.clip(1.3 - distance / thick_here, 0.0, 1.0) * kept


def draw_inclusion(stream: Stream, width: int, height: int) -> Plane:
    """One or two dark streaks drawn out along the strip, pointed at both ends, with ragged flanks."""
    plane = np.zeros((height, width))
    for number in range(stream.integer(1, 3)):
        streak_width = width * 7 // 8 if number == 0 else max(3, width * stream.integer(3, 6) // 12)
        streak_height = height if number == 0 else max(10, height * stream.integer(4, 8) // 12)
        along = (np.arange(streak_height, dtype=np.float64) + 0.5) / streak_height * 2 - 1
        sway = 0.3 * wobble(stream, 1, streak_height, (1, max(12, streak_height // 4)))
        across = np.abs((np.arange(streak_width, dtype=np.float64) + 0.5) / streak_width * 2 - 1 - sway)
        profile = 0.8 * np.sqrt(1 - along * along)[:, None]
        flank = 0.2 * wobble(stream, streak_width, streak_height, (3, 8))
        flank = flank + 0.25 * wobble(stream, streak_width, streak_height, (max(3, streak_width // 3), 22))
        streak = ramp(profile + flank * profile - across, 0.0, 0.3)
        streak = streak * (0.85 + 0.15 * wobble(stream, streak_width, streak_height, (4, 20)))
        left = stream.integer(0, width - streak_width + 1)
        stamp(plane, -streak, left, stream.integer(0, height - streak_height + 1))
    return plane


def draw_patches(stream: Stream, width: int, height: int) -> Plane:
    """An irregular blotch, mostly dark, at times bright, uneven inside."""
    cover = blot(stream, width, height, ragged=0.45, soft=stream.between(4.0, 8.0))
    sign = 0.8 if stream.chance(0.2) else -1.0
    uneven = 0.15 * wobble(stream, width, height, (14, 20)) + 0.1 * wobble(stream, width, height, (3, 4))
    return sign * cover * (0.8 + uneven)


def draw_pitted_surface(stream: Stream, width: int, height: int) -> Plane:
    """A field of many small dark pits, a little longer along the strip."""
    plane = np.zeros((height, width))
    weight = area_weight(stream, width, height)
    pitch = stream.integer(5, 8)
    rows, columns = height // pitch, width // pitch
    shift_x = stream.integers(0, pitch, (rows, columns))
    shift_y = stream.integers(0, pitch, (rows, columns))
    kind = stream.integers(0, 16, (rows, columns))
    depth = 0.5 + 0.5 * stream.fractions((rows, columns))
    pits = [_pit(radius) for radius in (0.8, 0.8, 1.0, 1.0, 1.2, 1.2, 1.5, 1.9, 2.4)]
    for row, column in np.argwhere(kind < len(pits)).tolist():
        x, y = column * pitch + int(shift_x[row, column]), row * pitch + int(shift_y[row, column])
        if min(x, y, width - 1 - x, height - 1 - y) >= 3 and weight[y, x] > 0.5:
            pit = pits[int(kind[row, column])]
            stamp(plane, pit * -depth[row, column], x - pit.shape[1] // 2, y - pit.shape[0] // 2)
    return plane


def _pit(radius: float) -> Plane:
    offset = np.arange(-4, 5, dtype=np.float64)
    distance = np.sqrt(offset[None, :] * offset[None, :] + offset[:, None] * offset[:, None] * 0.6)
    return ramp(distance, radius + 0.6, radius - 0.6)


def draw_rolled_in_scale(stream: Stream, width: int, height: int) -> Plane:
    """Ragged dark flecks like comets, pressed in across the strip, each with a light rim on one side."""
    plane = np.zeros((height, width))
    lean = stream.integer(-6, 7)
    count = max(3, width * height // stream.integer(260, 520))
    for _ in range(count):
        length = min(width, (stream.integer(6, 24) + stream.integer(6, 24)) // 2)
        fleck = _fleck(stream, length, max(3, length * stream.integer(4, 9) // 16), lean + stream.integer(-4, 5))
        # The mean of two draws keeps the flecks crowded in the middle, as scale comes off in one place.
        left = (stream.integer(-3, width - length + 4) + stream.integer(-3, width - length + 4)) // 2
        room = max(1, height - fleck.shape[0] + 6)
        top = (stream.integer(0, room) + stream.integer(0, room)) // 2 - 3
        stamp(plane, fleck, left, top)
    return plane


def _fleck(stream: Stream, length: int, thick: int, lean: int) -> Plane:
    """One comet: a thick head on the left, a thin tail to the right; ``lean`` in sixteenths of a pixel per pixel."""
    height = thick + 4 + abs(lean) * length // 16
    x = (np.arange(length, dtype=np.float64) + 0.5) / length
    middle = height / 2 + (x - 0.5) * length * lean / 16
    y = np.arange(height, dtype=np.float64)[:, None] + 0.5 - middle[None, :]
    half = thick / 2 * np.minimum(np.sqrt(np.minimum(x * 5, 1.0)), 1.2 - x)[None, :]
    half = half * (1 + 0.8 * wobble(stream, length, height, (4, 3)))
    dark = ramp(np.abs(y) - half, 0.6, -0.6)
    rim = ramp(np.abs(y + half + 0.8), 1.4, 0.4) * (half > 0.8)
    return np.where(dark > 0.25, -dark, 0.55 * rim)


def draw_scratches(stream: Stream, width: int, height: int) -> Plane:
    """One to five thin bright lines side by side along the strip, nearly straight, with a dark burr."""
    plane = np.zeros((height, width))
    y = (np.arange(height, dtype=np.float64) + 0.5) / height
    count = min(max(1, width // 5), stream.integer(1, 6))
    lean = stream.between(-0.5, 0.5) * max(0, width - 4 * count) * 0.8
    for number in range(count):
        span = min(max(1, width - int(abs(lean)) - 4), 12 * (count - 1))
        start = 2 + span * number // max(1, count - 1) if count > 1 else width // 2 - int(abs(lean)) // 2
        centre = start + (abs(lean) if lean < 0 else 0.0) + lean * y
        centre = centre + 0.7 * wobble(stream, 1, height, (1, 40))[:, 0]
        half = stream.between(0.7, 1.9)
        across = np.arange(width, dtype=np.float64)[None, :] + 0.5 - centre[:, None]
        begin, end = (0.0, 1.0) if number == 0 else (stream.between(0.0, 0.35), stream.between(0.65, 1.0))
        reach = (ramp(y, begin, begin + 0.06) * ramp(y, end, end - 0.06))[:, None]
        gloss = 0.8 + 0.2 * wobble(stream, 1, height, (1, 9))
        line = ramp(np.abs(across), half + 0.5, half - 0.5) * gloss
        burr = ramp(np.abs(across - half - 1.0), 1.2, 0.2) * -0.35
        stamp(plane, np.where(line > 0.2, line, burr) * reach, 0, 0)
    return plane


#: The classes of NEU-DET, in the order of their label.
DEFECTS = {
    "crazing": Defect(draw_crazing, 1.15, (0.5, 1.1), 1.0),
    "inclusion": Defect(draw_inclusion, 0.85, (2.0, 4.5), 1.05),
    "patches": Defect(draw_patches, 1.05, (0.7, 1.9), 0.9),
    "pitted_surface": Defect(draw_pitted_surface, 1.2, (0.8, 2.0), 0.85),
    "rolled-in_scale": Defect(draw_rolled_in_scale, 1.05, (0.6, 1.5), 0.9),
    "scratches": Defect(draw_scratches, 0.9, (1.8, 5.0), 1.4),
}
