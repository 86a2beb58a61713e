"""Small detectors of every kind with their traced fp32 and quantised graphs, for tests of what proves an export."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from lively_retinanet import THIN, lively_detector
from onnx import numpy_helper
from point_detectors import SMALL, lively
from temper.deploy.runtimes.load import open_graph
from temper.detection.decode import DecodeSettings
from temper.detection.images import ResizeRule
from temper.distill.detectors.normalise import Normalisation, normalisation_for
from temper.distill.recipe_detectors import RetinaNetSection
from temper.distill.recipe_sizes import GraphSize
from toy_data import toy_data

#: Not square, and no multiple of PicoDet's largest stride.
SIZE = (96, 64)
KINDS = ("retinanet", "picodet", "ppyoloe")


@dataclass(frozen=True, eq=False)
class Traced:
    """A detector in Paddle, its pictures, and its graphs.

    Attributes:
        kind: of the detector.
        detector: in evaluation mode.
        normalisation: of its pictures.
        settings: how it decodes.
        store: twelve pictures of squares.
        fp32: the traced graph.
        int8: the same, quantised on these pictures.
    """

    kind: str
    detector: Any
    normalisation: Normalisation
    settings: DecodeSettings
    store: Any
    fp32: Path
    int8: Path


def traced(kind: str, folder: Path, channels: Literal["grey", "rgb"] = "grey") -> Traced:
    """Build, trace and quantise a small detector of a kind."""
    from temper.distill.training.loader import PictureStore
    from temper.export.calibrate import measure_ranges
    from temper.export.fp32 import write_fp32
    from temper.export.quantize import activations, cut_scores, quantize

    data = toy_data(folder / "pictures", 12, 2)
    if kind == "retinanet":
        section: Any = RetinaNetSection(**THIN, head_norm="level_batch")
        detector = lively_detector(section, data.labels)[0]
        detector.eval()
    else:
        section = SMALL[kind]
        detector = lively(section, data.labels)
    normalisation, settings = normalisation_for(channels, section.pixel_scale), DecodeSettings()
    store = PictureStore(data, ResizeRule(*SIZE), channels)
    fp32 = write_fp32(detector, GraphSize(*SIZE), channels, normalisation, settings, data.labels, folder / "fp32.onnx")
    int8 = folder / "int8.onnx"
    model = onnx.load(str(fp32))
    given = [partial(store.image, row) for row in range(8)]
    ranges = measure_ranges(model, activations(model), given, ("min_max",))["min_max"]
    onnx.save(quantize(model, cut_scores(model, ranges, settings.score_floor), "cpu"), str(int8))
    return Traced(kind, detector, normalisation, settings, store, fp32, int8)


def corrupted(graph: Path, node_name: str, target: Path, factor: float = 2.0) -> Path:
    """A copy of a graph in which one initialiser of a node, its weights, is another."""
    model = onnx.load(str(graph))
    producers = {name: node for node in model.graph.node for name in node.output}
    node = next(node for node in model.graph.node if node.name == node_name)
    name = node.input[1]
    while name in producers:  # a quantised graph's weights come out of a DequantizeLinear
        name = producers[name].input[0]
    held = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    weights = numpy_helper.to_array(held).copy()
    half = len(weights) // 2 or 1
    weights[:half] = (weights[:half] * factor).astype(weights.dtype)
    held.CopyFrom(numpy_helper.from_array(weights, name))
    target.write_bytes(model.SerializeToString())
    return target


def convolutions(graph: Path) -> list[str]:
    """The names of a graph's convolutions in the order of the computation."""
    return [node.name for node in onnx.load(str(graph)).graph.node if node.op_type == "Conv"]


def sharing_weights(graph: Path, node_name: str) -> list[str]:
    """The nodes of an fp32 graph that read the same weights as this one: a head's, for each of its levels."""
    nodes = onnx.load(str(graph)).graph.node
    weights = next(node.input[1] for node in nodes if node.name == node_name)
    return [node.name for node in nodes if weights in node.input]


def answers(runtime: str, graph: Path, images: np.ndarray, precision: Any = "fp32") -> Any:
    """What a runtime says of pictures in one call."""
    loaded = open_graph(runtime, graph, precision)
    try:
        return loaded.infer(images)
    finally:
        loaded.close()
