"""From a floating-point graph to int8: static quantisation with QuantizeLinear and DequantizeLinear in the graph.

There are two flavours, because what processors compute fastest TensorRT does not take.

``cpu``: activations asymmetric in uint8, biases quantised, and every operator around a convolution (Add, Relu, MaxPool,
Resize, Concat) inside the pairs, so that ONNX Runtime and OpenVINO keep bytes from the first convolution to the last. A
Relu is no node any more: it is the lower end of its range. What was measured, and the choices that came of it (three
trained RetinaNets of six classes on synthetic steel, 60 pictures; mAP in points against the fp32 graph of each):

- Weights take 7 bits. The u8 x s8 kernels of processors without VNNI add pairs of products in 16 bits, and full 8-bit
  weights saturate them: that cost 0.5 to 1.5 points. With 7 bits nothing can saturate (2 x 255 x 64 < 2^15), so every
  processor adds the same integers; what remained was within 0.7 points either way. On VNNI they are as fast.
- The last convolutions of the boxes, and all that follows them, stay in floating point. Those of the scores become int8
  where only a sigmoid follows, with the range of their logits cut off just below the score floor: what lies there is
  never told, and the 256 steps go to what is. Over three models and 300 pictures that cost under 0.1 points; uncut, or
  with the boxes too, it was 0.2 to 0.3, because mAP lives from the order of scores and the last digits of boxes.

``tensorrt``: activations symmetric in int8 with zero point 0, weights per channel in 8 bits, biases left in fp32, each
pair explicit, weights' pairs too. Pairs stand at the inputs of convolutions and matrix products alone: TensorRT fuses
bias, Relu and the addition that follow, and a pair in between would stop it. The last convolutions are no exception, as
what they give is not rounded. Where an Add's shortcut is the input of a
quantised convolution, it reads the quantised form, so that the fused convolution reads and writes bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from .. import __version__
from ..bundle.manifest import Target
from ..core.errors import MissingDependencyError, TemperError
from .calibrate import Ranges
from .graph import NETWORK, checked, say_precision, sort_nodes
from .quiet import explained
from .tail import TAIL

Flavour = Literal["cpu", "tensorrt"]
#: Which variants' targets a flavour is for, and how a manifest calls what it does.
ACTIVATIONS: dict[Flavour, Literal["u8 asymmetric", "s8 symmetric"]] = {
    "cpu": "u8 asymmetric",
    "tensorrt": "s8 symmetric",
}
WEIGHT_BITS: dict[Flavour, Literal[7, 8]] = {"cpu": 7, "tensorrt": 8}
TARGETS: dict[Flavour, Target] = {"cpu": "cpu", "tensorrt": "tensorrt"}

#: The operators whose work is counted in multiplications.
HEAVY = ("Conv", "MatMul")
#: Operators inside the pairs, by flavour; the others of a network stay in floating point.
QUANTISED_OPERATORS: dict[Flavour, tuple[str, ...]] = {
    "cpu": (*HEAVY, "Add", "Relu", "MaxPool", "Resize", "Concat"),
    "tensorrt": HEAVY,
}
#: What may stand between the last convolutions and the scores where these become int8.
_SCORE_WAY = ("Sigmoid", "Concat", "Reshape", "Transpose")
#: So much below the floor's logit, in its own unit, the range of logits ends: rounding must lift nothing over it. And
#: so much above what was seen: the surest detections must not be cut to one score.
_BELOW_FLOOR, _ABOVE_SEEN = 0.3, 1.0
_STANDARD_DOMAINS = ("", "ai.onnx")


def last_layers(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Where a graph's network ends.

    Returns:
        Names of the last convolutions or products on every way to the tail, and of the network's nodes after them.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    # where the tail takes over from the network
    waiting = [producers[name] for name in network_outputs(model)]
    last, after = set(), set()
    while waiting:
        node = waiting.pop()
        if node.name in after or node.name in last or not node.name.startswith(f"{NETWORK}/"):
            continue
        if node.op_type in HEAVY:
            last.add(node.name)
            continue
        after.add(node.name)
        waiting += [producers[name] for name in node.input if name in producers]
    return sorted(last), sorted(after)


def network_outputs(model: onnx.ModelProto) -> list[str]:
    """The tensors that the tail takes from the network, in the graph's order."""
    producers = {output: node for node in model.graph.node for output in node.output}
    taken = [
        name
        for node in model.graph.node
        if node.name.startswith(f"{TAIL}/")
        for name in node.input
        if name in producers and producers[name].name.startswith(f"{NETWORK}/")
    ]
    return list(dict.fromkeys(taken))


def score_layers(model: onnx.ModelProto) -> list[str]:
    """Those of the last layers from which only a sigmoid and changes of shape lead to the scores."""
    producers = {output: node for node in model.graph.node for output in node.output}
    waiting = [producers[network_outputs(model)[0]]]
    if waiting[0].op_type != "Sigmoid":
        return []
    found = []
    while waiting:
        node = waiting.pop()
        if node.op_type in HEAVY:
            found.append(node.name)
        elif node.op_type in _SCORE_WAY:
            # a constant shape has no producer
            waiting += [producers[name] for name in node.input if name in producers]
        else:
            return []
    return sorted(found)


