"""From a floating-point graph to fp16: the network's arithmetic in half precision, what would suffer left in fp32.

The conversion is ONNX Runtime's. Weights and features of a network fit half precision; these do not, and stay:

- What comes before the network: pixels less their mean are whole numbers up to 255, and nothing is won on them.
- What comes after the network's last convolutions, and the tail: sigmoids whose small differences make the order of
  detections, exponentials of box sizes, coordinates (half precision knows no quarter of a pixel from 512 on), NMS.
- Operators that sum over many numbers or leave the range: norms that are not folded, softmax, powers, roots.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import helper

from ..core.errors import MissingDependencyError
from .graph import NETWORK, checked, say_precision, sort_nodes
from .quantize import last_layers
from .quiet import explained

#: Operators that stay in fp32 wherever they stand.
FRAGILE = (
    "Exp",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "Pow",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Softmax",
    "Sqrt",
)


def convert_fp16(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The fp16 form of a graph.

    Args:
        model: an fp32 graph made by ``build_graph``; it is not changed.

    Returns:
        A checked model whose inputs and outputs are the contract's, and the names of the network's nodes that still
        compute in fp32.

    Raises:
        MissingDependencyError: if ONNX Runtime's converter does not load.
        TemperError: if it cannot convert the graph.
    """
    _, after = last_layers(model)
    # a part of its own: between two nodes that stay in fp32 the converter would go through fp16 and back
    part, inside = _part(model, set(after))
    fragile = [node.name for node in part.graph.node if node.op_type in FRAGILE]
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime's converter to fp16 does not load here ({error}). "
            "Install it with 'pip install onnxruntime onnx'."
        ) from error
    with explained("The graph could not be converted to fp16", "fp16"):
        half: onnx.ModelProto = convert_float_to_float16(
            part, keep_io_types=True, op_block_list=[], node_block_list=fragile
        )
    _name_casts(half.graph)
    kept = [n.name for n in model.graph.node if n.name in {*after, *fragile} and n.name.startswith(f"{NETWORK}/")]
    return _whole(model, half, inside), kept


def _part(model: onnx.ModelProto, after: Collection[str]) -> tuple[onnx.ModelProto, set[str]]:
    """The network up to its last convolutions as a model of its own, and the names of its nodes."""
    nodes = [node for node in model.graph.node if node.name.startswith(f"{NETWORK}/") and node.name not in after]
    inside = {node.name for node in nodes}
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input}
    given = {name for node in model.graph.node if node.name not in inside for name in node.output} & read
    wanted = {name for node in model.graph.node if node.name not in inside for name in node.input} & made
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    values = {value.name: value for value in inferred}
    graph = helper.make_graph(
        nodes,
        NETWORK,
        [values[name] for name in sorted(given)],
        [values[name] for name in sorted(wanted)],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import)
    part.ir_version = model.ir_version
    return part, inside


def _whole(model: onnx.ModelProto, half: onnx.ModelProto, inside: Collection[str]) -> onnx.ModelProto:
    """The graph with the converted part in place of the one it was made of."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    outside = [node for node in model.graph.node if node.name not in inside]
    del whole.graph.node[:], whole.graph.initializer[:], whole.graph.value_info[:]
    whole.graph.node.extend([*half.graph.node, *outside])
    read = {name for node in outside for name in node.input}
    whole.graph.initializer.extend(half.graph.initializer)
    known = {tensor.name for tensor in half.graph.initializer}
    whole.graph.initializer.extend(
        tensor for tensor in model.graph.initializer if tensor.name in read and tensor.name not in known
    )
    sort_nodes(whole.graph)
    return checked(say_precision(whole, "fp16"))


def _name_casts(graph: onnx.GraphProto) -> None:
    """Give the casts that the converter put in names that say where they stand."""
    counts: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Cast" and not node.name.startswith(f"{NETWORK}/"):
            base = f"{node.input[0].split(':')[0]}/cast"
            number = counts[base] = counts.get(base, -1) + 1
            node.name = f"{base}_{number}" if number else base
