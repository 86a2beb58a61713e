"""From a floating-point graph to fp16: the network's arithmetic in half precision, what would suffer left in fp32.

The conversion is ONNX Runtime's. Weights and features of a network fit half precision; these do not, and stay:

- What comes before the network: pixels less their mean are whole numbers up to 255, and nothing is won on them.
- What comes after the network's last convolutions, and the tail: sigmoids whose small differences make the order of
  detections, exponentials of box sizes, coordinates (half precision knows no quarter of a pixel from 512 on), NMS.
- Operators that sum over many numbers or leave the range: norms that are not folded, softmax, powers, roots.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from ..core.errors import MissingDependencyError, TemperError
from .graph import NETWORK, checked
from .quantize import last_layers
from .quiet import last_line, one_line, quiet

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
    kept = _kept(model)
    outside = [node.name for node in model.graph.node if not node.name.startswith(f"{NETWORK}/")]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime's converter to fp16 does not load here ({error}). "
            "Install it with 'pip install onnxruntime onnx'."
        ) from error
    said = None
    try:
        with quiet() as said:
            half: onnx.ModelProto = convert_float_to_float16(
                copy, keep_io_types=True, op_block_list=[], node_block_list=[*outside, *kept]
            )
    except (TemperError, MemoryError):
        raise
    except Exception as error:  # whatever the converter raises
        reason = last_line(said()) if said is not None else ""
        raise TemperError(
            f"The graph could not be converted to fp16: {type(error).__name__}: {one_line(error)} "
            f"(last words: {reason}). Leave fp16 out of the recipe's export.precisions to go on without it."
        ) from error
    del half.graph.value_info[:]
    _name_casts(half)
    return checked(half), kept


def _kept(model: onnx.ModelProto) -> list[str]:
    """The network's nodes that stay in fp32, in the graph's order."""
    _, after = last_layers(model)
    outside = set(after)
    return [
        node.name
        for node in model.graph.node
        if node.name.startswith(f"{NETWORK}/") and (node.name in outside or node.op_type in FRAGILE)
    ]


def _name_casts(model: onnx.ModelProto) -> None:
    """Give the casts that the converter put in names that say where they stand."""
    known: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Cast" and not node.name.startswith((NETWORK, "input", "tail")):
            base = f"cast/{Path(node.input[0]).name}" if not node.input[0] else f"cast/{node.input[0]}"
            name, number = base, 0
            while name in known:
                number += 1
                name = f"{base}_{number}"
            node.name = name
        known.add(node.name)