def cut_scores(model: onnx.ModelProto, ranges: Ranges, score_floor: float) -> Ranges:
    """The ranges with those of the scores' logits cut off just below the score floor."""
    layers = set(score_layers(model))
    least = float(np.log(score_floor / (1 - score_floor))) - _BELOW_FLOOR if 0 < score_floor < 1 else -np.inf
    outputs = [node.output[0] for node in model.graph.node if node.name in layers]
    cut = {name: (max(ranges[name][0], least), max(ranges[name][1] + _ABOVE_SEEN, 0.0)) for name in outputs}
    return ranges | cut


def quantisable(model: onnx.ModelProto, flavour: Flavour) -> list[str]:
    """The convolutions and matrix products of a graph that may become int8, in the graph's order.

    Raises:
        TemperError: if there are none.
    """
    inside = _nodes(model, flavour, ())
    names = [node.name for node in model.graph.node if node.name in set(inside) and node.op_type in HEAVY]
    if not names:
        raise TemperError("The network has no convolution or matrix product that could be quantised to int8.")
    return names


def activations(model: onnx.ModelProto) -> list[str]:
    """The float tensors whose ranges quantising a graph needs, for both flavours."""
    held = {tensor.name for tensor in model.graph.initializer}
    inside = {*_nodes(model, "cpu", ()), *_nodes(model, "tensorrt", ())}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    floats = {value.name for value in inferred if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [name for node in model.graph.node if node.name in inside for name in (*node.input, *node.output)]
    return [name for name in dict.fromkeys(names) if name in floats and name not in held]


def quantize(
    model: onnx.ModelProto, ranges: Ranges, flavour: Flavour, kept_float: Collection[str] = ()
) -> onnx.ModelProto:
    """The int8 form of a graph.

    Args:
        model: an fp32 graph made by ``build_graph``; it is not changed.
        ranges: of all its :func:`activations`.
        flavour: what it is for.
        kept_float: names of convolutions and matrix products to leave in floating point.

    Returns:
        A checked model in standard operators.

    Raises:
        MissingDependencyError: if ONNX Runtime's quantisation tools do not load.
        TemperError: if ONNX Runtime cannot quantise the graph.
    """
    if set(quantisable(model, flavour)) <= set(kept_float):
        raise ValueError("everything is left in floating point")
    with explained("ONNX Runtime could not quantise the graph", "int8"):
        quantised = _quantize(model, ranges, flavour, _nodes(model, flavour, kept_float))
    if flavour == "tensorrt":
        _quantise_shortcuts(quantised)
    return _tidied(quantised, model)


def _nodes(model: onnx.ModelProto, flavour: Flavour, kept_float: Collection[str]) -> list[str]:
    """The nodes of a graph's network inside the pairs."""
    last, after = last_layers(model)
    rounded_last = set(last) - set(score_layers(model)) if flavour == "cpu" else set()
    outside = {*rounded_last, *after, *kept_float}
    return [
        node.name
        for node in model.graph.node
        if node.name.startswith(f"{NETWORK}/")
        and node.op_type in QUANTISED_OPERATORS[flavour]
        and node.name not in outside
    ]


def _quantize(model: onnx.ModelProto, ranges: Ranges, flavour: Flavour, nodes: list[str]) -> onnx.ModelProto:
    try:
        from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
        from onnxruntime.quantization.calibrate import TensorsData
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime's quantisation tools do not load here ({error}). "
            "Install them with 'pip install onnxruntime onnx'."
        ) from error
    limits: Any = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    symmetric: dict[str, Any] = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "AddQDQPairToWeight": True,
        "OpTypesToExcludeOutputQuantization": list(HEAVY),
    }
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=WEIGHT_BITS[flavour] == 7,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8 if flavour == "cpu" else QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTISED_OPERATORS[flavour]),
        extra_options=symmetric if flavour == "tensorrt" else {},
    )
    quantizer.quantize_model()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def _quantise_shortcuts(model: onnx.ModelProto) -> None:
    """Let every Add whose input has a pair already, for the convolution beside it, read what comes out of the pair."""
    readers = {node.input[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    pairs = {
        node.input[0]: readers[node.output[0]].output[0]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.output[0] in readers
    }
    for node in model.graph.node:
        if node.op_type == "Add" and node.name.startswith(f"{NETWORK}/"):
            held = [name for name in node.input if name in pairs]
            if len(held) == 1:
                node.input[:] = [pairs.get(name, name) for name in node.input]


def _tidied(quantised: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The quantised model with the original's description, and nothing outside standard ONNX."""
    foreign = {node.domain for node in quantised.graph.node} - set(_STANDARD_DOMAINS)
    if foreign:
        raise TemperError(f"Quantising brought in operators outside standard ONNX: {', '.join(sorted(foreign))}.")
    del quantised.opset_import[:]
    quantised.opset_import.extend(original.opset_import)
    del quantised.graph.value_info[:]
    del quantised.metadata_props[:]
    helper.set_model_props(quantised, {entry.key: entry.value for entry in original.metadata_props})
    say_precision(quantised, "int8")
    quantised.graph.name = original.graph.name
    quantised.producer_name, quantised.producer_version = "temper", __version__
    quantised.ir_version = original.ir_version
    sort_nodes(quantised.graph)
    return checked(quantised)
