"""NVML without a GPU: the real binding's names, its answers where there is no driver, and a device by those names."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import temper.benchmarks.energy.nvml as ours
from temper.benchmarks.energy.nvml import THROTTLE_REASONS, NvmlSensor, load_nvml, open_gpus
from temper.core.errors import MissingDependencyError, TemperError

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")


def names_in_use() -> set[str]:
    """Every name of the binding's that the code speaks of, as an attribute or as a text."""
    tree = ast.parse(Path(ours.__file__).read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {name for name in attributes | texts if name.startswith(("nvml", "NVML")) and name.isidentifier()}


def test_every_name_in_use_is_in_the_binding() -> None:
    names = names_in_use()
    assert {"nvmlDeviceGetTotalEnergyConsumption", "NVMLError", "NVML_ERROR_NOT_SUPPORTED", *THROTTLE_REASONS} <= names
    assert [name for name in sorted(names) if not hasattr(pynvml, name)] == []


def test_idle_and_clocks_that_somebody_set_are_no_throttling() -> None:
    bits = {getattr(pynvml, name) for name in THROTTLE_REASONS}
    assert pynvml.nvmlClocksThrottleReasonGpuIdle not in bits
    assert pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting not in bits
    assert len(bits) == len(THROTTLE_REASONS)


def test_no_driver_is_one_sentence() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pass
    else:
        pytest.skip("there is a driver here")
    with pytest.raises(TemperError, match="NVML tells nothing here, as the NVIDIA driver does not answer: .*Not Found"):
        open_gpus()


def test_no_binding_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(
        MissingDependencyError, match=r"nvidia-ml-py, which is not installed.*pip install '\.\[energy\]'"
    ):
        load_nvml()


class Gpus:
    """The binding with GPUs: its own names and errors, its functions answered from a table."""

    def __init__(self, *tables: dict[str, Any]) -> None:
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        there = getattr(pynvml, name)
        if not name.startswith("nvmlDeviceGet"):
            return there
        if name == "nvmlDeviceGetCount":
            return lambda: len(self._tables)
        if name == "nvmlDeviceGetHandleByIndex":
            return lambda index: index

        def answer(device: int, *_: object) -> Any:
            value = self._tables[device].get(name, pynvml.NVML_ERROR_NOT_SUPPORTED)
            if name not in self._tables[device] or isinstance(value, pynvml.NVMLError):
                raise value if isinstance(value, pynvml.NVMLError) else pynvml.NVMLError(value)
            return value

        return answer


def card(**others: Any) -> dict[str, Any]:
    return {"nvmlDeviceGetName": b"H100", "nvmlDeviceGetUUID": "GPU-1234-5", **others}


def test_a_gpu_with_a_counter() -> None:
    table = card(
        nvmlDeviceGetTotalEnergyConsumption=1_000,
        nvmlDeviceGetPowerUsage=70_000,
        nvmlDeviceGetTemperature=41,
        nvmlDeviceGetClockInfo=1980,
        nvmlDeviceGetCurrentClocksThrottleReasons=pynvml.nvmlClocksThrottleReasonSwPowerCap
        | pynvml.nvmlClocksThrottleReasonGpuIdle,
    )
    sensor = NvmlSensor(Gpus(table), 0)
    table["nvmlDeviceGetTotalEnergyConsumption"] = 3_500
    reading = sensor.read()
    assert (sensor.info.name, sensor.info.device, sensor.info.method) == ("nvml-0", "H100", "counter")
    assert (reading.joules, reading.watts, reading.temperature_c, reading.clock_mhz) == (2.5, None, 41, 1980)
    assert reading.throttle == {"power limit"}


def test_a_gpu_without_a_counter_has_power_and_one_without_both_neither() -> None:
    sensor = NvmlSensor(Gpus(card(nvmlDeviceGetPowerUsage=70_500)), 0)
    assert (sensor.info.method, sensor.read().watts, sensor.read().joules) == ("power samples", 70.5, None)
    blind = NvmlSensor(Gpus(card()), 0)
    assert blind.info.method is None
    assert not blind.read().tells


def test_a_driver_older_than_the_binding_is_asked_by_the_older_name() -> None:
    old = pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    table = card(nvmlDeviceGetCurrentClocksEventReasons=old, nvmlDeviceGetCurrentClocksThrottleReasons=0)
    assert NvmlSensor(Gpus(table), 0).read().throttle == frozenset()


def test_a_gpu_that_is_lost_is_told() -> None:
    table = card(nvmlDeviceGetPowerUsage=70_500)
    sensor = NvmlSensor(Gpus(table), 0)
    table["nvmlDeviceGetPowerUsage"] = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    with pytest.raises(TemperError, match="GPU 0 does not answer any more"):
        sensor.read()


def test_only_gpus_that_the_runtime_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(card(), card(nvmlDeviceGetUUID="GPU-99"))
    monkeypatch.setattr(ours, "load_nvml", lambda: gpus)
    assert [gpu.info.name for gpu in open_gpus("1")] == ["nvml-1"]
    assert [gpu.info.name for gpu in open_gpus("GPU-12")] == ["nvml-0"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert len(open_gpus()) == 2
    with pytest.raises(TemperError, match=r"no GPU, of 2 GPUs; look at CUDA_VISIBLE_DEVICES"):
        open_gpus("")
