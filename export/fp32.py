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


def write_fp32(
    detector: Detector,
    size: tuple[int, int],
    channels: Channels,
    normalisation: Normalisation,
    settings: DecodeSettings,
    labels: Sequence[str],
    target: Path,
) -> Path:
    """Write a detector's fp32 graph; the same detector and arguments give the same names in it.

    Args:
        detector: with its weights.
        size: width and height of the graph's picture in pixels.
        channels: ``"grey"`` or ``"rgb"``.
        normalisation: what the network was trained on.
        settings: thresholds and limits.
        labels: class names.
        target: the file, in a folder that may hold what the libraries write on the way.

    Returns:
        ``target``.

    Raises:
        MissingDependencyError: if paddle2onnx is not installed.
        TemperError: if the detector cannot be written as ONNX.
    """
    model = build_graph(
        trace_network(detector, size, target.parent),
        detector.box_coding(size),
        len(labels),
        size,
        channels,
        normalisation,
        settings,
        labels,
    )
    write_bytes(target, model.SerializeToString())
    return target
