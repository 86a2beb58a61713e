"""A plan's rows as people read them, in the terminal and on the page alike. ``~`` marks every estimated figure."""

from __future__ import annotations

from dataclasses import dataclass

from .capability import Capability
from .ranking import PlanRow
from .remedies import what_would_help
from .run import Plan


@dataclass(frozen=True)
class RowWords:
    """One row of the table; every attribute is a cell, ``kind`` the one that says measured or estimated."""

    rank: str
    device: str
    name: str
    mode: str
    graph: str
    runtime: str
    kind: str
    call: str
    call_interval: str
    frame: str
    carries: str
    devices: str
    load: str
    watts: str
    watts_of: str
    cost: str
    binds: str
    fastest: str
    simulated: str
    missed: str
    accuracy: str
    notes: str
    reason: str

    @property
    def estimated(self) -> bool:
        """Whether the row rests on an estimate."""
        return self.kind != "measured"


def row_words(row: PlanRow, currency: str) -> RowWords:
    """The cells of a row; an empty one has nothing to say."""
    planned, one = row.supply, row.supply.capability
    mark = one.mark
    low_high = one.latency.interval_ms
    ranked = row.rank is not None
    simulation = row.simulation
    result = (
        "" if simulation is None else "dropped" if simulation.p99_ms is None else f"{mark}{simulation.p99_ms:,.1f} ms"
    )
    return RowWords(
        rank="" if row.rank is None else str(row.rank),
        device=one.place.label,
        name=one.place.device_name,
        mode=one.place.power_mode,
        graph=f"{one.graph}, batch {one.batch}",
        runtime=one.runtime,
        kind=f"{mark}estimated" if mark else "measured",
        call=f"{mark}{one.latency.median_ms:,.2f} ms",
        call_interval="" if low_high is None else f"{mark}{low_high[0]:,.2f} to {low_high[1]:,.2f}",
        frame="" if planned.frame_ms is None else f"{mark}{planned.frame_ms:,.1f} ms",
        carries=f"{mark}{planned.streams}" if ranked else "",
        devices=f"{mark}{planned.devices}" if ranked else "",
        load=f"{mark}{100 * planned.load:.0f} %" if ranked and planned.load is not None else "",
        watts=f"{mark}{planned.watts:,.0f} W" if ranked and planned.watts is not None else "",
        watts_of="" if one.place.watts is None or one.place.watts_of == "device" else f"{one.place.watts_of} alone",
        cost=f"{mark}{planned.cost:,.0f} {currency}".rstrip() if ranked and planned.cost is not None else "",
        binds=planned.binds or "",
        fastest="" if row.fastest_m_s is None else f"{mark}{row.fastest_m_s:,.2f} m/s",
        simulated=result,
        missed=_missed(row, mark),
        accuracy="" if one.ap is None else f"{one.ap:.1f}",
        notes="; ".join(one.notes),
        reason=row.reason or "",
    )


def sentences(plan: Plan) -> list[str]:
    """What the plan comes to, in a few sentences."""
    demand = plan.demands[0]
    optics, seen = demand.optics, demand.geometry
    cameras = (
        f"{optics.cameras} {'line scan' if seen.scan == 'line' else 'area'} camera{'s' if optics.cameras > 1 else ''}"
    )
    rate = f"{optics.line_rate_khz:,.1f} kHz" if seen.scan == "line" else f"{optics.frame_rate_hz:,.1f} frames a second"
    carried = "which no link carries" if optics.link is None else f"over {optics.link.name}"
    told = [] if plan.ranked else [_nothing(plan)]
    told.append(
        f"A strip {seen.strip_mm / 1000:g} m wide at {seen.speed_m_s:g} m/s, with defects from {seen.defect_mm:g} mm, "
        f"needs {cameras} with {optics.pixels} pixels across at {rate}: {_rate(optics.data_mb_s)} MB/s each, "
        f"{carried}, and {demand.total_tiles_per_second:,.0f} tiles a second."
    )
    ranked = plan.ranked
    if not ranked:
        return told
    first = row_words(ranked[0], plan.currency)
    watts = f"{first.watts} of the {first.watts_of}" if first.watts and first.watts_of else first.watts
    beside = ", ".join(text for text in (watts, first.cost) if text)
    told.append(
        f"{first.devices} x {first.device} ({first.name}{f', {first.mode}' if first.mode else ''}) with "
        f"{first.graph} on {first.runtime} keep up, with {100 * plan.terms.margin:.0f} % of the time free at p99"
        f"{f'; {beside}' if beside else ''}. "
        f"{first.binds[:1].upper()}{first.binds[1:]} binds; up to {first.fastest}. These figures are {first.kind}."
    )
    if first.estimated:
        told.append("An estimate is no measurement: measure on one such device before you buy the others.")
    return told


def capability_title(one: Capability) -> str:
    """Of a line in the plot."""
    mode = f" {one.place.power_mode}" if one.place.power_mode else ""
    mark = f"{one.mark} " if one.mark else ""
    return f"{mark}{one.place.label}{mode}, {one.graph}"


def _rate(mb_s: float) -> str:
    return f"{mb_s:,.0f}" if mb_s >= 10 else f"{mb_s:.2g}"


def _nothing(plan: Plan) -> str:
    speed = plan.demands[0].geometry.speed_m_s
    return (
        f"Nothing that was measured or estimated keeps up with {speed:g} m/s; what would help most: "
        f"{what_would_help(plan.rejected, plan.terms)}."
    )


def _missed(row: PlanRow, mark: str) -> str:
    share = None if row.simulation is None else row.simulation.miss_share
    if share is None or share.value is None:
        return ""
    high = "" if share.high is None else f" (at most {100 * share.high:.2f} %)"
    return f"{mark}{100 * share.value:.2f} %{high}"
