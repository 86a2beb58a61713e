"""OpenVINO on the processor."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle.graph_file import OnnxFile
from ...core.errors import MissingDependencyError, TemperError
from .base import RawOutput, TensorInfo

_DTYPES = {"u8": "uint8", "f32": "float32", "i32": "int32", "i64": "int64"}
_OUTPUTS = ("boxes", "scores", "labels", "count")
_DEVICE = "CPU"


#: Batch sizes whose compiled graphs are kept: all that a line tries before it starts (``deploy.line.batching.SIZES``),
#: so that none of those it chose is compiled again in the middle of production.
_MOST_COMPILED = 8


class OpenVino:
    """One ONNX file on this processor, compiled by OpenVINO for each batch size that comes.

    Not once for all of them: with an open batch OpenVINO 2026.4 computes int8 graphs wrongly (of the demo's student
    11.7 points of mAP are left of 27.4), with a fixed one it is as near to ONNX Runtime as rounding allows.

    Args:
        graph: the ONNX file.
        threads: how many threads one call uses; None lets OpenVINO choose.

    Raises:
        MissingDependencyError: if openvino is not installed.
        TemperError: if the file cannot be loaded.
    """

    name = "openvino"
    notes: tuple[str, ...] = ()

    def __init__(self, graph: OnnxFile, threads: int | None = None) -> None:
        self._openvino = import_openvino()
        self.version: str = self._openvino.__version__.split("-")[0]
        self._title = graph.title
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # precision is in the graph: without this, processors with bfloat16 round everything to it
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        #: Batch size -> a request of the graph compiled for it, the one used last at the end.
        self._requests: dict[int, Any] = {}
        try:
            self._model: Any = _core(self._openvino).read_model(graph.content)
            self.inputs = tuple(_describe(port) for port in self._model.inputs)
            self.outputs = tuple(_describe(port) for port in self._model.outputs)
            self._request(1)
        except Exception as error:  # OpenVINO raises RuntimeError and others, with a page of source places
            raise TemperError(
                f"OpenVINO {self.version} cannot load {graph.title}: {_reason(error)}. "
                "Export the bundle again, or run it on ONNX Runtime."
            ) from error

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the graph; see :class:`~.base.Runtime`."""
        return RawOutput(*self.tensors({"image": images}, _OUTPUTS))

    def tensors(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """Run the graph; see :class:`~.base.FileBackend`."""
        try:
            request = self._request(len(next(iter(inputs.values()))))
            for name, values in inputs.items():
                request.set_tensor(name, self._openvino.Tensor(np.ascontiguousarray(values), shared_memory=True))
            request.infer()
            # copies: the tensors are overwritten by the next call
            return [np.array(request.get_tensor(name).data) for name in names]
        except Exception as error:  # as above
            raise TemperError(f"OpenVINO {self.version} failed on {self._title}: {_reason(error)}.") from error

    def close(self) -> None:
        """Free the compiled graphs."""
        self._requests.clear()
        self._model = None

    def _request(self, batch: int) -> Any:
        """A request of the graph for this batch size, compiled when it comes for the first time."""
        request = self._requests.pop(batch, None)
        if request is None:
            model = self._model.clone()
            shapes = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
            for shape in shapes.values():
                shape[0] = batch
            model.reshape(shapes)
            compiled = _core(self._openvino).compile_model(model, _DEVICE, self._settings)
            request = compiled.create_infer_request()
            if len(self._requests) >= _MOST_COMPILED:
                self._requests.pop(next(iter(self._requests)))
        self._requests[batch] = request
        return request


@cache
def _core(openvino: Any) -> Any:
    """The one ``Core`` of this process, which is never let go.

    On processors with AMX each core's plugin gives the main thread a stack for signals of its own, and takes it away
    with itself: of two whose lives overlap, one leaves a stack behind that is gone, and the next signal (SIGTERM, say)
    kills the process.
    """
    return openvino.Core()


def import_openvino() -> Any:
    """The module ``openvino``, without the telemetry that its start-up would send.

    Importing it tells a server of Google's so, unless openvino_telemetry is missing: then it has a stand-in of its own
    that says nothing. A line has no network, and where it has one this is not Temper's to use.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    silenced = "openvino_telemetry" not in sys.modules
    if silenced:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            f"OpenVINO cannot be imported ({error}). Install it with pip install 'openvino>=2024.6'."
        ) from error
    finally:
        if silenced:
            del sys.modules["openvino_telemetry"]
    return openvino


def _describe(port: Any) -> TensorInfo:
    kind = port.get_element_type().to_string()
    dtype = _DTYPES.get(kind, kind)
    shape = tuple(None if length.is_dynamic else int(length.get_length()) for length in port.get_partial_shape())
    return TensorInfo(port.get_any_name(), dtype, shape)


def _reason(error: Exception) -> str:
    """The last line of OpenVINO's message that says something: the first ones name places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return (telling[-1] if telling else type(error).__name__).rstrip(". ")[:300]
