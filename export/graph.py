"""The one graph: a picture's bytes in, packed detections out, everything between in standard ONNX operators."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import __version__
from ..core.errors import TemperError
from ..detection.decode import BoxCoding, DecodeSettings
from ..distill.detectors.normalise import Normalisation
from .anchors_in_graph import Cells, padded_side, picture_sides
from .names import name_network
from .onnx_build import OPSET, GraphBuilder, int64
from .tail import add_tail

Channels = Literal["grey", "rgb"]

#: Prefixes of the nodes before the network and in it.
INPUT = "input"
NETWORK = "network"
#: Names of the graph's outputs, in order.
OUTPUTS = ("boxes", "scores", "labels", "count")


def build_graph(
    network: onnx.ModelProto,
    coding: BoxCoding,
    classes: int,
    size: tuple[int, int],
    channels: Channels,
    normalisation: Normalisation,
    settings: DecodeSettings,
    labels: Sequence[str],
    *,
    name: str = "",
    padded: tuple[int, int] | None = None,
    cells: Cells | None = None,
) -> onnx.ModelProto:
    """Put cast, normalisation, network, decoding, NMS and packing into one graph.

    Args:
        network: normalised pictures float32 [B, 3, H, W] -> scores [B, A, classes] and regressions [B, A, 4], as
            ``trace_network`` writes it; it is not changed.
        coding: what the regressions mean.
        classes: how many the scores tell apart.
        size: width and height of the picture in pixels.
        channels: ``"grey"`` makes a graph of one channel, ``"rgb"`` of three.
        normalisation: what the network was trained on.
        settings: thresholds and limits of the tail.
        labels: the classes' names, kept in the file's metadata.
        name: of the model, for the metadata.
        padded: width and height that the network was traced at, where the picture is smaller.
        cells: the anchors of a place: makes a graph that takes every size, of a network that does. ``size`` is then
            one of them.

    Returns:
        A checked model with the contract of ``docs/architecture.md``.

    Raises:
        ValueError: if the arguments do not agree with each other or the network.
        TemperError: if the result is not a valid graph.
    """
    if len(labels) != classes:
        raise ValueError(f"{len(labels)} labels for {classes} classes")
    network = _copy_as_network(network)
    if len(network.graph.input) != 1 or len(network.graph.output) != 2:
        raise ValueError("the network must have one input and two outputs")
    scores, regressions = (output.name for output in network.graph.output)
    before = _input_nodes(network, channels, normalisation, _Padding(size, padded, cells is not None))
    after = add_tail(scores, regressions, coding, classes, size, settings, cells)
    width, height = size if cells is None else ("width", "height")
    shape = ["batch", height, width] if channels == "grey" else ["batch", height, width, 3]
    rows = settings.max_detections
    graph = helper.make_graph(
        [*before.nodes, *network.graph.node, *after.nodes],
        "temper",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", rows, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", rows]),
            helper.make_tensor_value_info("labels", TensorProto.INT32, ["batch", rows]),
            helper.make_tensor_value_info("count", TensorProto.INT32, ["batch"]),
        ],
        [*before.initializers, *network.graph.initializer, *after.initializers],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="temper", producer_version=__version__
    )
    model.ir_version = 8  # what opset 17 came with, so that older runtimes read the file
    helper.set_model_props(model, _metadata(name, labels, None if cells else size, channels, settings))
    return checked(model)


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, once ONNX's checker and shape inference have found nothing wrong with it.

    Raises:
        TemperError: with the first line of what they found.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise TemperError(f"The exported graph is not valid ONNX: {reason}. This is a fault of Temper's.") from error
    return model


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put every node behind the ones whose outputs it reads, the order otherwise kept; tools append.

    Raises:
        ValueError: if nodes read each other in a circle.
    """
    ready = {"", *(tensor.name for tensor in graph.initializer), *(value.name for value in graph.input)}
    order: list[onnx.NodeProto] = []
    waiting = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    while waiting:
        later = []
        for node in waiting:
            if ready.issuperset(node.input):
                order.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError(f"nothing makes what {later[0].name} reads before it")
        waiting = later
    del graph.node[:]
    graph.node.extend(order)


