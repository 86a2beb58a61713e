from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from temper.benchmarks.estimate.work import LayerWork, graph_work
from temper.bundle.graph_file import OnnxFile
from temper.core.errors import TemperError
from tiny_bundle import tiny_graph


def saved(path: Path, nodes: list[onnx.NodeProto], shape: list[object], **weights: np.ndarray) -> OnnxFile:
    """A graph from ``x`` to ``y``."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return OnnxFile.read(path)


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_a_convolution_with_what_is_behind_it_is_one_layer(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Conv", "r v", "d", group=8),
        node("Add", "d x", "s"),
        node("Relu", "s", "y"),
    ]
    constants = {"w": weights(8, 8, 3, 3), "b": weights(8), "v": weights(8, 1, 1, 1)}
    graph = saved(tmp_path / "g.onnx", nodes, ["batch", 8, 10, 20], **constants)
    first, second = graph_work(graph, 2).layers
    pixels = 2 * 10 * 20
    assert (first.kind, first.operators) == ("conv", ("Conv", "Relu"))
    assert first.operations == 2 * pixels * 8 * 72
    assert (first.rows, first.columns, first.depth, first.groups) == (pixels, 8, 72, 1)
    assert (first.weights, first.read, first.written) == (8 * 72 + 8, pixels * 8, pixels * 8)
    assert (second.kind, second.operators) == ("depthwise", ("Conv", "Add", "Relu"))
    assert second.read == 2 * pixels * 8, "its own input, and the other summand"


def test_what_two_read_is_not_joined(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Sigmoid", "c", "s"), node("Mul", "r s", "y")]
    layers = graph_work(saved(tmp_path / "g.onnx", nodes, [1, 4, 5, 5], w=weights(4, 4, 1, 1)), 1).layers
    assert [layer.operators for layer in layers] == [("Conv",), ("Relu",), ("Sigmoid", "Mul")]


def test_quantised_layers_are_int8_and_the_rest_is_not(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "dx"),
        node("DequantizeLinear", "w s t", "dw"),
        node("Conv", "dx dw", "c"),
        node("Conv", "c v", "y"),
    ]
    scale, zero, signed = np.float32(0.1), np.uint8(0), np.int8(0)
    quantised = {"s": np.array(scale), "z": np.array(zero), "t": np.array(signed)}
    kernels = {"w": np.ones((4, 4, 1, 1), np.int8), "v": weights(4, 4, 1, 1)}
    graph = saved(tmp_path / "g.onnx", nodes, [1, 4, 5, 5], **kernels, **quantised)
    work = graph_work(graph, 1)
    assert [layer.precision for layer in work.layers] == ["int8", "fp32"]
    assert work.weight_bytes == 16 + 4 * 16
    assert {layer.precision for layer in work.in_precision("fp16").layers} == {"fp16"}


def test_an_unknown_operator_is_named_and_counted(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "c"), node("Einsum", "c", "y", equation="abcd->abdc")]
    work = graph_work(saved(tmp_path / "g.onnx", nodes, [1, 4, 5, 6], w=weights(4, 4, 1, 1)), 1)
    assert work.unknown == ("Einsum",)
    assert work.layers[1].kind == "unknown"
    assert work.layers[1].read == work.layers[1].written == 4 * 30


def test_weights_that_many_layers_read_are_held_once(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w", "b"), node("Conv", "b w", "y")]
    work = graph_work(saved(tmp_path / "g.onnx", nodes, [1, 4, 5, 5], w=weights(4, 4, 1, 1)), 1)
    assert work.weight_bytes == 64
    assert [layer.weights for layer in work.layers] == [16, 16, 16]


def test_an_exported_graph_has_work_for_every_batch(tmp_path: Path) -> None:
    graph = OnnxFile(tiny_graph().SerializeToString(), "g.onnx")
    one, eight = (graph_work(graph, batch) for batch in (1, 8))
    assert one.unknown == eight.unknown == ()
    assert eight.input_bytes == 8 * one.input_bytes == 8 * 64 * 64
    assert eight.weight_bytes == one.weight_bytes
    convolutions = [[layer for layer in work.layers if layer.kind == "conv"] for work in (one, eight)]
    assert [layer.operations * 8 for layer in convolutions[0]] == [layer.operations for layer in convolutions[1]]
    assert any(layer.kind == "nms" for layer in one.layers)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="is no ONNX graph"):
        graph_work(OnnxFile(b"no graph", "g.onnx"), 1)
    graph = saved(tmp_path / "open.onnx", [node("Relu", "x", "y")], [1, 3, "h", "w"])
    with pytest.raises(TemperError, match="The input x .*open.onnx is of no fixed size"):
        graph_work(graph, 1)


def test_bytes_by_precision() -> None:
    layer = LayerWork("l", "conv", "fp16", weights=10, read=20, written=30)
    assert layer.moved_bytes == 120
