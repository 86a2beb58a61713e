"""From an engine's bytes to a context that can run: TensorRT's objects, and a buffer for each tensor.

``tests/deploy/engines/test_tensorrt_names.py`` holds every attribute of ``tensorrt`` used here against the real
bindings of each version. It knows TensorRT's objects by what they are called: a context is always ``context``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ..engines.options import BuildOptions
from ..engines.python_api import first_line
from .base import TensorInfo
from .cuda import Buffer

INPUT = "image"
OUTPUTS = ("boxes", "scores", "labels", "count")


class EngineRefusedError(TemperError):
    """TensorRT does not take an engine that by its record should fit."""


@dataclass(frozen=True)
class Tensor:
    """One of the engine's inputs or outputs.

    Attributes:
        info: what the engine says of it.
        dtype: NumPy's name for its type.
        picture: its shape for one picture, without the batch.
        buffer: its memory, large enough for the largest batch.
    """

    info: TensorInfo
    dtype: np.dtype[Any]
    picture: tuple[int, ...]
    buffer: Buffer

    def size(self, batch: int) -> int:
        """Bytes for so many pictures."""
        return batch * int(np.prod(self.picture, dtype=np.int64)) * self.dtype.itemsize


def make_logger(trt: Any) -> Any:
    """Keeps the first error of TensorRT for the sentence, and says nothing."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._first_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR) and not self._first_error:
                self._first_error = first_line(message)

        def take_error(self) -> str:
            error, self._first_error = self._first_error, ""
            return error or "TensorRT gives no reason"

    return Logger()


def deserialise(trt: Any, logger: Any, content: bytes, options: BuildOptions, title: str) -> tuple[Any, Any]:
    """The runtime and the engine from its bytes, which have been held against their record.

    Raises:
        EngineRefusedError: if TensorRT does not take it.
    """
    runtime = _make_runtime(trt, logger)
    if options.version_compatible:
        # such an engine carries a small runtime of its own, as code
        runtime.engine_host_code_allowed = True
    if options.dla_core is not None:
        runtime.DLA_core = options.dla_core
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        reason = logger.take_error()
        raise EngineRefusedError(f"TensorRT {trt.__version__} does not take the engine of {title}: {reason}.")
    return runtime, engine


def _make_runtime(trt: Any, logger: Any) -> Any:
    try:
        return trt.Runtime(logger)
    except Exception as error:  # the bindings raise a TypeError where there is no GPU or driver
        raise TemperError(f"TensorRT {trt.__version__} cannot work here: {logger.take_error()}.") from error


def make_context(engine: Any, logger: Any, title: str) -> Any:
    """What runs the engine, with its own memory for what lies between the layers.

    Raises:
        TemperError: if there is too little memory.
    """
    context = engine.create_execution_context()
    if context is None:
        raise TemperError(f"The engine of {title} cannot be made ready to run: {logger.take_error()}.")
    return context


def make_tensors(trt: Any, cuda: Any, engine: Any, options: BuildOptions, rows: int) -> dict[str, Tensor]:
    """Every tensor of the engine with its buffer, by name.

    Args:
        trt: the module ``tensorrt``.
        cuda: the module ``cuda.bindings.runtime``.
        engine: deserialised.
        options: what it was built for; they say how large the buffers must be.
        rows: detections per picture, K of the contract.

    Raises:
        TemperError: if the GPU has too little memory, or a tensor a type that NumPy does not know.
    """
    largest = max(options.profiles, key=lambda profile: profile.height.most * profile.width.most)
    pictures = {"boxes": (rows, 4), "scores": (rows,), "labels": (rows,), "count": ()}
    tensors: dict[str, Tensor] = {}
    try:
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            declared = tuple(engine.get_tensor_shape(name))
            dtype = _numpy_type(trt, engine, name)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            info = TensorInfo(name, dtype.name, tuple(None if length < 0 else length for length in declared))
            picture = (largest.height.most, largest.width.most, *declared[3:]) if is_input else pictures.get(name, ())
            size = options.largest_batch * int(np.prod(picture, dtype=np.int64)) * dtype.itemsize
            tensors[name] = Tensor(info, dtype, picture, Buffer(cuda, size))
    except BaseException:
        free_tensors(tensors)
        raise
    return tensors


def free_tensors(tensors: dict[str, Tensor]) -> None:
    """Give their buffers back."""
    for tensor in tensors.values():
        tensor.buffer.free()
    tensors.clear()


def set_addresses(context: Any, logger: Any, tensors: dict[str, Tensor]) -> None:
    """Tell TensorRT where each tensor lies; that never changes.

    Raises:
        TemperError: if it does not take an address.
    """
    for name, tensor in tensors.items():
        if not context.set_tensor_address(name, tensor.buffer.device):
            raise TemperError(f"TensorRT does not take the buffer of '{name}': {logger.take_error()}.")


def _numpy_type(trt: Any, engine: Any, name: str) -> np.dtype[Any]:
    kind = engine.get_tensor_dtype(name)
    try:
        return np.dtype(trt.nptype(kind))
    except TypeError as error:
        raise TemperError(f"The engine's tensor '{name}' is of a type that NumPy does not have: {kind}.") from error
