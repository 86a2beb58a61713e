"""A plan as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from .demand import Demand
from .ranking import PlanRow
from .run import Plan
from .steps import Step, demand_steps, optics_steps, supply_steps
from .words import sentences


def plan_to_plain(plan: Plan) -> dict[str, Any]:
    """Everything of a plan; what is measured and what is estimated is told by ``kind`` of each row."""
    return {
        "event": "planned",
        "made_at": plan.made_at,
        "temper": plan.temper,
        "bundle": {"name": plan.bundle_name, "manifest_sha256": plan.manifest_sha256},
        "recipe": plan.recipe.model_dump(mode="json"),
        "currency": plan.currency,
        "keeps_up": bool(plan.ranked),
        "sentences": sentences(plan),
        "warnings": list(plan.warnings),
        "demands": [_demand(one) for one in plan.demands],
        "rows": [_row(row, plan) for row in plan.rows],
        "what_if": [
            {
                "device": one.capability.place.device,
                "where": one.capability.place.where,
                "power_mode": one.capability.place.power_mode,
                "variant": one.capability.variant,
                "kind": one.capability.kind,
                "speeds_m_s": list(one.speeds_m_s),
                "devices": list(one.devices),
            }
            for one in plan.what_if
        ],
    }


def _demand(demand: Demand) -> dict[str, Any]:
    optics = asdict(demand.optics)
    optics["sensor"] = demand.optics.sensor.name
    return {
        "tile": list(demand.tile),
        "optics": optics,
        "tiles_per_frame": demand.tiles_per_frame,
        "tiles_per_second_of_a_camera": demand.tiles_per_second,
        "tiles_per_second": demand.total_tiles_per_second,
        "deadline_ms": demand.deadline_ms,
        "deadline_rule": demand.deadline_rule,
        "steps": _steps([*optics_steps(demand), *demand_steps(demand)]),
    }


def _row(row: PlanRow, plan: Plan) -> dict[str, Any]:
    planned, one = row.supply, row.supply.capability
    return {
        "rank": row.rank,
        "kind": one.kind,
        **asdict(one.place),
        "variant": one.variant,
        "precision": one.precision,
        "runtime": one.runtime,
        "batch": one.batch,
        "tile": list(one.tile),
        "origin": one.origin,
        "notes": list(one.notes),
        "map": one.ap,
        "call_ms": {
            "median": one.latency.median_ms,
            "interval": one.latency.interval_ms,
            "p99": one.latency.p99_ms,
            "rests_on": one.latency.shape,
        },
        "memory_mib": one.memory_mib,
        "device_memory_mib": one.device_memory_mib,
        "calls_per_frame": planned.calls_per_frame,
        "frame_p99_ms": planned.frame_ms,
        "cameras_per_device": planned.streams,
        "limits": {name: value for name, value in planned.limits.items() if isfinite(value)},
        "binds": planned.binds,
        "devices": planned.devices,
        "cameras_of_the_fullest": planned.streams_each,
        "load": planned.load,
        "total_watts": planned.watts,
        "total_cost": planned.cost,
        "fastest_m_s": row.fastest_m_s,
        "simulation": None
        if row.simulation is None
        else {**asdict(row.simulation), "confirms": row.simulation.confirms},
        "rejected": row.reason,
        "steps": _steps(supply_steps(planned, plan.terms, plan.currency)),
    }


def _steps(steps: list[Step]) -> list[dict[str, str]]:
    return [asdict(step) for step in steps]
