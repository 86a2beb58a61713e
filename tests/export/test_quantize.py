from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from temper.core.errors import TemperError
from temper.detection.agreement import Agreement, Closeness, MatchRule
from temper.detection.detections import Detections
from temper.export.calibrate import METHODS, Ranges, measure_ranges
from temper.export.quantize import (
    activations,
    cut_scores,
    last_layers,
    network_outputs,
    quantisable,
    quantize,
    score_layers,
)
from tiny_bundle import tiny_graph

SIZE = (64, 64)
CLASS_LOGITS, DELTAS = "network/conv_3", "network/conv_4"


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return tiny_graph("grey", SIZE)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE[1], SIZE[0]), dtype=np.uint8)


def ranges_of(model: onnx.ModelProto, method: str = "min_max") -> Ranges:
    images = pictures(8)
    given = [lambda i=i: images[i] for i in range(len(images))]
    return measure_ranges(model, activations(model), given, (method,))[method]


def run(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})


def rows_of(answer: list[np.ndarray], i: int) -> Detections:
    boxes, scores, labels, count = answer
    n = int(count[i])
    return Detections(boxes[i, :n], scores[i, :n], labels[i, :n], SIZE)


def apart(exact: onnx.ModelProto, close: onnx.ModelProto) -> Agreement:
    images = pictures(6, seed=5)
    both = run(exact, images), run(close, images)
    found, rule = Agreement(), MatchRule(0.02, 100, Closeness(score=0.1))
    for i in range(len(images)):
        found.add_picture(rows_of(both[0], i), rows_of(both[1], i), rule)
    return found


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
@pytest.mark.parametrize("method", METHODS)
def test_close_to_fp32_in_standard_operators(fp32: onnx.ModelProto, flavour: str, method: str) -> None:
    model = quantize(fp32, cut_scores(fp32, ranges_of(fp32, method), 0.02), flavour)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts == {entry.key: entry.value for entry in fp32.metadata_props} | {"temper.precision": "int8"}
    assert model.opset_import == fp32.opset_import
    found = apart(fp32, model)
    assert found.matched > 200
    # entropy cuts much off these few values
    assert found.matched_share > (0.5 if method == "entropy" else 0.9)


def test_the_tail_and_what_lies_before_it_stay_in_floating_point(fp32: onnx.ModelProto) -> None:
    last, after = last_layers(fp32)
    assert last == [CLASS_LOGITS, DELTAS]
    assert score_layers(fp32) == [CLASS_LOGITS]
    assert set(after) == {f"network/{kind}" for kind in ("sigmoid", "reshape", "reshape_1", "transpose", "transpose_1")}
    assert DELTAS not in quantisable(fp32, "cpu") and CLASS_LOGITS in quantisable(fp32, "cpu")
    assert DELTAS in quantisable(fp32, "tensorrt"), "its output is not rounded"
    model = quantize(fp32, ranges_of(fp32), "cpu")
    tail = {node.name: node for node in model.graph.node if node.name.startswith("tail/")}
    rounded = {o for n in model.graph.node if n.op_type == "DequantizeLinear" for o in n.output}
    for node in fp32.graph.node:
        if node.name.startswith("tail/"):
            assert tail[node.name].op_type == node.op_type
            assert not set(tail[node.name].input) & rounded


def test_logits_are_cut_below_the_floor_and_not_above_what_was_seen(fp32: onnx.ModelProto) -> None:
    ranges = ranges_of(fp32)
    name = next(node.output[0] for node in fp32.graph.node if node.name == CLASS_LOGITS)
    low, high = cut_scores(fp32, ranges, 0.02)[name]
    assert ranges[name][0] < low < np.log(0.02 / 0.98) and high > ranges[name][1]
    model = quantize(fp32, cut_scores(fp32, ranges, 0.02), "cpu")
    model.graph.output.append(onnx.helper.make_tensor_value_info(network_outputs(model)[0], TensorProto.FLOAT, None))
    scores = run(model, pictures(2))[-1]
    assert 0.01 < scores.min() < 0.02, "everything below the floor is one value, and that is below it too"


def test_weights_on_processors_leave_room_for_adding_in_16_bits(fp32: onnx.ModelProto) -> None:
    model = quantize(fp32, ranges_of(fp32), "cpu")
    weights = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.INT8]
    whole = [w.astype(int) for w in weights if w.ndim == 4]
    assert len(whole) == 4
    for values in whole:
        assert np.abs(values).max() <= 64
        # per channel: nearly every output channel uses its range
        assert (np.abs(values).reshape(len(values), -1).max(axis=1) >= 60).all()


def test_tensorrt_gets_what_it_takes(fp32: onnx.ModelProto) -> None:
    model = quantize(fp32, ranges_of(fp32), "tensorrt")
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        zero = held[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any(), "symmetric: zero point 0"
    for node in model.graph.node:
        if node.op_type == "Conv":
            for operand in node.input[:2]:
                assert makers[operand].op_type == "DequantizeLinear"
                assert makers[makers[operand].input[0]].op_type == "QuantizeLinear", "both halves of a pair"
            assert held[makers[node.input[1]].input[1]].shape == (held_weights(node, makers, held).shape[0],)
            assert held[node.input[2]].dtype == np.float32, "the bias is left alone"
    quantisers = {node.input[0] for node in pairs if node.op_type == "QuantizeLinear"}
    convolved = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    assert not quantisers & convolved, "nothing stands between a convolution and its Relu"


def held_weights(node: onnx.NodeProto, makers: dict, held: dict) -> np.ndarray:  # type: ignore[type-arg]
    return held[makers[makers[node.input[1]].input[0]].input[0]]


def test_layers_may_be_left_out(fp32: onnx.ModelProto) -> None:
    layers = quantisable(fp32, "cpu")
    held = {tensor.name for tensor in fp32.graph.initializer}
    weights = {node.name: node.input[1] for node in fp32.graph.node if node.op_type == "Conv"}
    model = quantize(fp32, ranges_of(fp32), "cpu", layers[:1])
    kept = {node.name: node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    assert kept[layers[0]] == weights[layers[0]] and kept[layers[0]] in held
    assert kept[layers[1]] != weights[layers[1]]
    with pytest.raises(ValueError, match="everything is left in floating point"):
        quantize(fp32, ranges_of(fp32), "cpu", layers)


def test_same_ranges_same_bytes_and_nothing_on_the_terminal(
    fp32: onnx.ModelProto, capfd: pytest.CaptureFixture[str]
) -> None:
    ranges = ranges_of(fp32, "percentile")
    first, second = (quantize(fp32, ranges, "cpu").SerializeToString() for _ in range(2))
    assert first == second
    assert capfd.readouterr() == ("", "")


def test_what_onnx_runtime_cannot_quantise_is_said(fp32: onnx.ModelProto) -> None:
    with pytest.raises(TemperError, match="could not quantise the graph") as caught:
        quantize(fp32, {}, "cpu")
    assert "\n" not in str(caught.value)
