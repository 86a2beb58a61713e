"""From a floating-point graph to int8: static quantisation with QuantizeLinear and DequantizeLinear in the graph.

What was measured, and the choices that came of it (three trained RetinaNets of six classes on synthetic steel, 60
pictures, a processor with AVX2 and without VNNI; mAP in points against the fp32 graph of each):

- Weights take 7 bits (``reduce_range``), always. The u8 x s8 kernels of such processors add pairs of products in 16
  bits, and full 8-bit weights saturate them: that cost 0.5 to 1.5 points. With 7 bits nothing can saturate
  (2 x 255 x 64 < 2^15), so every processor adds the same integers; what remained was within 0.7 points either way.
- The last convolutions of the head, and all that follows them, stay in floating point: worth 0.3 points on average. A
  score quantised to 256 steps ties with others, and mAP lives from the order of scores.
- The range of an activation is the smallest and largest value seen (``min_max``). Cutting the outermost values
  (``percentile``) was neither better nor worse on 150 pictures; it is the second try for a model whose ranges a few
  values have spoilt. Entropy was no better and takes longest.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .. import __version__
from ..core.errors import MissingDependencyError, TemperError
from ..core.files import write_bytes
from .graph import NETWORK, checked
from .quiet import last_line, one_line, quiet
from .tail import TAIL

Method = Literal["min_max", "percentile"]

#: Operators that ONNX Runtime and OpenVINO compute in int8; the others of a network stay in floating point.
QUANTISED_OPERATORS = ("Conv", "MatMul", "Add", "Relu", "MaxPool", "Resize", "Concat")
#: Share of an activation's values, in per cent, that ``percentile`` keeps inside its range.
PERCENTILE = 99.999
#: Pictures that go through the network together while ranges are collected; bounds the memory it takes.
_CHUNK = 4
_STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class QuantizationReport:
    """What was quantised.

    Attributes:
        method: how the ranges were chosen.
        images: pictures the ranges were measured on.
        quantised: node kinds of the network to how many of them compute in int8.
        kept_float: names of the network's convolutions and matrix products that stay in floating point.
    """

    method: Method
    images: int
    quantised: dict[str, int]
    kept_float: tuple[str, ...]


def quantize_int8(
    graph: Path, images: Iterable[NDArray[np.uint8]], target: Path, *, method: Method = "min_max"
) -> QuantizationReport:
    """Write the int8 form of a graph.

    Args:
        graph: an fp32 graph made by ``build_graph``.
        images: pictures to measure the activations' ranges on, uint8 [H, W] or [H, W, 3] at the graph's size.
        target: where the int8 graph goes.
        method: how ranges are chosen from what was seen.

    Returns:
        What was quantised.

    Raises:
        MissingDependencyError: if ONNX Runtime's quantisation tools do not load.
        TemperError: if there are no pictures, or ONNX Runtime cannot quantise the graph.
    """
    model = onnx.load(str(graph))
    chosen, kept_float = nodes_to_quantize(model)
    batches = _batches(images)
    if not batches:
        raise TemperError("Quantising to int8 needs pictures to measure ranges on, and the training split has none.")
    if not chosen:
        raise TemperError("The network has no convolution or matrix product that could be quantised to int8.")
    said = None
    try:
        with tempfile.TemporaryDirectory(prefix="temper-int8-", dir=target.parent) as folder, quiet() as said:
            draft = Path(folder) / "int8.onnx"
            _quantize(graph, draft, batches, chosen, method)
            quantised = onnx.load(str(draft))
    except (TemperError, MemoryError):
        raise
    except Exception as error:  # whatever onnxruntime.quantization raises
        reason = last_line(said()) if said is not None else ""
        raise TemperError(
            f"ONNX Runtime could not quantise the graph: {type(error).__name__}: {one_line(error)} "
            f"(last words: {reason}). "
            "Leave int8 out of the recipe's export.precisions to go on without it."
        ) from error
    write_bytes(target, _tidied(quantised, model).SerializeToString())
    kinds = Counter(node.op_type for node in model.graph.node if node.name in set(chosen))
    return QuantizationReport(method, sum(len(batch) for batch in batches), dict(kinds), kept_float)


def nodes_to_quantize(model: onnx.ModelProto) -> tuple[list[str], tuple[str, ...]]:
    """The nodes of a graph's network that become int8, and the last convolutions or products, which do not."""
    producers = {output: node for node in model.graph.node for output in node.output}
    # where the tail takes over from the network
    waiting = [
        producers[name]
        for node in model.graph.node
        if node.name.startswith(f"{TAIL}/")
        for name in node.input
        if name in producers and not producers[name].name.startswith(f"{TAIL}/")
    ]
    last, after = set(), set()
    while waiting:
        node = waiting.pop()
        if node.name in after or node.name in last or not node.name.startswith(f"{NETWORK}/"):
            continue
        if node.op_type in ("Conv", "MatMul"):
            last.add(node.name)
            continue
        after.add(node.name)
        waiting += [producers[name] for name in node.input if name in producers]
    names = [
        node.name
        for node in model.graph.node
        if node.name.startswith(f"{NETWORK}/") and node.op_type in QUANTISED_OPERATORS and node.name not in last | after
    ]
    return names, tuple(sorted(last))


def _quantize(graph: Path, draft: Path, batches: list[NDArray[np.uint8]], nodes: list[str], method: Method) -> None:
    try:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime's quantisation tools do not load here ({error}). "
            "Install them with 'pip install onnxruntime onnx'."
        ) from error
    quantize_static(
        str(graph),
        str(draft),
        _reader(batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTISED_OPERATORS),
        nodes_to_quantize=nodes,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax if method == "min_max" else CalibrationMethod.Percentile,
        extra_options={
            # one batch at a time, whatever the method: the others' activations are gone by then
            "CalibStridedMinMax": 1,
            "CalibTensorRangeSymmetric": False,
            "CalibPercentile": PERCENTILE,
        },
    )


def _batches(images: Iterable[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Pictures stacked in chunks; only their bytes are held, no activations."""
    batches: list[NDArray[np.uint8]] = []
    waiting: list[NDArray[np.uint8]] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == _CHUNK:
            batches.append(np.stack(waiting))
            waiting = []
    return [*batches, np.stack(waiting)] if waiting else batches


def _reader(batches: list[NDArray[np.uint8]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        """Gives the batches of the range asked for, one after the other."""

        def __init__(self) -> None:
            self._rest = iter(batches)

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._rest = iter(batches[start_index:end_index])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self._rest, None)
            return None if batch is None else {"image": batch}

    return Reader()


def _tidied(quantised: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The quantised model with the original's description, and nothing outside standard ONNX."""
    foreign = {node.domain for node in quantised.graph.node} - set(_STANDARD_DOMAINS)
    if foreign:
        raise TemperError(f"Quantising brought in operators outside standard ONNX: {', '.join(sorted(foreign))}.")
    del quantised.opset_import[:]
    quantised.opset_import.extend(original.opset_import)
    del quantised.graph.value_info[:]
    del quantised.metadata_props[:]
    helper.set_model_props(quantised, {entry.key: entry.value for entry in original.metadata_props})
    quantised.graph.name = original.graph.name
    quantised.producer_name, quantised.producer_version = "temper", __version__
    quantised.ir_version = original.ir_version
    return checked(quantised)
