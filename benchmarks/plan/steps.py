"""The arithmetic of a plan step by step, as people check it with a pocket calculator."""

from __future__ import annotations

from dataclasses import dataclass

from .demand import Demand
from .supply import Supply, Terms


@dataclass(frozen=True)
class Step:
    """One line of the arithmetic: what it is, how it is reckoned with the figures put in, and what comes out."""

    name: str
    sum: str
    result: str


def optics_steps(demand: Demand) -> list[Step]:
    """From the strip to a link."""
    optics, seen = demand.optics, demand.geometry
    kind = "line scan" if optics.sensor.height is None else "area"
    asked = f"defect {seen.defect_mm:g} mm / {seen.pixels_per_defect:g} pixels"
    scale = "as given" if seen.resolution_mm is not None else asked
    n = optics.cameras
    field = f"(strip {seen.strip_mm:,.1f} mm + {n - 1} x overlap {optics.lens_overlap_mm:.4g} mm) / {n} cameras"
    rows = f"{1000 * optics.line_rate_khz:,.0f} lines/s"
    if optics.sensor.height is not None:
        rows = f"{optics.frame_rate_hz:,.3f} frames/s x {optics.frame_height}"
    sent = f"{rows} x {optics.pixels} pixels x {seen.bytes_per_pixel} bytes"
    common = f"{optics.frame_height} lines - {optics.frame_height - optics.advance} in common"
    carried = (
        "no link carries that"
        if optics.link is None
        else f"{optics.link.name}, {optics.link.usable_mb_s:,g} MB/s usable"
    )
    return [
        Step("Resolution", scale, f"{optics.resolution_mm:.4g} mm/pixel"),
        Step("Seen by a camera", field, f"{optics.field_mm:,.2f} mm"),
        Step("Pixels across", f"{optics.field_mm:,.2f} mm / {optics.resolution_mm:.4g} mm", f"{optics.pixels} pixels"),
        Step("Sensor", f"the smallest {kind} sensor with {optics.pixels} pixels across", optics.sensor.name),
        Step(
            "Line rate" if optics.sensor.height is None else "Lines of the strip",
            f"{1000 * seen.speed_m_s:,.1f} mm/s / {optics.resolution_mm:.4g} mm",
            f"{optics.line_rate_khz:,.3f} kHz",
        ),
        Step(
            "Longest exposure",
            f"{optics.resolution_mm:.4g} mm / {1000 * seen.speed_m_s:,.1f} mm/s",
            f"{optics.exposure_us:,.2f} us",
        ),
        Step(
            "Frame rate",
            f"{1000 * optics.line_rate_khz:,.0f} lines/s / ({common})",
            f"{optics.frame_rate_hz:,.3f} frames/s",
        ),
        Step("Data of a camera", sent, f"{optics.data_mb_s:,.1f} MB/s"),
        Step("Link", "the first that carries it" if seen.link is None else f"{seen.link.name} was asked for", carried),
    ]


def demand_steps(demand: Demand) -> list[Step]:
    """From frames to tiles and the deadline."""
    optics, seen = demand.optics, demand.geometry
    if demand.deadline_rule == "reach":
        way = optics.frame_height * optics.resolution_mm / 1000
        due = f"({demand.due.reach_m:g} m - frame of {way:.4g} m) / {seen.speed_m_s:g} m/s"
    elif demand.deadline_rule == "given":
        due = "as given"
    else:
        due = f"until the frame's successor: 1 / {optics.frame_rate_hz:,.3f} frames/s"
    return [
        Step(
            "Tiles of a frame",
            f"{optics.pixels} x {optics.frame_height} pixels in tiles of {demand.tile[0]} x {demand.tile[1]}, "
            f"{seen.tile_overlap} or more in common",
            f"{demand.tiles_per_frame} tiles",
        ),
        Step(
            "Tiles of a camera",
            f"{demand.tiles_per_frame} tiles x {optics.frame_rate_hz:,.3f} frames/s",
            f"{demand.tiles_per_second:,.1f} tiles/s",
        ),
        Step(
            "Tiles of the line",
            f"{optics.cameras} cameras x {demand.tiles_per_second:,.1f} tiles/s",
            f"{demand.total_tiles_per_second:,.1f} tiles/s",
        ),
        Step("Deadline", due, f"{demand.deadline_ms:,.2f} ms"),
    ]


def supply_steps(supply: Supply, terms: Terms, currency: str = "") -> list[Step]:
    """From a call to devices, watts and cost, of one capability with a p99."""
    demand, latency = supply.demand, supply.capability.latency
    if supply.frame_ms is None or latency.p99_ms is None:
        return []
    mark = supply.capability.mark
    free = 1 - terms.margin
    interval = 1000 / demand.optics.frame_rate_hz
    steps = [
        Step(
            "Calls of a frame",
            f"{demand.tiles_per_frame} tiles / batch of {supply.capability.batch}",
            f"{supply.calls_per_frame} calls",
        ),
        Step(
            "A frame at p99",
            f"{supply.calls_per_frame} calls x {mark}{latency.p99_ms:,.3f} ms",
            f"{mark}{supply.frame_ms:,.2f} ms",
        ),
        Step(
            "Cameras of a device, by time",
            f"{free:g} x {interval:,.2f} ms / {mark}{supply.frame_ms:,.2f} ms",
            f"{mark}{free * interval / supply.frame_ms:,.2f}",
        ),
        Step(
            "Cameras of a device, by deadline",
            f"{free:g} x {demand.deadline_ms:,.2f} ms / {mark}{supply.frame_ms:,.2f} ms",
            f"{mark}{free * demand.deadline_ms / supply.frame_ms:,.2f}",
        ),
    ]
    if supply.devices is not None:
        cameras = demand.optics.cameras
        steps.append(Step("Devices", f"{cameras} cameras / {mark}{supply.streams} a device", f"{mark}{supply.devices}"))
        steps += _totals(supply, terms, currency)
    return steps


def _totals(supply: Supply, terms: Terms, currency: str) -> list[Step]:
    """Watts and cost of all devices, as far as they are known."""
    place, mark = supply.capability.place, supply.capability.mark
    steps = []
    if supply.watts is not None and place.watts is not None:
        alone = "" if place.watts_of == "device" else f", of the {place.watts_of} alone"
        steps.append(
            Step("Watts", f"{mark}{supply.devices} x {place.watts:g} W{alone}", f"{mark}{supply.watts:,.0f} W")
        )
    price = (terms.prices or {}).get(place.device)
    if supply.cost is not None and price is not None:
        money = f" {currency}" if currency else ""
        each = f"{mark}{supply.devices} x {price:,g}{money}"
        steps.append(Step("Cost", each, f"{mark}{supply.cost:,.0f}{money}"))
    return steps
