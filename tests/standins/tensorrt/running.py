"""The runtime's side: engines that run their graph with ONNX Runtime, on the stand-in for CUDA."""

from __future__ import annotations

import ctypes
import json
import os
from typing import Any

import numpy as np
import onnxruntime
from cuda.bindings import runtime as cuda

from . import NAMES, __version__
from .building import logger_of
from .enumerations import DataType, ILogger, Member, Strict, TensorIOMode, nptype

_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(int32)": "INT32", "tensor(int64)": "INT64"}


class ICudaEngine(Strict):
    """An engine: its settings, and a session of ONNX Runtime."""

    def __init__(self, head: dict[str, Any], model: bytes, logger: ILogger) -> None:
        self.standin_head, self.standin_logger = head, logger
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.standin_session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        inputs, outputs = self.standin_session.get_inputs(), self.standin_session.get_outputs()
        self.standin_tensors = {tensor.name: tensor for tensor in (*inputs, *outputs)}
        self.standin_inputs = {tensor.name for tensor in inputs}

    @property
    def num_io_tensors(self) -> int:
        return len(self.standin_tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.standin_tensors)[index]

    def get_tensor_mode(self, name: str) -> Member:
        return TensorIOMode.INPUT if name in self.standin_inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Member:
        return getattr(DataType, _TYPES[self.standin_tensors[name].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self.standin_tensors[name].shape)

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)


class IExecutionContext(Strict):
    """Runs an engine."""

    def __init__(self, engine: ICudaEngine) -> None:
        self.standin_engine = engine
        self.standin_profile = 0
        self.standin_shape: tuple[int, ...] | None = None
        self.standin_addresses: dict[str, int] = {}
        self.standin_generation = 0
        self.standin_runs = 0

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert isinstance(stream_handle, int) and stream_handle in cuda.device.streams
        self.standin_profile, self.standin_shape = profile_index, None
        self.standin_generation += 1
        return profile_index < len(self.standin_engine.standin_head["profiles"])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.standin_engine.standin_head["profiles"][self.standin_profile][name]
        if not all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True)):
            self.standin_engine.standin_logger.log(ILogger.ERROR, f"{shape} is outside the profile")
            return False
        self.standin_shape = tuple(shape)
        self.standin_generation += 1
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.standin_addresses[name] = memory
        self.standin_generation += 1
        return name in self.standin_engine.standin_tensors and memory in cuda.device.memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self.standin_engine
        assert isinstance(stream_handle, int)
        stream = cuda.device.streams[stream_handle]
        if set(self.standin_addresses) != set(engine.standin_tensors) or self.standin_shape is None:
            engine.standin_logger.log(ILogger.ERROR, "a tensor has no address, or the input no shape")
            return False
        if stream.captured is not None and os.environ.get("STANDIN_FAIL") == "capture":
            stream.broken = True
            engine.standin_logger.log(ILogger.ERROR, "operation not permitted when stream is capturing")
            return False
        assert stream.captured is None or self.standin_runs, "a shape must run once before it is captured"
        generation, shape = self.standin_generation, self.standin_shape

        def run() -> None:
            assert generation == self.standin_generation, "the context has changed since this was enqueued or captured"
            image = _array(self.standin_addresses["image"], shape, np.dtype(np.uint8))
            answers = engine.standin_session.run(None, {"image": image})
            for tensor, answer in zip(engine.standin_session.get_outputs(), answers, strict=True):
                kind = np.dtype(nptype(engine.get_tensor_dtype(tensor.name)))
                _array(self.standin_addresses[tensor.name], answer.shape, kind)[...] = answer

        self.standin_runs += 1
        stream.put(run)
        return True


class Runtime(Strict):
    """Takes engines of its own version, and version-compatible ones if it may run their code."""

    def __init__(self, logger: ILogger) -> None:
        self.standin_logger = logger_of(logger)
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, model = serialized_engine.partition(b"\n")
        settings = json.loads(head)
        compatible = "VERSION_COMPATIBLE" in settings["flags"]
        if os.environ.get("STANDIN_FAIL") == "refuse" or (settings["tensorrt"] != __version__ and not compatible):
            self.standin_logger.log(
                ILogger.ERROR, "The engine plan file is not compatible with this version of TensorRT"
            )
            return None
        if compatible and not self.engine_host_code_allowed:
            self.standin_logger.log(ILogger.ERROR, "the engine has host code, which is not allowed to run")
            return None
        if settings["dla"] is not None:
            assert self.DLA_core == settings["dla"]
        return ICudaEngine(settings, model, self.standin_logger)


def _array(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    assert size <= len(cuda.device.memory[address]), "the buffer is too small"
    block = (ctypes.c_ubyte * size).from_address(address)
    return np.frombuffer(block, dtype).reshape(shape)


__all__ = [name for name in globals() if name in NAMES]
