"""A Jetson's sensor, fed by a client that answers in the shapes that jtop documents: no Jetson has been seen yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from temper.benchmarks.energy.jetson import JetsonSensor, is_jetson, open_jetson
from temper.core.errors import TemperError


class LostError(Exception):
    """Stands for jtop's own."""


class Client:
    """What of jtop the sensor uses."""

    def __init__(self, power: dict[str, Any]) -> None:
        self.power = power
        self.temperature = {
            "cpu": {"temp": 48.5, "online": True},
            "gpu": {"temp": 51.25, "online": True},
            "cv0": {"temp": -256, "online": False},
        }
        self.gpu = {"ga10b": {"status": {"load": 80.0}, "freq": {"cur": 624750, "min": 306000, "max": 624750}}}
        self.alive: bool | Exception = True
        self.closed = False

    def ok(self) -> bool:
        if isinstance(self.alive, Exception):
            raise self.alive
        return self.alive

    def close(self) -> None:
        self.closed = True


RAILS = {"VDD_CPU_GPU_CV": {"power": 2100, "avg": 2000}, "VDD_SOC": {"power": 1400, "avg": 1400}}
INPUT = {"rail": RAILS, "tot": {"name": "VDD_IN", "power": 6450, "avg": 6300}}


def test_power_at_the_input_of_the_module(tmp_path: Path) -> None:
    sensor = JetsonSensor(Client(INPUT), LostError, tmp_path)
    reading = sensor.read()
    assert (reading.watts, reading.joules, reading.temperature_c) == (6.45, None, 51.25)
    assert reading.clock_mhz == pytest.approx(624.75)
    assert reading.throttle is None  # no file tells
    assert (sensor.info.method, sensor.info.device) == ("power samples", "jtop, VDD_IN")
    assert sensor.info.covers.startswith("module input")


def test_a_module_without_such_a_rail_names_what_was_added(tmp_path: Path) -> None:
    info = JetsonSensor(Client({"rail": RAILS, "tot": {"power": 3500, "avg": 3400}}), LostError, tmp_path).info
    assert info.device == "jtop, sum of VDD_CPU_GPU_CV, VDD_SOC"
    assert info.covers.startswith("sum of the module's measured rails")


def test_no_rails_at_all_leave_power_empty(tmp_path: Path) -> None:
    sensor = JetsonSensor(Client({}), LostError, tmp_path)
    assert (sensor.info.method, sensor.read().watts) == (None, None)


def test_throttling_by_the_alerts_and_events_of_the_kernel(tmp_path: Path) -> None:
    alert, events = tmp_path / "class/thermal/cooling_device3", tmp_path / "class/hwmon/hwmon4/oc2_event_cnt"
    for folder in (alert, events.parent):
        folder.mkdir(parents=True)
    (alert / "type").write_text("gpu-throttle-alert\n")
    (alert / "cur_state").write_text("0\n")
    events.write_text("3\n")
    sensor = JetsonSensor(Client(INPUT), LostError, tmp_path)
    assert sensor.read().throttle == frozenset()
    events.write_text("4\n")
    (alert / "cur_state").write_text("1\n")
    assert sensor.read().throttle == {"temperature", "current"}
    assert sensor.read().throttle == {"temperature"}


@pytest.mark.parametrize("alive", [False, LostError("Lost connection with jtop server")])
def test_a_service_that_ends_is_told(alive: bool | Exception, tmp_path: Path) -> None:
    client = Client(INPUT)
    sensor = JetsonSensor(client, LostError, tmp_path)
    client.alive = alive
    with pytest.raises(TemperError, match="jtop's service does not answer any more"):
        sensor.read()
    sensor.close()
    assert client.closed


@pytest.mark.skipif(is_jetson(), reason="this is a Jetson")
def test_another_machine_is_no_jetson() -> None:
    with pytest.raises(TemperError, match="This is no Jetson"):
        open_jetson()
