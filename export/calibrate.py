"""The ranges of activations, measured on pictures: what int8's scales are made of.

One pass over the pictures serves every method: a histogram per activation, its smallest and its largest value. What a
method makes of a histogram is ONNX Runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..bundle.manifest import CalibrationMethod
from ..core.errors import MissingDependencyError, TemperError
from .evaluate import Progress, no_progress
from .quiet import explained

#: Names of tensors to the smallest and largest value that int8 shall tell apart.
Ranges = dict[str, tuple[float, float]]

METHODS: tuple[CalibrationMethod, ...] = ("min_max", "entropy", "percentile")
#: Share of an activation's values, in per cent, that ``percentile`` keeps inside its range.
PERCENTILE = 99.999
#: Bins of a histogram, and of the coarser one in which ``entropy`` looks for its threshold (it tries every width).
_BINS, _ENTROPY_BINS = 4096, 512
#: So many numbers of activations are held at once.
_MOST_NUMBERS = 1 << 25


def measure_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    images: Sequence[Callable[[], NDArray[np.uint8]]],
    methods: Sequence[CalibrationMethod],
    progress: Progress = no_progress,
) -> dict[CalibrationMethod, Ranges]:
    """Run pictures through a floating-point graph and choose every activation's range, by every method asked for.

    Args:
        model: an fp32 graph made by ``build_graph``.
        tensors: names of its float activations.
        images: what gives the pictures, uint8 [H, W] or [H, W, 3] at the graph's size, one after the other.
        methods: of :data:`METHODS`.
        progress: told of every picture.

    Returns:
        For every method the range of every tensor.

    Raises:
        MissingDependencyError: if ONNX Runtime's quantisation tools do not load.
        TemperError: if there are no pictures, or the graph does not run on them.
    """
    if not images:
        raise TemperError("Quantising to int8 needs pictures to measure ranges on, and the training split has none.")
    with explained("The ranges for int8 could not be measured", "int8"):
        collector = _collector()
        extremes: Ranges = {}
        session = _session(model, tensors)
        groups = _groups(model, tensors)
        for done, image in enumerate(images, start=1):
            picture = image()[np.newaxis]
            for group in groups:
                found = dict(zip(group, session.run(group, {"image": picture}), strict=True))
                _widen(extremes, found)
                if set(methods) - {"min_max"}:
                    collector.collect_value(found)
            progress(done, len(images))
        return {method: _ranges(method, extremes, collector) for method in methods}


def _collector() -> Any:
    try:
        from onnxruntime.quantization.calibrate import HistogramCollector
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime's quantisation tools do not load here ({error}). "
            "Install them with 'pip install onnxruntime onnx'."
        ) from error
    return HistogramCollector("percentile", False, _BINS, 128, PERCENTILE, "same")


def _session(model: onnx.ModelProto, tensors: Sequence[str]) -> Any:
    import onnxruntime

    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    known = {output.name for output in open_model.graph.output}
    open_model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(open_model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _groups(model: onnx.ModelProto, tensors: Sequence[str]) -> list[list[str]]:
    """The tensors in groups that are small enough to be held together."""
    inferred = onnx.shape_inference.infer_shapes(model)
    numbers = {
        value.name: int(np.prod([max(1, dim.dim_value) for dim in value.type.tensor_type.shape.dim], dtype=np.int64))
        for value in inferred.graph.value_info
    }
    groups: list[list[str]] = [[]]
    held = 0
    for name in tensors:
        if groups[-1] and held + numbers.get(name, 0) > _MOST_NUMBERS:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += numbers.get(name, 0)
    return groups


def _widen(extremes: Ranges, found: dict[str, NDArray[np.float32]]) -> None:
    for name, values in found.items():
        low, high = extremes.get(name, (0.0, 0.0))
        extremes[name] = min(low, float(values.min(initial=0))), max(high, float(values.max(initial=0)))


def _ranges(method: CalibrationMethod, extremes: Ranges, collector: Any) -> Ranges:
    """What a method makes of what was seen; never wider than the extremes, and with 0 inside."""
    if method == "min_max":
        return dict(extremes)
    if method == "percentile":
        found = {name: limits[:2] for name, limits in collector.compute_percentile().items()}
    else:
        histograms = collector.get_histogram_dict()
        found = {name: collector.get_entropy_threshold(_coarser(one), 128)[:2] for name, one in histograms.items()}
    chosen = {}
    for name, (low, high) in extremes.items():
        least, most = (float(limit) for limit in found[name])
        chosen[name] = max(low, min(least, 0.0)), min(high, max(most, 0.0))
        if chosen[name][0] >= chosen[name][1]:  # nothing but zeros, or a degenerate histogram
            chosen[name] = low, high
    return chosen


def _coarser(histogram: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same histogram in at most so many bins as entropy has time for; 0 stays in the middle."""
    counts, edges, *rest = histogram
    factor = max(1, len(counts) // _ENTROPY_BINS)
    half = len(counts) // 2 // factor * factor
    middle = len(counts) // 2
    inner = counts[middle - half : middle + half].reshape(-1, factor).sum(axis=1)
    # what the bins at the ends do not hold goes to the nearest that do
    inner[0] += counts[: middle - half].sum()
    inner[-1] += counts[middle + half :].sum()
    kept = edges[middle - half : middle + half + 1 : factor]
    return (inner, kept, *rest)
