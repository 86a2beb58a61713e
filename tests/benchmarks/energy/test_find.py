from __future__ import annotations

from pathlib import Path

import pytest
from sys_tree import SysTree
from temper.benchmarks.candidate import PADDLE
from temper.benchmarks.energy.find import PROCESSOR_RUNTIMES, Found, sensors_here, tells_heat
from temper.benchmarks.energy.leading import leading_energy
from temper.benchmarks.energy.processor import ProcessorSensor
from temper.benchmarks.energy.rows import EnergyRow, Heat, Method, Part, SensorInfo
from temper.benchmarks.energy.sensor import Reading
from temper.benchmarks.subject import Subject
from temper.deploy.runtimes.load import RUNTIMES


class Told:
    """A sensor with a part and nothing else to it."""

    interval_seconds = 1.0

    def __init__(self, part: Part, method: Method | None = "counter") -> None:
        self.info = SensorInfo(part, part, "that", part, method)

    def read(self) -> Reading:
        return Reading(0.0)

    def close(self) -> None:
        pass


def test_every_runtime_computes_on_the_processor_or_on_a_gpu() -> None:
    others = set(RUNTIMES) - set(PROCESSOR_RUNTIMES)
    assert set(PROCESSOR_RUNTIMES) - {PADDLE} < set(RUNTIMES)
    assert all("cuda" in name or "tensorrt" in name for name in others)


def test_a_gpu_tells_nothing_of_what_runs_on_the_processor() -> None:
    found = Found((Told("gpu"), Told("processor", None)), {"processor": "It has no counter."})
    assert [one.info.part for one in found.for_runtime("onnxruntime")] == ["processor"]
    assert [one.info.part for one in found.for_runtime("tensorrt")] == ["gpu", "processor"]
    sentence = found.sentence(["onnxruntime", "tensorrt", "onnxruntime"])
    assert sentence == (
        "No energy and heat of what runs on onnxruntime: no sensor tells it here (processor: It has no counter)."
    )
    assert found.sentence(["tensorrt"]) is None


def test_a_clock_alone_is_not_worth_a_run(tmp_path: Path) -> None:
    clock = tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    clock.parent.mkdir(parents=True)
    clock.write_text("2000000\n")
    sensor = ProcessorSensor(tmp_path)
    assert sensor.read().clock_mhz == 2000
    assert not tells_heat(sensor)


def test_what_this_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.benchmarks.energy.processor.SYS", tmp_path)
    with sensors_here() as found:
        assert "processor" in found.absences
        assert not [one for one in found.sensors if one.info.part == "processor"]
    SysTree(tmp_path)
    with sensors_here() as found:
        assert [one.info.name for one in found.sensors if one.info.part == "processor"] == ["rapl"]


def test_the_sensor_that_covers_the_most_stands_for_a_candidate() -> None:
    heat = Heat("x", 1.0, None, None, None, None, None, None)

    def row(part: Part, method: Method | None = "counter") -> EnergyRow:
        subject = Subject("m", "student", "fp32", "fp32", "tensorrt")
        return EnergyRow(subject, 1, None, Told(part, method).info, 1.0, 1, 9, 1.0, 1.0, 1.0, 1.0, heat, 0.0)

    def leads(rows: list[EnergyRow], runtime: str) -> str | None:
        found = leading_energy(rows, runtime)
        return None if found is None else found.sensor.part

    rows = [row("processor"), row("gpu"), row("module")]
    assert leads(rows, "tensorrt") == leads(rows, "onnxruntime") == "module"
    assert leads(rows[:2], "tensorrt") == "gpu"
    assert leads(rows[:2], "onnxruntime") == "processor"
    assert leads([row("gpu", None), row("processor")], "tensorrt") == "processor"  # the one that tells power
    assert leads([row("gpu")], "onnxruntime") is None
