"""From the strip to cameras: resolution, pixels across, line or frame rate, data rate and the link that carries it.

The arithmetic, with a worked example, is in ``docs/reference/planning.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from ...core.errors import UsageError

Scan = Literal["line", "area"]

#: Cameras side by side that are still planned.
MOST_CAMERAS = 64
#: A quotient this near above a whole number is that number: 0.5 / 0.1 is not 5.000000000000001 pixels.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Link:
    """What carries a camera's pixels.

    Attributes:
        name: as people write it.
        usable_mb_s: megabytes (10^6) of pixels a second that it carries.
        source: where that figure is from.
    """

    name: str
    usable_mb_s: float
    source: str


@dataclass(frozen=True)
class Sensor:
    """Pixels of a sensor; ``height`` is None of a line."""

    width: int
    height: int | None = None

    @property
    def name(self) -> str:
        """``8192`` of a line, ``2448x2048`` of an area."""
        return str(self.width) if self.height is None else f"{self.width}x{self.height}"


_TABLE = "Quality Magazine, Developments in Machine Vision Camera Interfaces, table 1"
_FIVE = "five times GigE's 115 MB/s: the same GigE Vision packets on a line of 5 Gbit/s"
_TEN = "ten times GigE's 115 MB/s: the same GigE Vision packets on a line of 10 Gbit/s"
_CXP12 = "CoaXPress 2.0: 12.5 Gbit/s a connection, of which 8b/10b leaves 8 of 10 bits"
#: In the order in which they are tried: the first that carries the data is taken.
LINKS = (
    Link("GigE", 115, _TABLE),
    Link("USB3", 400, _TABLE),
    Link("5GigE", 575, _FIVE),
    Link("CXP-6", 625, _TABLE),
    Link("10GigE", 1150, _TEN),
    Link("CXP-12", 1250, _CXP12),
    Link("CXP-6x4", 2500, _TABLE),
    Link("CXP-12x4", 5000, f"{_CXP12}; four connections"),
)
#: Widths in which line scan sensors, and sizes in which area sensors are common.
LINE_SENSORS = tuple(Sensor(width) for width in (1024, 2048, 4096, 6144, 8192, 12288, 16384))
AREA_SENSORS = tuple(
    Sensor(width, height)
    for width, height in ((1280, 1024), (1920, 1200), (2448, 2048), (4096, 3000), (5328, 4608), (6464, 4852))
)


@dataclass(frozen=True)
class Geometry:
    """What has to be seen.

    Attributes:
        strip_mm: width of the strip.
        speed_m_s: of the strip.
        defect_mm: the smallest defect.
        pixels_per_defect: pixels that it has to cover in each direction.
        resolution_mm: millimetres in a pixel; None takes the coarsest that shows the defect.
        scan: kind of the cameras.
        cameras: how many; None takes the fewest.
        sensor: of each camera; None takes the smallest common one.
        link: that the cameras have; None takes the first that carries the data.
        lens_overlap_mm: of the strip that two neighbouring cameras both see; None takes ``tile_overlap`` pixels.
        tile_overlap: pixels that neighbouring tiles have in common.
        frame_height: lines in a frame of a line scan camera; None takes the height of a tile.
        frame_overlap: lines that a frame has in common with the one before.
        bytes_per_pixel: that the cameras send.
    """

    strip_mm: float
    speed_m_s: float
    defect_mm: float
    pixels_per_defect: float = 4.0
    resolution_mm: float | None = None
    scan: Scan = "line"
    cameras: int | None = None
    sensor: Sensor | None = None
    link: Link | None = None
    lens_overlap_mm: float | None = None
    tile_overlap: int = 32
    frame_height: int | None = None
    frame_overlap: int = 32
    bytes_per_pixel: int = 1


@dataclass(frozen=True)
class Optics:
    """The cameras.

    Attributes:
        resolution_mm: millimetres in a pixel, across and along the strip.
        lens_overlap_mm: of the strip that two neighbours both see.
        cameras: side by side.
        field_mm: of the strip that each of them sees, across.
        pixels: across, that each of them uses of its sensor.
        sensor: the smallest that has them.
        frame_height: lines in a frame.
        advance: lines of it that the frame before did not have.
        line_rate_khz: lines that each camera takes a second; of an area camera the lines of the strip.
        frame_rate_hz: frames that each camera gives a second.
        exposure_us: the longest in which the strip moves by a pixel.
        data_mb_s: megabytes (10^6) a second of each camera.
        link: that carries them; None where none does.
    """

    resolution_mm: float
    lens_overlap_mm: float
    cameras: int
    field_mm: float
    pixels: int
    sensor: Sensor
    frame_height: int
    advance: int
    line_rate_khz: float
    frame_rate_hz: float
    exposure_us: float
    data_mb_s: float
    link: Link | None


def resolution(geometry: Geometry) -> float:
    """Millimetres in a pixel.

    Raises:
        UsageError: if the resolution that was asked for shows the defect too small.
    """
    asked, most = geometry.resolution_mm, geometry.defect_mm / geometry.pixels_per_defect
    if geometry.defect_mm > geometry.strip_mm:
        raise UsageError(
            f"A smallest defect of {geometry.defect_mm:g} mm is wider than the strip of {geometry.strip_mm:g} mm; give "
            "a smaller --defect."
        )
    if asked is None:
        return most
    if geometry.defect_mm < asked:
        raise UsageError(
            f"A defect of {geometry.defect_mm:g} mm is smaller than a pixel of {asked:g} mm, so no camera shows it; "
            f"give --resolution {most:.4g}mm or finer."
        )
    if asked > most * (1 + _ROUNDING):
        raise UsageError(
            f"A defect of {geometry.defect_mm:g} mm has {geometry.defect_mm / asked:.3g} pixels of {asked:g} mm, and "
            f"{geometry.pixels_per_defect:g} are asked for; give --resolution {most:.4g}mm or finer, or fewer "
            "--pixels-per-defect."
        )
    return asked


def plan_optics(geometry: Geometry, tile_height: int) -> Optics:
    """The cameras that a strip needs.

    Args:
        geometry: what has to be seen.
        tile_height: of the network's input, which a line scan camera's frame has where nothing else is said.

    Returns:
        With the fewest cameras of which a common sensor covers the width and a link carries the data, or with as many
        as were asked for; of those no link may carry the data.

    Raises:
        UsageError: if the defect is too small for the resolution, the overlap too large, or no sensor covers the width.
    """
    if geometry.cameras is not None:
        planned = _with_cameras(geometry, geometry.cameras, tile_height)
        if planned is None:
            raise UsageError(_too_wide(geometry, geometry.cameras))
        return planned
    narrow = None
    for count in range(1, MOST_CAMERAS + 1):
        planned = _with_cameras(geometry, count, tile_height)
        if planned is not None and planned.link is not None:
            return planned
        narrow = planned or narrow
    if narrow is None:
        raise UsageError(_too_wide(geometry, MOST_CAMERAS))
    raise UsageError(
        f"Even of {MOST_CAMERAS} cameras each sends {narrow.data_mb_s:,.0f} MB/s, more than "
        f"{(geometry.link or LINKS[-1]).name} carries; a larger --defect, fewer --pixels-per-defect or a slower line "
        "would do."
    )


def _with_cameras(geometry: Geometry, count: int, tile_height: int) -> Optics | None:
    """The optics of so many cameras; None if no sensor is wide enough."""
    size = resolution(geometry)
    overlap = geometry.lens_overlap_mm if geometry.lens_overlap_mm is not None else geometry.tile_overlap * size
    field = (geometry.strip_mm + (count - 1) * overlap) / count
    if count > 1 and overlap >= field:
        raise UsageError(
            f"Cameras that each see {field:,.1f} mm cannot have {overlap:,.1f} mm in common; give a smaller "
            "--lens-overlap or fewer --cameras."
        )
    pixels = whole(field / size)
    sensor = _sensor(geometry, pixels)
    if sensor is None:
        return None
    height = sensor.height or geometry.frame_height or tile_height
    advance = height - geometry.frame_overlap
    if advance < 1:
        raise UsageError(
            f"Frames of {height} lines cannot have {geometry.frame_overlap} in common; give a smaller --frame-overlap "
            "or a larger --frame-height."
        )
    lines_hz = 1000 * geometry.speed_m_s / size
    frames_hz = lines_hz / advance
    # a line scan camera sends each line once, an area camera what its frames overlap by again
    sent = lines_hz if sensor.height is None else frames_hz * height
    data = sent * pixels * geometry.bytes_per_pixel / 1e6
    return Optics(
        resolution_mm=size,
        lens_overlap_mm=overlap if count > 1 else 0.0,
        cameras=count,
        field_mm=field,
        pixels=pixels,
        sensor=sensor,
        frame_height=height,
        advance=advance,
        line_rate_khz=lines_hz / 1000,
        frame_rate_hz=frames_hz,
        exposure_us=1e6 / lines_hz,
        data_mb_s=data,
        link=carrying(data, geometry.link),
    )


def carrying(data_mb_s: float, only: Link | None = None) -> Link | None:
    """The first link that carries so much; ``only`` leaves no other choice. None where none does."""
    return next((link for link in ((only,) if only else LINKS) if data_mb_s <= link.usable_mb_s), None)


def whole(value: float) -> int:
    """The next whole number, at least 1."""
    return max(1, ceil(value - _ROUNDING * max(1.0, value)))


def _sensors(geometry: Geometry) -> tuple[Sensor, ...]:
    if geometry.sensor is not None:
        return (geometry.sensor,)
    return LINE_SENSORS if geometry.scan == "line" else AREA_SENSORS


def _sensor(geometry: Geometry, pixels: int) -> Sensor | None:
    return next((sensor for sensor in _sensors(geometry) if pixels <= sensor.width), None)


def _too_wide(geometry: Geometry, count: int) -> str:
    size, widest = resolution(geometry), _sensors(geometry)[-1]
    fewest = next((n for n in range(1, MOST_CAMERAS + 1) if _covers(geometry, n)), None)
    remedy = f"give --cameras {fewest} or more" if fewest else "a coarser resolution would do"
    return (
        f"{count} camera{'s' if count > 1 else ''} of {widest.width} pixels cannot show a strip of "
        f"{geometry.strip_mm:,.0f} mm at {size:.4g} mm per pixel; {remedy}."
    )


def _covers(geometry: Geometry, count: int) -> bool:
    size = resolution(geometry)
    overlap = geometry.lens_overlap_mm if geometry.lens_overlap_mm is not None else geometry.tile_overlap * size
    return _sensor(geometry, whole((geometry.strip_mm + (count - 1) * overlap) / count / size)) is not None
