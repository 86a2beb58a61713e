"""A thin layer over ``onnx.helper``, so that a graph reads as the computation it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

#: The operator set of every graph Temper writes; what paddle2onnx was seen to write well.
OPSET = 17
#: Begins the names of a traced network's tensors that are what backbone and neck give.
FEATURES = "features"


class GraphBuilder:
    """Collects nodes and constants under one prefix.

    Args:
        prefix: begins the name of every node and tensor made here.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant and give its tensor name."""
        full = f"{self.prefix}/{name}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), full))
        return full

    def op(self, kind: str, name: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and give that output's tensor name (``output``, or one made of ``name``)."""
        full = f"{self.prefix}/{name}"
        result = output or f"{full}:0"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name=full, **attributes))
        return result

    def op2(self, kind: str, name: str, *inputs: str, **attributes: Any) -> tuple[str, str]:
        """Add a node with two outputs."""
        full = f"{self.prefix}/{name}"
        outputs = f"{full}:0", f"{full}:1"
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name=full, **attributes))
        return outputs


def int64(*values: int) -> NDArray[np.int64]:
    """A one-dimensional int64 constant, as axes, shapes and starts are written."""
    return np.array(values, np.int64)
