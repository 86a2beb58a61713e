from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from temper.export.names import layer_path, mark_layers, name_network


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("backbone.conv1.conv1.conv.weight", "backbone.conv1.conv1"),
        ("backbone.conv1.conv1.norm._mean", "backbone.conv1.conv1"),
        ("neck.fpn_inner_res3_sum_lateral.bias", "neck.fpn_inner_res3_sum_lateral"),
        ("head.scale", "head"),
        ("scale", ""),
    ],
)
def test_the_layer_of_a_parameter(parameter: str, layer: str) -> None:
    assert layer_path(parameter) == layer


def network() -> onnx.ModelProto:
    """Two convolutions of one picture, added; the first one's weights are read twice."""
    weights = {f"conv2d_{i}.w_0": np.ones((1, 1, 1, 1), np.float32) for i in range(2)}
    nodes = [
        helper.make_node("Conv", ["image", "conv2d_0.w_0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "conv2d_1.w_0"], ["c"]),
        helper.make_node("Conv", ["b", "conv2d_0.w_0"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4]) for name in ("image", "f")]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], held))


def test_nodes_are_called_after_their_layers() -> None:
    model = network()
    mark_layers(model, {"conv2d_0.w_0": "block.left", "conv2d_1.w_0": "block.right"})
    name_network(model.graph, "network")
    assert [node.name for node in model.graph.node] == [
        "network/block.left/conv",
        "network/block.left/relu",
        "network/block.right/conv",
        "network/block.left/conv_1",
        "network/block/add",
        "network/block/relu",
    ]
    assert [tensor.name for tensor in model.graph.initializer] == [
        "network/block.left/conv.weight",
        "network/block.right/conv.weight",
    ]
    onnx.checker.check_model(model, full_check=True)


def test_without_layers_the_kinds_are_counted() -> None:
    model = network()
    name_network(model.graph, "network")
    names = [node.name for node in model.graph.node]
    assert names == [f"network/{kind}" for kind in ("conv", "relu", "conv_1", "conv_2", "add", "relu_1")]
    onnx.checker.check_model(model, full_check=True)
