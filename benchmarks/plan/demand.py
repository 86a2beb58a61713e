"""What the line asks of the devices: frames, tiles and the deadline. Tiles are cut by the line's own function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ...core.errors import UsageError
from ...deploy.strip.tiles import plan as cut_tiles
from .optics import Geometry, Optics, carrying, plan_optics

DeadlineRule = Literal["given", "reach", "successor"]


@dataclass(frozen=True)
class Due:
    """When a frame's result is due; at most one of both.

    Attributes:
        given_ms: milliseconds from the frame's arrival.
        reach_m: way from the camera to whatever acts on the result; the strip must not have passed it.
    """

    given_ms: float | None = None
    reach_m: float | None = None


@dataclass(frozen=True)
class Demand:
    """The load of the line on a network whose input is one tile.

    Attributes:
        geometry: what has to be seen.
        due: when results are due.
        optics: the cameras.
        tile: width and height of a tile in pixels of the camera.
        tiles_per_frame: by :func:`temper.deploy.strip.tiles.plan`.
        tiles_per_second: of each camera.
        deadline_ms: from a frame's arrival to when its result is due.
        deadline_rule: where the deadline is from.
    """

    geometry: Geometry
    due: Due
    optics: Optics
    tile: tuple[int, int]
    tiles_per_frame: int
    tiles_per_second: float
    deadline_ms: float
    deadline_rule: DeadlineRule

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of one camera."""
        return self.optics.pixels * self.optics.frame_height * self.geometry.bytes_per_pixel

    @property
    def total_tiles_per_second(self) -> float:
        """Of all cameras."""
        return self.optics.cameras * self.tiles_per_second

    @property
    def deadline_words(self) -> str:
        """Where the deadline is from, in a few words."""
        if self.deadline_rule == "reach":
            return f"until the strip has moved on {self.due.reach_m:g} m, less the frame's own length"
        return "as given" if self.deadline_rule == "given" else "until the frame's successor has arrived"

    def at_speed(self, speed_m_s: float) -> Demand:
        """The same cameras before a faster or slower strip; a link that carries the data no more is None."""
        ratio = speed_m_s / self.geometry.speed_m_s
        old = self.optics
        data = old.data_mb_s * ratio
        optics = replace(
            old,
            line_rate_khz=old.line_rate_khz * ratio,
            frame_rate_hz=old.frame_rate_hz * ratio,
            exposure_us=old.exposure_us / ratio,
            data_mb_s=data,
            link=carrying(data, old.link or self.geometry.link),
        )
        geometry = replace(self.geometry, speed_m_s=speed_m_s)
        deadline, rule = _deadline(geometry, self.due, optics)
        return replace(
            self,
            geometry=geometry,
            optics=optics,
            tiles_per_second=self.tiles_per_second * ratio,
            deadline_ms=deadline,
            deadline_rule=rule,
        )


def plan_demand(geometry: Geometry, due: Due, tile: tuple[int, int]) -> Demand:
    """The cameras, and what they ask of a network whose input is ``tile`` (width, height).

    Raises:
        UsageError: as :func:`~.optics.plan_optics`, and if the tiles overlap too much or nothing is left of the time.
    """
    if 2 * geometry.tile_overlap > min(tile):
        raise UsageError(
            f"Tiles of {tile[0]} x {tile[1]} pixels cannot have {geometry.tile_overlap} in common; give "
            f"--tile-overlap {min(tile) // 2} or less."
        )
    optics = plan_optics(geometry, tile[1])
    tiles = len(cut_tiles((optics.pixels, optics.frame_height), tile, geometry.tile_overlap))
    deadline, rule = _deadline(geometry, due, optics)
    if deadline <= 0:
        shown = f"{optics.frame_height * optics.resolution_mm / 1000:.3g} m"
        raise UsageError(
            f"A frame shows {shown} of the strip, which has moved on by --reach {due.reach_m:g}m before the frame is "
            "whole; give a smaller --frame-height or a larger --reach."
        )
    return Demand(geometry, due, optics, tile, tiles, tiles * optics.frame_rate_hz, deadline, rule)


def _deadline(geometry: Geometry, due: Due, optics: Optics) -> tuple[float, DeadlineRule]:
    """Milliseconds from a frame's arrival, and where that is from."""
    if due.given_ms is not None:
        return due.given_ms, "given"
    if due.reach_m is not None:
        # what a line scan camera saw first has moved on by a frame when the frame is whole; what lies lowest in an area
        # camera's frame is as much nearer to whatever acts
        left_m = due.reach_m - optics.frame_height * optics.resolution_mm / 1000
        return 1000 * left_m / geometry.speed_m_s, "reach"
    return 1000 / optics.frame_rate_hz, "successor"
