from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plan_parts import demand, geometry
from temper.benchmarks.plan.demand import Due, plan_demand
from temper.benchmarks.plan.optics import LINKS, Geometry, Sensor, carrying, plan_optics
from temper.core.errors import UsageError
from temper.deploy.strip.tiles import plan


def test_the_fewest_cameras_that_cover_the_strip() -> None:
    optics = plan_optics(geometry(defect_mm=0.5, speed_m_s=15), 640)
    # 0.125 mm a pixel: 9600 pixels at 120 kHz are 1152 MB/s, which no one link up to 10GigE carries, CXP-12 does
    assert (optics.cameras, optics.pixels, optics.sensor) == (1, 9600, Sensor(12288))
    assert optics.line_rate_khz == pytest.approx(120)
    assert optics.data_mb_s == pytest.approx(1152)
    assert optics.link is not None
    assert optics.link.name == "CXP-12"


def test_a_link_that_was_asked_for_takes_more_cameras() -> None:
    gige = next(link for link in LINKS if link.name == "GigE")
    optics = plan_optics(geometry(defect_mm=0.5, speed_m_s=15, link=gige), 640)
    # (9600 + (n - 1) x 32) / n pixels x 120 kHz has to stay below 115 MB/s: 958.3 pixels
    assert optics.cameras == 11
    assert optics.pixels == 902
    assert optics.data_mb_s <= 115


def test_cameras_and_sensor_that_were_asked_for() -> None:
    optics = plan_optics(geometry(cameras=3, sensor=Sensor(1024), lens_overlap_mm=15), 256)
    # (1200 + 2 x 15) / 3 mm at 0.5 mm a pixel
    assert optics.field_mm == pytest.approx(410)
    assert optics.pixels == 820
    assert optics.sensor.name == "1024"


def test_an_area_camera_sends_its_overlap_twice() -> None:
    optics = plan_optics(geometry(scan="area"), 256)
    assert optics.sensor == Sensor(2448, 2048)
    assert optics.frame_rate_hz == pytest.approx(6000 / (2048 - 32))
    assert optics.data_mb_s == pytest.approx(6000 / 2016 * 2048 * 2400 / 1e6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution_mm": 3}, r"A defect of 2 mm is smaller than a pixel of 3 mm.*--resolution 0\.5mm or finer"),
        ({"resolution_mm": 1}, r"has 2 pixels of 1 mm, and 4 are asked for; give --resolution 0\.5mm"),
        ({"defect_mm": 5000}, r"A smallest defect of 5000 mm is wider than the strip of 1200 mm"),
        ({"cameras": 1, "sensor": Sensor(1024)}, r"1 camera of 1024 pixels cannot show .* give --cameras 3 or more"),
        ({"cameras": 2, "lens_overlap_mm": 1300}, r"cannot have 1,300.0 mm in common; give a smaller --lens-overlap"),
        ({"frame_overlap": 256}, r"Frames of 256 lines cannot have 256 in common; give a smaller --frame-overlap"),
        ({"speed_m_s": 3e5, "defect_mm": 0.01}, r"give --cameras|carries; a larger --defect|a coarser resolution"),
    ],
)
def test_impossible_figures(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_optics(geometry(**changes), 256)


def test_tiles_are_those_of_the_line() -> None:
    load = demand()
    assert load.tiles_per_frame == len(plan((load.optics.pixels, 256), (256, 256), 32))
    with pytest.raises(
        UsageError, match=r"Tiles of 256 x 256 pixels cannot have 200 in common; give --tile-overlap 128"
    ):
        demand(tile_overlap=200)


def test_deadlines() -> None:
    assert demand().deadline_ms == pytest.approx(1000 / demand().optics.frame_rate_hz)
    assert demand(Due(given_ms=50)).deadline_ms == 50
    reach = demand(Due(reach_m=6))
    # a frame of 256 lines of 0.5 mm is 0.128 m
    assert reach.deadline_ms == pytest.approx(1000 * (6 - 0.128) / 3)
    assert (reach.deadline_rule, "6 m" in reach.deadline_words) == ("reach", True)
    with pytest.raises(UsageError, match=r"A frame shows 0\.128 m of the strip, which has moved on by --reach 0\.1m"):
        demand(Due(reach_m=0.1))


def test_the_first_link_that_carries() -> None:
    assert [getattr(carrying(data), "name", None) for data in (1, 115, 116, 1151, 5001)] == [
        "GigE", "GigE", "USB3", "CXP-12", None,
    ]  # fmt: skip
    assert [link.usable_mb_s for link in LINKS] == sorted(link.usable_mb_s for link in LINKS)
    assert all(link.source for link in LINKS)


strips = st.builds(
    Geometry,
    strip_mm=st.floats(10, 5000),
    speed_m_s=st.floats(0.01, 30),
    defect_mm=st.floats(0.05, 50),
    pixels_per_defect=st.floats(1, 20),
    scan=st.sampled_from(["line", "area"]),
)


@given(strips)
def test_the_cameras_see_the_whole_strip_and_the_defect(seen: Geometry) -> None:
    try:
        optics = plan_optics(seen, 256)
    except UsageError:
        assume(False)
    assert optics.resolution_mm * seen.pixels_per_defect <= seen.defect_mm * 1.000001
    covered = optics.cameras * optics.field_mm - (optics.cameras - 1) * optics.lens_overlap_mm
    assert covered == pytest.approx(seen.strip_mm)
    assert optics.pixels * optics.resolution_mm >= optics.field_mm * 0.999999
    assert optics.pixels <= optics.sensor.width
    assert optics.link is not None
    assert optics.data_mb_s <= optics.link.usable_mb_s
    # frames follow one another without a gap
    assert optics.frame_rate_hz * optics.advance * optics.resolution_mm / 1000 == pytest.approx(seen.speed_m_s)


@given(strips, st.floats(1.001, 4))
def test_a_faster_strip_asks_for_more_in_less_time(seen: Geometry, ratio: float) -> None:
    try:
        slow = plan_demand(seen, Due(), (256, 256))
    except UsageError:
        assume(False)
    fast = slow.at_speed(seen.speed_m_s * ratio)
    assert fast.total_tiles_per_second == pytest.approx(ratio * slow.total_tiles_per_second)
    assert fast.optics.data_mb_s == pytest.approx(ratio * slow.optics.data_mb_s)
    assert fast.deadline_ms == pytest.approx(slow.deadline_ms / ratio)
