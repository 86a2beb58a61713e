"""What would bring a device back in, or help the whole line, where something does not keep up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.errors import UsageError
from .demand import plan_demand
from .optics import MOST_CAMERAS
from .ranking import PlanRow
from .supply import MOST_DEVICES, Supply, Terms, fastest, supply


def with_remedy(one: Supply, terms: Terms) -> Supply:
    """What is too slow for a camera, or has no link, may do with narrower ones: say from how many cameras on."""
    demand = one.demand
    too_slow = one.binds is not None and one.limits[one.binds] < 1
    if one.rejected is None or one.capability.not_usable or not (too_slow or demand.optics.link is None):
        return one
    for cameras in range(demand.optics.cameras + 1, MOST_CAMERAS + 1):
        try:
            narrower = plan_demand(replace(demand.geometry, cameras=cameras), demand.due, demand.tile)
        except UsageError:
            break
        other = supply(one.capability, narrower, replace(terms, max_power_w=None))
        if other.devices is not None:
            told = f"{one.rejected}; of {cameras} narrower cameras it would carry {one.capability.mark}{other.streams}"
            return replace(one, rejected=told, enough_cameras=cameras, enough_devices=other.devices)
    return one


def what_would_help(rows: Sequence[PlanRow], terms: Terms) -> str:
    """What would help most where nothing keeps up, in half a sentence: power, cameras, a slower strip, in this order.

    Args:
        rows: all of them rejected.
        terms: what was asked.

    Returns:
        What to change, and the device with which it would do; what is wrong with the figures where that is why.
    """
    supplies = [row.supply for row in rows]
    usable = [one for one in supplies if one.capability.not_usable is None]
    if not usable:
        return f"usable figures: of {supplies[0].capability.title}, {supplies[0].rejected}"
    powered = [one for one in usable if one.devices is not None and one.rejected is not None]
    known = [one for one in powered if one.whole_watts is not None]
    if known:
        least = min(known, key=lambda one: one.whole_watts or 0.0)
        mark = least.capability.mark
        return (
            f"{mark}{least.whole_watts:,.0f} W of power, with which {mark}{least.devices} x {_device(least)} would do"
        )
    if powered:
        return f"its watts: {_device(powered[0])} keeps up, and nobody said what it takes"
    helps = []
    # nothing is helped by a device that takes more power than is there, or nobody knows how much
    usable = [one for one in usable if _within(terms, one, 1)] or usable
    cameras = [one for one in usable if one.enough_cameras is not None and _within(terms, one, one.enough_devices)]
    if cameras:
        fewest = min(cameras, key=lambda one: (one.enough_cameras or 0, one.enough_devices or 0))
        count = f"{fewest.capability.mark}{fewest.enough_devices} x {_device(fewest)}"
        helps.append(f"--cameras {fewest.enough_cameras}, each seeing less, with which {count} would do")
    asked = usable[0].demand.geometry.speed_m_s
    speeds = [(fastest(one.capability, one.demand, terms, MOST_DEVICES), one) for one in usable]
    speed, slower = max(speeds, key=lambda pair: pair[0])
    if 0 < speed < asked:
        helps.append(f"a strip of {slower.capability.mark}{speed:,.3g} m/s, which {_device(slower)} keeps up with")
    return ", or ".join(helps) or "another device, or less asked of these"


def _within(terms: Terms, one: Supply, devices: int | None) -> bool:
    watts = one.capability.place.whole_watts
    return terms.max_power_w is None or (watts is not None and (devices or 1) * watts <= terms.max_power_w)


def _device(one: Supply) -> str:
    mode = f" {one.capability.place.power_mode}" if one.capability.place.power_mode else ""
    return f"{one.capability.place.label}{mode}"
