"""Names that a person can read in Netron: a network's nodes are called after the layers they come from.

What has weights is known by them: paddle2onnx keeps the names of parameters, and the detector knows where each belongs.
What has none is called after what it reads: ``backbone.res2.0.branch2a/relu``, or, of several layers, after what their
names have in common: ``backbone.res2.0/add``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

import onnx

from .onnx_build import FEATURES

#: Begins the name of a tensor that a layer gives, between tracing and naming.
_LAYER = "layer:"


def mark_layers(network: onnx.ModelProto, layers: Mapping[str, str]) -> None:
    """Call the outputs of a traced network's nodes after the layers whose parameters they read.

    Simplifying folds parameters into each other and forgets where they came from; what a node gives is known after it.

    Args:
        network: as paddle2onnx writes it; it is changed.
        layers: names of parameters to paths of layers.
    """
    renamed: dict[str, str] = {}
    counts: dict[str, int] = {}
    final = {output.name for output in network.graph.output}
    for node in network.graph.node:
        path = next((layers[name] for name in node.input if name in layers), None)
        if path is not None and node.op_type not in ("Constant", "Identity") and node.output[0] not in final:
            number = counts[path] = counts.get(path, -1) + 1
            renamed[node.output[0]] = f"{_LAYER}{path}#{number}"
    for node in network.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        if node.output and node.output[0].startswith(_LAYER):
            node.name = node.output[0]
    del network.graph.value_info[:]


def layer_path(parameter: str) -> str:
    """The layer that a parameter belongs to: ``backbone.conv1.conv`` of ``backbone.conv1.conv.weight``."""
    parts = parameter.split(".")[:-1]
    # the convolution and the norm inside one block are folded into each other
    return ".".join(parts[:-1] if parts[-1:] and parts[-1] in ("conv", "norm", "bn", "_conv", "_batch_norm") else parts)


def name_network(graph: onnx.GraphProto, prefix: str) -> None:
    """Give every node, tensor and weight of a network a name below ``prefix``, unique, and readable where it can be.

    Args:
        graph: in the order of its computation; it is changed.
        prefix: of all names.
    """
    paths: dict[str, str] = {}
    taken: set[str] = set()
    names = {value.name: f"{prefix}/{value.name}" for value in graph.input}
    held = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        path = _own_path(node) or _common([paths[name] for name in node.input if name in paths])
        kind = node.op_type.lower()
        node.name = _free(f"{prefix}/{path}/{kind}" if path else f"{prefix}/{kind}", taken)
        node.doc_string = ""
        for index, output in enumerate(node.output):
            if output:
                paths[output] = path
                # what backbone and neck give keeps its name
                names[output] = f"{prefix}/{output}" if output.startswith(f"{FEATURES}/") else f"{node.name}:{index}"
        for name, role in zip(node.input, _roles(node), strict=True):
            if name in held and name not in names:
                names[name] = _free(f"{node.name}.{role}", taken)
    for tensor in graph.initializer:
        names.setdefault(tensor.name, _free(f"{prefix}/{tensor.name}", taken))
    for node in graph.node:
        node.input[:] = [names[name] if name else "" for name in node.input]
        node.output[:] = [names[name] if name else "" for name in node.output]
    for named in (*graph.initializer, *graph.input, *graph.output):
        named.name = names[named.name]


def _own_path(node: onnx.NodeProto) -> str:
    for name in (node.name, *node.output):
        if name.startswith(_LAYER):
            return name.removeprefix(_LAYER).split("#")[0]
    return ""


def _common(paths: list[str]) -> str:
    """What paths have in common, in whole parts; nothing of nothing."""
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*(path.split(".") for path in paths), strict=False))
    return ".".join(parts[0] for parts in same)


def _roles(node: onnx.NodeProto) -> list[str]:
    """What a node's inputs are to it, for the names of weights."""
    known = {"Conv": ("input", "weight", "bias"), "MatMul": ("weight", "weight"), "Reshape": ("input", "shape")}
    roles = known.get(node.op_type, ())
    return [roles[i] if i < len(roles) else f"constant{i}" for i in range(len(node.input))]


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name
