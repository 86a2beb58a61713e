"""ONNX Runtime: on the processor, and on an NVIDIA GPU where its build can."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...bundle.graph_file import OnnxFile
from ...bundle.manifest import Precision
from ...core.errors import MissingDependencyError, TemperError
from .base import RawOutput, TensorInfo
from .onnxruntime_providers import CPU, providers, require_provider

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}
OUTPUTS = ("boxes", "scores", "labels", "count")

Rewriting = Literal["all", "basic", "none"]
_LEVELS: dict[Rewriting, str] = {"all": "ORT_ENABLE_ALL", "basic": "ORT_ENABLE_BASIC", "none": "ORT_DISABLE_ALL"}


class OnnxRuntime:
    """One ONNX file in an ONNX Runtime session.

    Args:
        graph: the ONNX file.
        threads: how many threads one call uses; None leaves it to ONNX Runtime (the physical cores), unless this
            process may use only some of the machine's cores: then all it may use.
        name: which of :data:`~.onnxruntime_providers.PROVIDERS`.
        precision: of the graph; TensorRT's provider must be told.
        timing_cache: folder for what TensorRT's provider measures.
        rewriting: how much ONNX Runtime may rewrite the graph before it runs it.

    Raises:
        MissingDependencyError: if onnxruntime is not installed, or its build has not the provider.
        TemperError: if the file cannot be loaded, or the provider's libraries.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        graph: OnnxFile,
        threads: int | None = None,
        name: str = "onnxruntime",
        precision: Precision = "fp32",
        timing_cache: Path | None = None,
        rewriting: Rewriting = "all",
    ) -> None:
        onnxruntime = import_onnxruntime()
        require_provider(name, onnxruntime.get_available_providers())
        self.name = name
        self.version: str = onnxruntime.__version__
        self._title = graph.title
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[rewriting])
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = threads if threads is not None else _default_threads()
        options.log_severity_level = 4  # its warnings speak of nodes; what fails is raised
        chosen = providers(name, precision, timing_cache)
        if chosen[0][0] != CPU:
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()  # CUDA's libraries, where pip brought them
            # what looks for GPUs and what runs on them warns past the session's own log
            onnxruntime.set_default_logger_severity(4)
        try:
            # where it may fall back, it prints that it does, and tries the same again
            falls_back = int(chosen[0][0] != CPU)
            self._session: Any = onnxruntime.InferenceSession(
                graph.content, options, providers=chosen, enable_fallback=falls_back
            )
        except Exception as error:  # ONNX Runtime has a class of its own for every way a file can be wrong
            raise TemperError(
                f"ONNX Runtime {self.version} cannot load {graph.title}: {_first_line(error)}. "
                "Export the bundle again, or install the ONNX Runtime it was made with."
            ) from error
        # it would keep the file's bytes for a fallback that is not wanted; the session has all it needs of them
        self._session._model_bytes = None
        if chosen[0][0] not in self._session.get_providers():
            # it falls back to the processor without a word
            raise TemperError(
                f"ONNX Runtime {self.version} has {chosen[0][0]}, but its libraries do not load here. Install the CUDA "
                "and cuDNN (for '-tensorrt' also the TensorRT) that this ONNX Runtime was built for."
            )
        try:
            self.inputs = tuple(_describe(tensor) for tensor in self._session.get_inputs())
            self.outputs = tuple(_describe(tensor) for tensor in self._session.get_outputs())
        except UnicodeDecodeError as error:  # ONNX Runtime takes any bytes for a name
            raise TemperError(
                f"{graph.title} names its inputs and outputs in no readable text. Export it again."
            ) from error

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the graph; see :class:`~.base.Runtime`."""
        boxes, scores, labels, count = self.tensors({"image": images}, OUTPUTS)
        return RawOutput(boxes, scores, labels, count)

    def tensors(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """Run the graph; see :class:`~.base.FileBackend`."""
        with self.explained():
            return list(self._session.run(list(names), dict(inputs)))

    def close(self) -> None:
        """Free the session."""
        self._session = None

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what ONNX Runtime raises in the block into a sentence.

        Raises:
            TemperError: if anything is raised.
        """
        try:
            yield
        except Exception as error:  # as above
            raise TemperError(f"ONNX Runtime {self.version} failed on {self._title}: {_first_line(error)}.") from error


def import_onnxruntime() -> Any:
    """The module ``onnxruntime``.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX Runtime cannot be imported ({error}). Install it with 'pip install onnxruntime'."
        ) from error
    return onnxruntime


def _default_threads() -> int:
    """0 (ONNX Runtime chooses), or the cores this process is bound to where these are not all of the machine's."""
    if not hasattr(os, "sched_getaffinity"):
        return 0
    usable = len(os.sched_getaffinity(0))
    return 0 if usable == os.cpu_count() else usable


def _describe(tensor: Any) -> TensorInfo:
    shape = tuple(n if isinstance(n, int) else None for n in tensor.shape)
    return TensorInfo(tensor.name, _DTYPES.get(tensor.type, tensor.type), shape)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")
