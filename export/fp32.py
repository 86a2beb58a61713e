"""The fp32 graph of a detector: traced, with picture input and detections around it, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import write_bytes
from ..detection.decode import DecodeSettings
from .graph import Channels, build_graph
from .trace import trace_network

if TYPE_CHECKING:
    from ..distill.detectors.base import Detector
    from ..distill.detectors.normalise import Normalisation
    from ..distill.recipe_sizes import GraphSize


def write_fp32(
    detector: Detector,
    size: GraphSize,
    channels: Channels,
    normalisation: Normalisation,
    settings: DecodeSettings,
    labels: Sequence[str],
    target: Path,
    name: str = "temper",
) -> Path:
    """Write a detector's fp32 graph; the same detector and arguments give the same names in it.

    Args:
        detector: with its weights.
        size: of the graph's picture.
        channels: ``"grey"`` or ``"rgb"``.
        normalisation: what the network was trained on.
        settings: thresholds and limits.
        labels: class names.
        target: the file, in a folder that may hold what the libraries write on the way.
        name: of the graph.

    Returns:
        ``target``.

    Raises:
        ValueError: if the graph shall take any size and the detector cannot.
        MissingDependencyError: if paddle2onnx is not installed.
        TemperError: if the detector cannot be written as ONNX.
    """
    cells = detector.anchor_cells() if size.any_size else None
    if size.any_size and cells is None:
        raise ValueError(f"a {type(detector).__name__} is bound to the size it is exported at")
    model = build_graph(
        trace_network(detector, None if size.any_size else size.padded, target.parent),
        detector.box_coding(size.padded),
        len(labels),
        size.pixels,
        channels,
        normalisation,
        settings,
        labels,
        name=name,
        padded=size.padded,
        cells=cells,
    )
    write_bytes(target, model.SerializeToString())
    return target
