from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sys_tree import Moving, SysTree
from temper.benchmarks.energy.integrate import energy_between
from temper.benchmarks.energy.processor import ProcessorSensor
from temper.benchmarks.energy.sampler import Sampler
from temper.core.errors import TemperError


def test_a_counter_that_moves_gives_its_power(tmp_path: Path) -> None:
    tree = SysTree(tmp_path)
    with Moving(tree, watts=40.0):
        with Sampler(ProcessorSensor(tmp_path)) as sampler:
            start = time.monotonic()
            while time.monotonic() - start < 0.4:
                time.sleep(0.02)
            end = time.monotonic()
            sampler.read_now()
        joules = energy_between(sampler.readings(), start, end)
    assert joules == pytest.approx(40.0 * (end - start), rel=0.1)
    assert sampler.trouble is None


def test_wrap_around_is_made_up_for(tmp_path: Path) -> None:
    tree = SysTree(tmp_path, full=999_999)
    tree.set_energy(900_000)
    sensor = ProcessorSensor(tmp_path)
    readings = []
    for total in (1_200_000, 2_100_000, 2_900_000):  # 0.2, 0.1 and 0.9 J are shown
        tree.set_energy(total)
        readings.append(sensor.read().joules)
    assert readings == pytest.approx([0.3, 1.2, 2.0])


def test_packages_and_their_memory_are_added_and_nothing_twice(tmp_path: Path) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
    }
    tree = SysTree(tmp_path, zones=zones)
    sensor = ProcessorSensor(tmp_path)
    tree.set_energy(1_000_000)
    assert sensor.read().joules == pytest.approx(3.0)
    assert (sensor.info.name, sensor.info.method) == ("rapl", "counter")
    assert sensor.info.device == "package-0, package-0 dram, package-1"
    assert "and their memory" in sensor.info.covers


def test_heat_clock_and_throttling(tmp_path: Path) -> None:
    tree = SysTree(tmp_path)
    tree.with_heat(61.5, 2800, throttled=7)
    sensor = ProcessorSensor(tmp_path)
    first = sensor.read()
    assert (first.temperature_c, first.clock_mhz, first.throttle) == (61.5, 2800, frozenset())
    tree.with_heat(80, 1500, throttled=9)
    assert sensor.read().throttle == {"temperature"}
    assert sensor.read().throttle == frozenset()  # not again since


def test_heat_without_a_counter_of_energy(tmp_path: Path) -> None:
    SysTree(tmp_path, zones={}).with_heat(55, throttled=None)
    sensor = ProcessorSensor(tmp_path)
    reading = sensor.read()
    assert (sensor.info.name, sensor.info.method) == ("processor", None)
    assert (reading.joules, reading.watts, reading.throttle) == (None, None, None)
    assert reading.temperature_c == 55


def test_a_thermal_zone_where_there_is_no_thermometer(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("47123\n")
    assert ProcessorSensor(tmp_path).read().temperature_c == pytest.approx(47.123)


def test_nothing_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"powercap has no counter of RAPL.*a virtual machine"):
        ProcessorSensor(tmp_path)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As a user who owns nothing, where this one is root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_counter_for_root_alone_says_what_opens_it() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own lie where nobody else may look
    try:
        tree = SysTree(folder)
        folder.chmod(0o755)
        (file,) = tree.energy
        file.chmod(0o400 if os.geteuid() == 0 else 0)
        with (
            without_rights(),
            pytest.raises(TemperError, match=r"root alone; 'sudo chmod a\+r .*/intel-rapl:\*/energy_uj'"),
        ):
            ProcessorSensor(folder)
    finally:
        shutil.rmtree(folder)


def test_a_counter_that_goes_away_ends_the_sampling_and_keeps_what_it_told(tmp_path: Path) -> None:
    tree = SysTree(tmp_path)
    with Sampler(ProcessorSensor(tmp_path)) as sampler:
        (file,) = tree.energy
        file.unlink()
        sampler.read_now()
        sampler.read_now()
    assert len(sampler.readings()) == 1
    assert sampler.trouble is not None
    assert "cannot be read any more" in sampler.trouble
