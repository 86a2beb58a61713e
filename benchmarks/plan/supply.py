"""How many cameras a device carries, how many devices the line needs, and what binds; by arithmetic alone.

The arithmetic, with a worked example, is in ``docs/reference/planning.md``. A *stream* is one camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, inf
from typing import Literal

from .capability import Capability
from .demand import Demand
from .optics import whole

Binds = Literal["compute", "bandwidth", "launch", "deadline", "memory", "camera link"]
#: Rounding is not what a device fails by.
_ROUNDING = 1e-9
#: More devices than this are no plan.
MOST_DEVICES = 10_000


@dataclass(frozen=True)
class Terms:
    """What is asked of a device beside the line's load.

    Attributes:
        margin: share of a device's time, and of the deadline, that stays free at p99.
        queue: frames that may wait in a device.
        ports: camera links that a device has; None means enough.
        max_power_w: of all devices together; None means any.
        prices: of a device by its key.
    """

    margin: float = 0.3
    queue: int = 16
    ports: int | None = None
    max_power_w: float | None = None
    prices: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Supply:
    """What comes of one capability on the line.

    Attributes:
        capability: the device and the graph.
        demand: the line's load, in tiles of the graph's input.
        calls_per_frame: of the graph.
        frame_ms: time of a frame at p99, all its calls being that slow; None where there is no p99.
        streams: cameras that one device carries.
        limits: cameras that each limit alone would let it carry; one that does not bind at all is not there.
        binds: the limit that is reached first; None where none was reckoned.
        devices: that the line needs; None where it cannot be done.
        streams_each: cameras of the fullest device.
        load: share of the fullest device's time that p99 takes.
        watts: of all devices, of what ``capability.place.watts_of`` says; None where it is not known.
        cost: of all devices; None without a price.
        rejected: why it is no plan; None if it is one.
        enough_cameras: of what is rejected, so many narrower cameras that it would carry one; None if none are enough.
        enough_devices: that those cameras would need.
    """

    capability: Capability
    demand: Demand
    calls_per_frame: int
    frame_ms: float | None
    streams: int
    limits: Mapping[Binds, float]
    binds: Binds | None
    devices: int | None
    streams_each: int
    load: float | None
    watts: float | None
    cost: float | None
    rejected: str | None
    enough_cameras: int | None = None
    enough_devices: int | None = None

    @property
    def whole_watts(self) -> float | None:
        """Of all devices and what is around them; None where that is not known, as of boards without their PCs."""
        return None if self.capability.place.watts_of == "board" else self.watts


def supply(capability: Capability, demand: Demand, terms: Terms) -> Supply:
    """What a device carries of the line.

    Args:
        capability: the device and the graph.
        demand: made for the graph's input.
        terms: what else is asked.
    """
    calls = whole(demand.tiles_per_frame / capability.batch)
    p99 = capability.latency.p99_ms
    frame_ms = None if p99 is None else calls * p99
    limits = {} if frame_ms is None else _limits(capability, demand, terms, frame_ms)
    binds = _least(limits)
    streams = _at_most(limits[binds]) if binds else 0
    cameras = demand.optics.cameras
    reason = capability.not_usable or _no_link(demand)
    if reason is None and binds and streams < 1:
        reason = _too_slow(binds, capability, demand, terms, frame_ms or inf)
    devices = None if reason or streams < 1 else whole(cameras / streams)
    each = whole(cameras / devices) if devices else 0
    price = (terms.prices or {}).get(capability.place.device)
    watts = None if devices is None or capability.place.watts is None else devices * capability.place.watts
    return Supply(
        capability=capability,
        demand=demand,
        calls_per_frame=calls,
        frame_ms=frame_ms,
        streams=0 if reason else min(streams, cameras),
        limits=limits,
        binds=binds,
        devices=devices,
        streams_each=each,
        load=None if frame_ms is None or not each else each * demand.optics.frame_rate_hz * frame_ms / 1000,
        watts=watts,
        cost=None if devices is None or price is None else devices * price,
        rejected=reason or _too_much_power(capability, devices or 0, watts, terms),
    )


def devices_at(capability: Capability, demand: Demand, terms: Terms, speed_m_s: float) -> int | None:
    """Devices that the same cameras need at another speed; None where it cannot be done.

    Power and what binds the optics are left out: what is asked is whether the devices keep up. A faster strip never
    needs fewer.
    """
    faster = demand.at_speed(speed_m_s)
    if faster.deadline_ms <= 0:
        return None
    return supply(capability, faster, terms).devices


def fastest(capability: Capability, demand: Demand, terms: Terms, devices: int) -> float:
    """The fastest strip, in m/s, that so many devices keep up with, by the same cameras.

    Returns:
        0 where they keep up with none; to a thousandth of the speed.
    """

    def keeps_up(speed: float) -> bool:
        needed = devices_at(capability, demand, terms, speed)
        return needed is not None and needed <= devices

    slow, fast = 0.0, demand.geometry.speed_m_s
    while fast > 1e-6 and not keeps_up(fast):
        fast /= 2
    if fast <= 1e-6:
        return 0.0
    while keeps_up(fast) and fast < 1e6:
        slow, fast = fast, 2 * fast
    while fast - slow > 0.0005 * fast:
        middle = (slow + fast) / 2
        slow, fast = (middle, fast) if keeps_up(middle) else (slow, middle)
    return slow


def _limits(capability: Capability, demand: Demand, terms: Terms, frame_ms: float) -> dict[Binds, float]:
    """How many cameras each limit lets a device carry."""
    free = 1 - terms.margin
    busy: Binds = capability.bound or "compute"
    # the frames of all its cameras arrive in the same moment: the last of them waits for all others
    limits: dict[Binds, float] = {
        busy: free * 1000 / (demand.optics.frame_rate_hz * frame_ms),
        "deadline": free * demand.deadline_ms / frame_ms,
    }
    if capability.memory_mib is not None and capability.device_memory_mib is not None:
        waiting = terms.queue * demand.frame_bytes / 2**20
        left = capability.device_memory_mib - capability.memory_mib - waiting
        # the queue is one for all cameras of a device; each of them has a frame in the making besides
        limits["memory"] = left / (demand.frame_bytes / 2**20)
    if terms.ports is not None:
        limits["camera link"] = float(terms.ports)
    return limits


def _least(limits: Mapping[Binds, float]) -> Binds | None:
    """Of limits that are equal but for rounding the first: a deadline that is the next frame is none of its own."""
    found: Binds | None = None
    for name, value in limits.items():
        if found is None or round(value, 9) < round(limits[found], 9):
            found = name
    return found


def _at_most(limit: float) -> int:
    if limit <= 0:
        return 0
    return floor(min(limit, float(MOST_DEVICES)) * (1 + _ROUNDING))


def _no_link(demand: Demand) -> str | None:
    optics = demand.optics
    if optics.link is not None:
        return None
    only = demand.geometry.link
    return (
        f"camera link: each camera sends {optics.data_mb_s:,.0f} MB/s, more than "
        f"{f'{only.name} carries ({only.usable_mb_s:g} MB/s)' if only else 'any link carries'}"
    )


def _too_slow(binds: Binds, capability: Capability, demand: Demand, terms: Terms, frame_ms: float) -> str:
    """Why a device does not carry even one camera."""
    free, took = f"{100 * (1 - terms.margin):.0f} %", f"{capability.mark}{frame_ms:,.1f} ms at p99"
    if binds == "memory":
        return (
            f"memory: {capability.mark}{capability.memory_mib or 0:,.0f} MiB and {terms.queue} waiting frames of "
            f"{demand.frame_bytes / 2**20:,.1f} MiB do not fit in {capability.device_memory_mib or 0:,.0f} MiB"
        )
    if binds == "deadline":
        return (
            f"deadline: a frame takes {took}, and {free} of the {demand.deadline_ms:,.1f} ms until "
            "its result is due"
            f" are {(1 - terms.margin) * demand.deadline_ms:,.1f} ms"
        )
    interval = 1000 / demand.optics.frame_rate_hz
    return (
        f"{binds}: a frame takes {took}, and {free} of the {interval:,.1f} ms until the next "
        f"are {(1 - terms.margin) * interval:,.1f} ms"
    )


def _too_much_power(capability: Capability, devices: int, watts: float | None, terms: Terms) -> str | None:
    if terms.max_power_w is None or not devices:
        return None
    if watts is None:
        return (
            "power: not known, as nobody said what it takes; write it under 'watts:' in the file of --prices, or name "
            "the device, as in --measured DIR=DEVICE"
        )
    mark, allowed = capability.mark, f"{terms.max_power_w:,.0f} W are allowed"
    if watts > terms.max_power_w * (1 + _ROUNDING):
        return f"power: {mark}{devices} of them take {mark}{watts:,.0f} W, and {allowed}"
    if capability.place.watts_of == "board":
        return (
            f"power: not known, as {mark}{watts:,.0f} W are of the board alone without the PC around it, and {allowed};"
            " write what all of it takes under 'watts:' in the file of --prices"
        )
    return None
