"""The first convolution as integers like it best: bytes that stay what they are, in four channels at half the size.

The mean as a whole number
    Bytes less a mean of 114.495 are no multiples of one step, so that in int8 every pixel was half a grey level off,
    all in one direction: the largest error of a whole small network. Less 114 they are the bytes themselves; the rest
    of the mean goes into the bias. Only where a convolution pads is the padding then off by that rest.
Four channels at half the size
    ONNX Runtime's integer convolutions read several channels at a time. A grey picture has one, and its first
    convolution took a tenth of the time of a small network. SpaceToDepth moves every 2 x 2 pixels into channels, and
    the convolution of stride 2 becomes one of stride 1 over them with the same numbers, in a third of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .calibrate import Ranges
from .graph import INPUT, NETWORK

_NAME = f"{NETWORK}/stem/space_to_depth"


def for_processors(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Ranges]:
    """A copy of a graph with its first convolution as above, as far as it can be.

    Args:
        model: an fp32 graph made by ``build_graph``.

    Returns:
        The graph, and the ranges that its pixels must have, whatever was seen of them.
    """
    copy, ranges = whole_mean(model)
    return space_to_depth_stem(copy), ranges | {f"{_NAME}:0": limits for limits in ranges.values()}


def whole_mean(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Ranges]:
    """A copy that subtracts a whole number from the pixels and the rest of the mean in the first convolution's bias.

    Returns:
        The graph, and the range of the pixels in it. The graph itself and no range where channels have means of their
        own, or no convolution alone reads them.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    held = {tensor.name: tensor for tensor in copy.graph.initializer}
    subtract = next((node for node in copy.graph.node if node.name == f"{INPUT}/subtract_mean"), None)
    if subtract is None:
        return model, {}
    pixels = subtract.output[0]
    readers = [node for node in copy.graph.node if pixels in node.input]
    if [node.op_type for node in readers] == ["Pad"]:  # with zeros, which are the mean
        pixels = readers[0].output[0]
        readers = [node for node in copy.graph.node if pixels in node.input]
    mean = numpy_helper.to_array(held[subtract.input[1]])
    alone = len(readers) == 1 and readers[0].op_type == "Conv" and readers[0].input[1] in held
    if not alone or len(np.unique(mean)) != 1:
        return model, {}
    first = readers[0]
    whole, rest = np.round(mean.flat[0]), mean.flat[0] - np.round(mean.flat[0])
    held[subtract.input[1]].CopyFrom(numpy_helper.from_array(np.full_like(mean, whole), subtract.input[1]))
    weights = numpy_helper.to_array(held[first.input[1]]).astype(np.float64)
    bias = numpy_helper.to_array(held[first.input[2]]) if len(first.input) > 2 else np.zeros(len(weights))
    name = f"{first.name}.bias_with_mean"
    moved = (bias - rest * weights.sum(axis=(1, 2, 3))).astype(np.float32)
    copy.graph.initializer.append(numpy_helper.from_array(moved, name))
    unshared = len(first.input) > 2 and sum(first.input[2] in node.input for node in copy.graph.node) == 1
    if unshared:
        copy.graph.initializer.remove(held[first.input[2]])
    first.input[:] = [*first.input[:2], name]
    return copy, {pixels: (float(-whole), float(255 - whole))}


def space_to_depth_stem(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose first convolution reads 2 x 2 pixels as channels, where it can; else the graph itself.

    Args:
        model: an fp32 graph made by ``build_graph``.

    Returns:
        A graph of the same numbers, up to rounding. It can if the first convolution alone reads the normalised
        picture, has stride 2 and equal padding on both axes, and the picture's width and height are even.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    first = next((node for node in copy.graph.node if node.op_type == "Conv"), None)
    held = {tensor.name: tensor for tensor in copy.graph.initializer}
    if first is None or not _suits(copy, first, held):
        return model
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in first.attribute}
    pad = attributes["pads"][0]
    weights = numpy_helper.to_array(held[first.input[1]])
    front = pad % 2
    cells = (weights.shape[2] + front + 1) // 2
    name = f"{first.input[1]}/by_cells"
    copy.graph.initializer.append(numpy_helper.from_array(_by_cells(weights, front, cells), name))
    copy.graph.initializer.remove(held[first.input[1]])
    before = (pad + front) // 2
    # as many places as before: 2 * pad - kernel + size over 2, in cells
    after = (2 * pad - weights.shape[2]) // 2 + cells - before
    pixels = first.input[0]
    moved = helper.make_node("SpaceToDepth", [pixels], [f"{_NAME}:0"], name=_NAME, blocksize=2)
    del first.attribute[:]
    first.attribute.extend(
        helper.make_attribute(key, value)
        for key, value in {
            "kernel_shape": [cells, cells],
            "strides": [1, 1],
            "pads": [before, before, after, after],
        }.items()
    )
    first.input[0], first.input[1] = f"{_NAME}:0", name
    copy.graph.node.insert(list(copy.graph.node).index(first), moved)
    return copy


def _suits(model: onnx.ModelProto, first: onnx.NodeProto, held: dict[str, onnx.TensorProto]) -> bool:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in first.attribute}
    readers = [node for node in model.graph.node if first.input[0] in node.input]
    shared = [node for node in model.graph.node if first.input[1] in node.input]
    pads = list(values.get("pads", ()))
    if (
        len(readers) != 1
        or len(shared) != 1
        or first.input[1] not in held
        or not _reads_even_pixels(model, first.input[0])
    ):
        return False
    kernel = list(held[first.input[1]].dims)[2:]
    plain = values.get("group", 1) == 1 and list(values.get("dilations", [1, 1])) == [1, 1]
    even = len(pads) == 4 and len(set(pads)) == 1 and kernel[0] == kernel[1] and kernel[0] <= 2 * pads[0] + 1
    return plain and even and list(values.get("strides", ())) == [2, 2]


def _reads_even_pixels(model: onnx.ModelProto, name: str) -> bool:
    """Whether a tensor is the normalised picture, which the nodes before the network make, with even sides."""
    made = next((node for node in model.graph.node if name in node.output), None)
    size = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]]
    # padding fills up to a multiple of the network's largest halving
    even = made is not None and (made.op_type == "Pad" or all(side and side % 2 == 0 for side in size))
    return made is not None and made.name.startswith(f"{INPUT}/") and even


def _by_cells(weights: NDArray[np.float32], front: int, cells: int) -> NDArray[Any]:
    """Weights [out, in, k, k] as [out, 4 * in, cells, cells], in the order of SpaceToDepth's channels."""
    outputs, inputs, kernel, _ = weights.shape
    whole = np.zeros((outputs, inputs, 2 * cells, 2 * cells), np.float32)
    whole[:, :, front : front + kernel, front : front + kernel] = weights
    parts = whole.reshape(outputs, inputs, cells, 2, cells, 2)
    return np.ascontiguousarray(parts.transpose(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * inputs, cells, cells))
