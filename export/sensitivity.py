"""Which layers cost most in int8: each quantised alone, and what that does to the network's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .calibrate import Ranges
from .evaluate import Progress, no_progress
from .quantize import Flavour, network_outputs, quantisable, quantize


def layer_noise(
    model: onnx.ModelProto,
    ranges: Ranges,
    flavour: Flavour,
    images: NDArray[np.uint8],
    progress: Progress = no_progress,
) -> dict[str, float]:
    """The noise that every layer brings when it alone is int8.

    Args:
        model: the fp32 graph.
        ranges: of its activations.
        flavour: of int8.
        images: a few pictures, uint8 [B, H, W] or [B, H, W, 3].
        progress: told of every layer.

    Returns:
        For every convolution and matrix product that may become int8 the power of its noise in the network's outputs
        over the power of the outputs (the inverse of the SQNR), summed over the outputs. What a place says counts as
        much as its best score, as places without a score are never told. Most noise first.
    """
    outputs = network_outputs(model)
    exact = _run(model, outputs, images)
    layers = quantisable(model, flavour)
    found = {}
    for done, layer in enumerate(layers, start=1):
        alone = quantize(model, ranges, flavour, [other for other in layers if other != layer])
        found[layer] = _noise(exact, _run(alone, outputs, images))
        progress(done, len(layers))
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def _run(model: onnx.ModelProto, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    import onnxruntime

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session: Any = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answers: list[NDArray[np.float32]] = session.run(list(outputs), {"image": images})
    return answers


def _noise(exact: Sequence[NDArray[np.float32]], rounded: Sequence[NDArray[np.float32]]) -> float:
    """Noise over signal, each place weighted by its best score; arrays [B, A, n], the scores first."""
    weights = exact[0].max(axis=-1, keepdims=True).astype(np.float64)
    total = 0.0
    for true, got in zip(exact, rounded, strict=True):
        signal = float((weights * true.astype(np.float64) ** 2).sum())
        noise = float((weights * (true.astype(np.float64) - got) ** 2).sum())
        total += noise / signal if signal else 0.0
    return total