def _metadata(
    name: str, labels: Sequence[str], size: tuple[int, int] | None, channels: Channels, settings: DecodeSettings
) -> dict[str, str]:
    """What the file says of itself, should it ever be met without its bundle."""
    values: dict[str, Any] = {
        "labels": list(labels),
        "input": {"width": size[0] if size else None, "height": size[1] if size else None, "channels": channels},
        "decode": {
            "score_floor": settings.score_floor,
            "nms_iou": settings.nms_iou,
            "candidates": settings.candidates,
            "max_detections": settings.max_detections,
        },
    }
    texts = {f"temper.{key}": json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    plain = {"model": name, "precision": "fp32", "opset": str(OPSET), "version": __version__}
    return {**{f"temper.{key}": value for key, value in plain.items()}, **texts}


def say_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Let a model's metadata say which precision it has; gives the model."""
    texts = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    helper.set_model_props(model, {**texts, "temper.precision": precision})
    return model


def _copy_as_network(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose nodes and tensors carry plain names below ``network/``."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if set(versions) - {"", "ai.onnx"} or versions.get("", versions.get("ai.onnx")) != OPSET:
        raise ValueError(f"the network uses operator sets {versions}, not the standard {OPSET}")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    held = {tensor.name for tensor in graph.initializer}
    # some exporters list their constants as inputs too
    inputs = [value for value in graph.input if value.name not in held]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]
    name_network(graph, NETWORK)
    return copy


@dataclass(frozen=True)
class _Padding:
    """How a picture of ``size`` becomes one the network takes."""

    size: tuple[int, int]
    padded: tuple[int, int] | None
    any_size: bool

    def apply(self, builder: GraphBuilder, values: str) -> str:
        """Zeros, which are the mean, on the right and below, where they are needed."""
        if self.any_size:
            sides = picture_sides(builder)
            more = [
                builder.op("Sub", f"{name}_padding", padded_side(builder, side, name), side)
                for name, side in zip(("height", "width"), sides, strict=True)
            ]
            none = builder.constant("no_padding", int64(0, 0, 0, 0, 0, 0))
            return builder.op("Pad", "pad", values, builder.op("Concat", "padding", none, *more, axis=0))
        if self.padded in (None, self.size):
            return values
        right, below = (wide - narrow for wide, narrow in zip(self.padded, self.size, strict=True))
        return builder.op("Pad", "pad", values, builder.constant("padding", int64(0, 0, 0, 0, 0, 0, below, right)))


def _input_nodes(
    network: onnx.ModelProto, channels: Channels, normalisation: Normalisation, padding: _Padding
) -> GraphBuilder:
    """Nodes from ``image`` to the network's input, folding what can be folded into its first convolution.

    Dividing by std is folded: zero stays zero, so the padding at the borders is right. Subtracting the mean is not: it
    happens before the convolution pads with zeros, and stays a node. With equal figures in all channels a grey picture
    meets three equal channels, so the convolution's weights are summed over them and it reads one.
    """
    builder = GraphBuilder(INPUT)
    (source,) = network.graph.input
    first = _first_convolution(network, source.name)
    equal = len(set(normalisation.mean)) == 1 and len(set(normalisation.std)) == 1
    mean = np.array(normalisation.mean, np.float32).reshape(1, 3, 1, 1)
    std = np.array(normalisation.std, np.float32).reshape(1, 3, 1, 1)
    # first of all: TensorRT lets bytes into nothing but a cast
    values = builder.op("Cast", "to_float", "image", to=TensorProto.FLOAT)
    if channels == "rgb":
        values = builder.op("Transpose", "to_channels_first", values, perm=[0, 3, 1, 2])
    else:
        values = builder.op("Unsqueeze", "to_one_channel", values, builder.constant("channel_axis", int64(1)))
        if equal:
            mean = mean[:, :1]
        else:
            values = builder.op("Concat", "to_three_channels", values, values, values, axis=1)
    folds_channels = channels == "grey" and equal and first is not None
    centred = padding.apply(builder, builder.op("Sub", "subtract_mean", values, builder.constant("mean", mean)))
    if first is not None:
        _fold_first_convolution(network, first, std, sum_channels=folds_channels)
        _rename_input(network, source.name, centred)
        return builder
    scaled = builder.op("Div", "divide_by_std", centred, builder.constant("std", std[:, : mean.shape[1]]))
    if channels == "grey" and equal:
        scaled = builder.op("Concat", "to_three_channels", scaled, scaled, scaled, axis=1)
    _rename_input(network, source.name, scaled)
    return builder


def _first_convolution(network: onnx.ModelProto, source: str) -> onnx.NodeProto | None:
    """The convolution that alone reads the input, all its channels at once, with constant weights; else None."""
    readers = [node for node in network.graph.node if source in node.input]
    held = {tensor.name for tensor in network.graph.initializer}
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].input[1] not in held:
        return None
    group = next((a.i for a in readers[0].attribute if a.name == "group"), 1)
    return readers[0] if group == 1 else None


def _fold_first_convolution(
    network: onnx.ModelProto, node: onnx.NodeProto, std: np.ndarray[Any, Any], *, sum_channels: bool
) -> None:
    """Give a convolution weights of its own, divided by ``std`` and, if asked, summed over the channels."""
    held = {tensor.name: tensor for tensor in network.graph.initializer}
    # in double precision, so that folding itself rounds once
    weights = numpy_helper.to_array(held[node.input[1]]).astype(np.float64) / std.astype(np.float64)
    if sum_channels:
        weights = weights.sum(axis=1, keepdims=True)
    name = f"{node.input[1]}/folded"
    network.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), name))
    others = [other for other in network.graph.node if other is not node]
    if not any(node.input[1] in other.input for other in others):
        network.graph.initializer.remove(held[node.input[1]])
    node.input[1] = name


def _rename_input(network: onnx.ModelProto, old: str, new: str) -> None:
    for node in network.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
