from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_parts import capability, demand, estimated, geometry
from temper.benchmarks.plan.capability import Capability, Place
from temper.benchmarks.plan.demand import Due, plan_demand
from temper.benchmarks.plan.distribution import of_samples
from temper.benchmarks.plan.optics import LINKS
from temper.benchmarks.plan.supply import Terms, devices_at, fastest, supply

FOUR = demand(cameras=4)  # 3 tiles a frame, 26.786 frames a second of each camera


def test_streams_and_devices() -> None:
    one = supply(capability(2.0), FOUR, Terms(margin=0.3))
    # 70 % of 37.33 ms by 3 calls of 2 ms
    assert one.calls_per_frame == 3
    assert one.frame_ms == pytest.approx(6, rel=0.01)
    assert one.limits["compute"] == pytest.approx(0.7 * 37.333 / 6, rel=0.01)
    assert (one.streams, one.devices, one.streams_each, one.binds) == (4, 1, 4, "compute")
    assert one.load == pytest.approx(4 * 6 / 37.333, rel=0.01)
    assert (one.rejected, one.watts, one.cost) == (None, 20, None)


def test_cameras_are_dealt_out_evenly() -> None:
    one = supply(capability(2.5), FOUR, Terms(margin=0.3, prices={"box": 900}))
    assert (one.streams, one.devices, one.streams_each, one.watts, one.cost) == (3, 2, 2, 40, 1800)


def test_a_batch_larger_than_a_frame_is_still_a_call() -> None:
    assert supply(capability(2.0, batch=8), FOUR, Terms()).calls_per_frame == 1
    assert supply(capability(2.0, batch=2), FOUR, Terms()).calls_per_frame == 2


def test_of_an_estimate_the_far_end_decides() -> None:
    one = supply(estimated(2.0, error=0.5), FOUR, Terms())
    assert one.frame_ms == pytest.approx(3 * 2.0 * 1.5 * 1.5)
    assert one.binds == "bandwidth"


@pytest.mark.parametrize(
    ("device", "terms", "due", "message"),
    [
        (capability(20.0), Terms(), Due(), r"compute: a frame takes 6\d\.\d ms at p99, and 70 % of the 37\.3 ms"),
        (capability(2.0), Terms(), Due(given_ms=5), r"deadline: a frame takes 6\.0 ms at p99, and 70 % of the 5\.0 ms"),
        (capability(2.0, device_memory_mib=201), Terms(), Due(), r"memory: 200 MiB and 16 waiting frames of 0\.2 MiB"),
        (capability(2.0), Terms(max_power_w=10), Due(), r"power: 1 of them take 20 W, and 10 W are allowed"),
        (
            capability(2.0, place=Place("x", "X")),
            Terms(max_power_w=10),
            Due(),
            r"power: not known, as nobody said what it takes",
        ),
        (
            capability(2.0, place=Place("x", "X", watts=5.0, watts_of="board")),
            Terms(max_power_w=10),
            Due(),
            r"power: not known, as 5 W are of the board alone without the PC around it, and 10 W are allowed",
        ),
        (
            capability(2.0, place=Place("x", "X", watts=50.0, watts_of="board")),
            Terms(max_power_w=10),
            Due(),
            r"power: 1 of them take 50 W",
        ),
        (capability(2.0, not_usable="it is broken"), Terms(), Due(), r"it is broken"),
        (estimated(20.0), Terms(), Due(), r"bandwidth: a frame takes ~117\.0 ms"),
    ],
)
def test_every_rejection_has_its_reason(device: Capability, terms: Terms, due: Due, message: str) -> None:
    import re

    one = supply(device, demand(due, cameras=4), terms)
    assert one.rejected is not None
    assert re.search(message, one.rejected)


def test_too_few_samples_have_no_p99() -> None:
    few = of_samples([[1.0] * 100], None)
    one = supply(capability(latency=few, not_usable="its p99 needs 662 samples, 100 were taken"), FOUR, Terms())
    assert (few.p99_ms, one.frame_ms, one.devices, one.binds) == (None, None, None, None)


def test_a_link_that_does_not_carry_the_data() -> None:
    load = demand(cameras=1, link=LINKS[0], speed_m_s=30)
    one = supply(capability(0.1), load, Terms())
    assert one.rejected == "camera link: each camera sends 144 MB/s, more than GigE carries (115 MB/s)"


def test_ports_bind_as_camera_link() -> None:
    one = supply(capability(0.1), FOUR, Terms(ports=1))
    assert (one.streams, one.devices, one.binds) == (1, 4, "camera link")


def test_a_deadline_beyond_the_next_frame_does_not_bind() -> None:
    assert supply(capability(2.0), demand(Due(given_ms=500), cameras=4), Terms()).binds == "compute"
    assert supply(capability(2.0), demand(Due(given_ms=20), cameras=4), Terms()).binds == "deadline"


def test_the_fastest_strip() -> None:
    one = supply(capability(2.5), FOUR, Terms())
    speed = fastest(one.capability, FOUR, Terms(), one.devices or 0)
    assert devices_at(one.capability, FOUR, Terms(), speed) == 2
    assert devices_at(one.capability, FOUR, Terms(), 1.01 * speed) != 2
    assert fastest(capability(1e9), FOUR, Terms(), 1) == 0


speeds = st.floats(0.05, 40)


@given(
    speeds,
    speeds,
    st.floats(0.01, 50),
    st.integers(1, 12),
    st.integers(1, 8),
    st.sampled_from([Due(), Due(given_ms=40), Due(reach_m=6)]),
    st.floats(0, 0.9),
    st.sampled_from(["line", "area"]),
)
def test_a_faster_line_never_needs_fewer_devices(
    first: float, second: float, ms: float, cameras: int, batch: int, due: Due, margin: float, scan: Any
) -> None:
    slow, fast = sorted((first, second))
    device = replace(estimated(ms), batch=batch)
    load = plan_demand(geometry(cameras=cameras, scan=scan, speed_m_s=1.0, defect_mm=4), due, (256, 256))
    counts = [devices_at(device, load, Terms(margin=margin), speed) for speed in (slow, fast)]
    needed = [float("inf") if count is None else count for count in counts]
    assert needed[0] <= needed[1]


@given(st.floats(0.01, 50), st.floats(1, 10), st.floats(0, 0.5), st.floats(0, 0.4))
def test_a_slower_device_and_a_larger_margin_never_need_fewer(
    ms: float, ratio: float, margin: float, more: float
) -> None:
    def needed(time: float, free: float) -> float:
        count = supply(estimated(time), FOUR, Terms(margin=free)).devices
        return float("inf") if count is None else count

    assert needed(ms, margin) <= needed(ms * ratio, margin)
    assert needed(ms, margin) <= needed(ms, margin + more)
