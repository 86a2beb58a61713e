"""The example that was reckoned by hand in docs/reference/planning.md, and that its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plan_parts import capability
from temper.benchmarks.plan.capability import Place
from temper.benchmarks.plan.demand import Due, plan_demand
from temper.benchmarks.plan.distribution import of_samples
from temper.benchmarks.plan.optics import AREA_SENSORS, LINE_SENSORS, LINKS
from temper.benchmarks.plan.recipe import PlanRecipe, read_recipe
from temper.benchmarks.plan.supply import Terms, supply


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "reference" / "planning.md").read_text(encoding="utf-8")


def by_hand(text: str) -> dict[str, str]:
    table = text.split("## A worked example")[1].split("## plan.yml")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", table, flags=re.MULTILINE)
    return {name: result for name, result in rows if name not in ("figure", "---")}


def test_the_program_comes_to_what_was_reckoned_by_hand(text: str) -> None:
    recipe = read_recipe(
        None,
        {
            "bundle": "x.temper",
            "strip_width": "1.2m",
            "line_speed": "15m/s",
            "defect": "0.5mm",
            "cameras": 4,
            "reach": "6m",
        },
    )
    load = plan_demand(recipe.geometry(1), recipe.due, (640, 640))
    device = capability(
        place=Place("box", "A box", "", 25.0), latency=of_samples([[1.6] * 700], None), batch=4, tile=(640, 640)
    )
    one, optics = supply(device, load, Terms()), load.optics
    assert one.load is not None and optics.link is not None
    reckoned: dict[str, float | str | None] = {
        "resolution": optics.resolution_mm,
        "lens overlap": optics.lens_overlap_mm,
        "seen by a camera": optics.field_mm,
        "pixels across": optics.pixels,
        "sensor": float(optics.sensor.width),
        "line rate": optics.line_rate_khz,
        "longest exposure": optics.exposure_us,
        "frame rate": optics.frame_rate_hz,
        "data of a camera": optics.data_mb_s,
        "link": optics.link.name,
        "tiles of a frame": load.tiles_per_frame,
        "tiles of a camera": load.tiles_per_second,
        "tiles of the line": load.total_tiles_per_second,
        "deadline": load.deadline_ms,
        "calls of a frame": one.calls_per_frame,
        "a frame at p99": one.frame_ms,
        "cameras of a device, by time": one.limits["compute"],
        "cameras of a device, by deadline": one.limits["deadline"],
        "cameras of a device": one.streams,
        "devices": one.devices,
        "load": 100 * one.load,
        "watts": one.watts,
    }
    hand = by_hand(text)
    assert list(hand) == list(reckoned)
    for name, result in hand.items():
        if isinstance(reckoned[name], str):
            assert result == reckoned[name]
        else:
            assert float(result.split()[0]) == pytest.approx(reckoned[name], abs=0.0006), name
    assert (one.binds, one.streams_each, one.rejected) == ("compute", 2, None)
    # the frame's successor is the other rule
    assert plan_demand(recipe.geometry(1), Due(), (640, 640)).deadline_ms == pytest.approx(5.0667, abs=0.0001)


def test_the_links_of_the_document_are_those_of_the_code(text: str) -> None:
    table = text.split("### Links")[1].split("## The load")[0]
    rows = re.findall(r"^\| (\S+) \| (\d+) \|", table, flags=re.MULTILINE)
    assert [(name, float(usable)) for name, usable in rows] == [(link.name, link.usable_mb_s) for link in LINKS]
    for sensor in LINE_SENSORS:
        assert sensor.name in table
    for sensor in AREA_SENSORS:
        assert f"{sensor.width} × {sensor.height}" in table.replace("\n", " ")


def test_every_field_is_in_the_document(text: str) -> None:
    fields = text.split("## plan.yml")[1]
    assert not [name for name in PlanRecipe.model_fields if f"`{name}`" not in fields]
