from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.devices.table import PowerMode, load_devices
from temper.benchmarks.estimate.calibration import correct, load_calibration, log_half_width
from temper.benchmarks.estimate.memory import needed_mib, usable_mib
from temper.benchmarks.estimate.roofline import Graph, reckon
from temper.benchmarks.estimate.work import GraphWork, LayerWork

DEVICES = load_devices()
FULL = PowerMode("full", None)
PARAMETERS = load_calibration().parameters


def conv(side: int, channels: int, batch: int = 1, groups: int = 1, precision: str = "int8") -> LayerWork:
    rows, depth = batch * side * side, 9 * channels // groups
    elements = rows * channels
    return LayerWork(
        f"conv{side}x{channels}",
        "conv",
        precision,  # type: ignore[arg-type]
        2.0 * rows * channels * depth,
        channels * depth,
        elements,
        elements,
        rows,
        channels // groups,
        depth,
        groups,
    )


def graph(*layers: LayerWork) -> Graph:
    return Graph(GraphWork(layers, 1e6, 1e6, 1e4, 1e3))


def test_a_large_layer_takes_what_the_matrix_units_take() -> None:
    device = DEVICES["jetson-agx-orin-64gb"]
    layer = conv(256, 512)
    reckoned = reckon(graph(layer), device, FULL, PARAMETERS)
    least = 1000 * layer.operations / (device.tops["int8"] * 1e12)
    assert least < reckoned.latency_ms < 1.4 * least
    assert reckoned.bound == "compute"


def test_a_large_pass_over_memory_takes_what_the_memory_takes() -> None:
    device = DEVICES["l4"]
    layer = LayerWork("relu", "pointwise", "fp32", 1e9, 0, 10**9, 10**9)
    reckoned = reckon(graph(layer), device, FULL, PARAMETERS)
    least = 1000 * 8e9 / (device.bandwidth_gb_s * 1e9)
    assert least < reckoned.latency_ms < 1.5 * least
    assert reckoned.bound == "bandwidth"


def test_small_layers_are_bound_by_their_kernels() -> None:
    reckoned = reckon(graph(*[conv(4, 32)] * 50), DEVICES["l4"], FULL, PARAMETERS)
    assert reckoned.bound == "launch"
    assert len(reckoned.layers_ms) == 50


@given(st.integers(4, 128), st.sampled_from([16, 48, 64, 256]), st.sampled_from(sorted(DEVICES)))
def test_more_work_never_takes_less(side: int, channels: int, key: str) -> None:
    device = DEVICES[key]
    graphs = [graph(conv(side, channels, batch)) for batch in (1, 2, 8)]
    times = [reckon(one, device, device.mode(None), PARAMETERS).latency_ms for one in graphs]
    assert times == pytest.approx(sorted(times), rel=1e-3), "kernels of other tiles may use the memory a trifle better"


@pytest.mark.parametrize("key", ["jetson-agx-orin-64gb", "jetson-orin-nx-16gb", "jetson-orin-nano-8gb"])
def test_a_lower_power_mode_is_never_faster(key: str) -> None:
    device = DEVICES[key]
    layers = graph(conv(64, 128), conv(8, 512), LayerWork("add", "pointwise", "int8", 1, 0, 10**6, 10**6))
    times = [reckon(layers, device, mode, PARAMETERS).latency_ms for mode in device.power_modes]
    assert times == sorted(times)


def test_precisions_are_in_their_order() -> None:
    device = DEVICES["jetson-orin-nano-8gb"]
    graphs = [graph(conv(64, 256, precision=one)) for one in ("int8", "fp16", "fp32")]
    times = [reckon(one, device, FULL, PARAMETERS).latency_ms for one in graphs]
    assert times == sorted(times)


def test_measurements_on_a_device_draw_its_estimates_and_narrow_them() -> None:
    calibration = load_calibration()
    none = correct([], [])
    one, many = correct([0.3], ["a"]), correct([0.3] * 20, ["a"] * 20)
    assert none.log_factor == 0 < one.log_factor < many.log_factor < 0.3
    assert many.log_factor == pytest.approx(0.3, rel=0.05)
    widths = [log_half_width(calibration, correction, ["int8"], 0) for correction in (none, one, many)]
    assert widths[0] == pytest.approx(calibration.log_error_90)
    assert widths == sorted(widths, reverse=True)
    assert log_half_width(calibration, none, ["int8"], 0.5) > widths[0], "an unknown operator widens it"
    assert log_half_width(calibration, none, ["fp16"], 0) > widths[0], "so does a precision nobody has published"


def test_the_calibration_is_within_its_aim() -> None:
    assert load_calibration().median_error_percent <= 15


def test_memory_that_a_shared_device_gives_others() -> None:
    nano = DEVICES["jetson-orin-nano-8gb"]
    assert usable_mib(nano) < 0.7 * nano.memory_gb * 1e9 / 2**20
    assert usable_mib(replace(nano, shared_memory=False)) == pytest.approx(nano.memory_gb * 1e9 / 2**20)
    small, large = (GraphWork((), weights, 0, 0, 0) for weights in (1e6, 1e10))
    assert needed_mib(small) < usable_mib(nano) < needed_mib(large)
