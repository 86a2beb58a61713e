from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from temper.detection.agreement import Agreement, MatchRule
from temper.detection.detections import Detections
from temper.export.half import convert_fp16
from tiny_bundle import tiny_graph

SIZE = (64, 64)


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_graph("grey", SIZE)


def detections(model: onnx.ModelProto, images: np.ndarray) -> list[Detections]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    boxes, scores, labels, count = session.run(None, {"image": images})
    return [Detections(boxes[i, :n], scores[i, :n], labels[i, :n], SIZE) for i, n in enumerate(count.tolist())]


def test_the_network_alone_is_in_half_precision(fp32: onnx.ModelProto) -> None:
    before = fp32.SerializeToString()
    half, kept = convert_fp16(fp32)
    assert fp32.SerializeToString() == before, "the graph is not changed"
    assert "network/sigmoid" in kept and "network/conv" not in kept
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    by_name = {node.name: node for node in half.graph.node}
    for node in fp32.graph.node:
        floats = {types[name] for name in by_name[node.name].input if types.get(name) in (1, 10)}
        if node.op_type == "Conv":
            assert floats == {TensorProto.FLOAT16}
        elif not node.name.startswith("network/") or node.name in kept:
            assert floats <= {TensorProto.FLOAT}
    assert [(v.name, v.type.tensor_type.elem_type) for v in half.graph.output] == [
        (v.name, v.type.tensor_type.elem_type) for v in fp32.graph.output
    ]
    assert {entry.key: entry.value for entry in half.metadata_props}["temper.precision"] == "fp16"


def test_the_same_detections(fp32: onnx.ModelProto) -> None:
    images = np.random.default_rng(3).integers(0, 256, (6, 64, 64), dtype=np.uint8)
    both = zip(detections(fp32, images), detections(convert_fp16(fp32)[0], images), strict=True)
    apart = Agreement()
    for exact, close in both:
        apart.add_picture(exact, close, MatchRule(0.02, 100))
    assert apart.matched > 200
    assert apart.matched_share > 0.97
    assert 0 < apart.matched_scores.largest < 5e-3 and apart.boxes_px.largest < 0.1


def test_fragile_operators_inside_the_network_stay(fp32: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(fp32)
    relu = next(node for node in model.graph.node if node.name == "network/relu")
    relu.op_type, relu.name = "Exp", "network/exp"
    half, kept = convert_fp16(model)
    assert "network/exp" in kept
    makers = {output: node for node in half.graph.node for output in node.output}
    exp = next(node for node in half.graph.node if node.name == "network/exp")
    cast = makers[exp.input[0]]
    assert cast.op_type == "Cast" and helper.get_attribute_value(cast.attribute[0]) == TensorProto.FLOAT
