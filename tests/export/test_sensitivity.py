from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from temper.export.calibrate import Ranges, measure_ranges
from temper.export.quantize import activations, quantisable
from temper.export.sensitivity import layer_noise
from tiny_bundle import tiny_graph

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 64), dtype=np.uint8)


def ranges_of(model: onnx.ModelProto) -> Ranges:
    given = [lambda i=i: IMAGES[i] for i in range(len(IMAGES))]
    return measure_ranges(model, activations(model), given, ("min_max",))["min_max"]


def test_a_layer_whose_range_is_spoilt_costs_most() -> None:
    model = tiny_graph("grey", (64, 64))
    ranges = ranges_of(model)
    told: list[tuple[int, int]] = []
    noise = layer_noise(model, ranges, "cpu", IMAGES[:2], lambda done, total: told.append((done, total)))
    assert set(noise) == set(quantisable(model, "cpu")) and told[-1] == (len(noise), len(noise))
    assert list(noise.values()) == sorted(noise.values(), reverse=True)
    assert all(0 < value < 0.1 for value in noise.values())
    # one value far outside leaves all the others few steps
    spoilt = next(node for node in model.graph.node if node.name == "network/conv_2").input[0]
    worse = layer_noise(model, ranges | {spoilt: (0.0, 100 * ranges[spoilt][1])}, "cpu", IMAGES[:2])
    assert next(iter(worse)) in ("network/conv_2", "network/conv_1"), "the one that reads it, or the one that writes it"
    assert worse["network/conv_2"] > 10 * noise["network/conv_2"]


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_one_large_channel_does_not_spoil_the_others(flavour: str) -> None:
    model = tiny_graph("grey", (64, 64))
    name = next(node for node in model.graph.node if node.name == "network/conv_1").input[1]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    weights = numpy_helper.to_array(tensor).copy()
    weights[0] = 0
    weights[0, 0, 0, 0] = 1e-4
    weights[1] *= 20
    tensor.CopyFrom(numpy_helper.from_array(weights, name))
    assert layer_noise(model, ranges_of(model), flavour, IMAGES)["network/conv_1"] < 0.05
