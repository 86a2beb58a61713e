"""Memory, a stream, events and captured graphs on an NVIDIA GPU, through cuda-python.

``tests/deploy/engines/test_tensorrt_names.py`` holds every attribute of ``cuda.bindings.runtime`` used here against the
real bindings of CUDA 12 and 13. It knows that module as ``cuda``.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import MissingDependencyError, TemperError


class CudaError(TemperError):
    """A call into CUDA failed."""


def import_cuda() -> Any:
    """The module ``cuda.bindings.runtime``.

    Raises:
        MissingDependencyError: if cuda-python is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingDependencyError(
            f"TensorRT is driven through cuda-python, which cannot be imported ({error}). Install it with "
            "pip install 'cuda-python>=12.6,<13' for CUDA 12, or 'cuda-python>=13' for CUDA 13."
        ) from error
    return runtime


def check(cuda: Any, answer: tuple[Any, ...], task: str) -> Any:
    """What a call into CUDA gave beside its error code.

    Args:
        cuda: the module.
        answer: of the call: the code, then its results.
        task: what was being done, for the message.

    Raises:
        CudaError: if the code is not success.
    """
    code, *results = answer
    if int(code) != 0:
        _, text = cuda.cudaGetErrorString(code)
        said = text.decode() if isinstance(text, bytes) else str(text)
        raise CudaError(f"CUDA failed to {task}: {said} (error {int(code)}).")
    return results[0] if results else None


class Buffer:
    """Memory on the GPU with its twin on the host, pinned so that copies between them need no detour.

    Args:
        cuda: the module.
        capacity: in bytes.

    Raises:
        CudaError: if there is not so much memory.
    """

    def __init__(self, cuda: Any, capacity: int) -> None:
        self._cuda = cuda
        self.capacity = max(1, capacity)
        self._host = int(
            check(cuda, cuda.cudaMallocHost(self.capacity), f"allocate {self.capacity:,} bytes of host memory")
        )
        try:
            self.device = int(
                check(cuda, cuda.cudaMalloc(self.capacity), f"allocate {self.capacity:,} bytes of GPU memory")
            )
        except TemperError:
            cuda.cudaFreeHost(self._host)
            raise

    def host(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The beginning of the host's memory as an array; it is valid until :meth:`free`.

        Raises:
            ValueError: if it is larger than the buffer.
        """
        count = int(np.prod(shape, dtype=np.int64))
        if count * dtype.itemsize > self.capacity:
            raise ValueError(f"{dtype} {list(shape)} is larger than a buffer of {self.capacity} bytes")
        raw = (ctypes.c_ubyte * (count * dtype.itemsize)).from_address(self._host)
        return np.frombuffer(memoryview(raw), dtype).reshape(shape)

    def upload(self, size: int, stream: Stream) -> None:
        """Put a copy of the first ``size`` bytes from host to GPU into the stream."""
        cuda = self._cuda
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        check(cuda, cuda.cudaMemcpyAsync(self.device, self._host, size, kind, stream.handle), "copy to the GPU")

    def download(self, size: int, stream: Stream) -> None:
        """Put a copy of the first ``size`` bytes from GPU to host into the stream."""
        cuda = self._cuda
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        check(cuda, cuda.cudaMemcpyAsync(self._host, self.device, size, kind, stream.handle), "copy from the GPU")

    def free(self) -> None:
        """Give both back; the buffer cannot be used afterwards."""
        self._cuda.cudaFree(self.device)
        self._cuda.cudaFreeHost(self._host)


class Stream:
    """A queue of work for the GPU, apart from the default one."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        try:
            self.handle = check(cuda, cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking), "open a stream")
        except RuntimeError as error:  # cuda-python raises this where there is no driver
            raise CudaError(f"CUDA cannot be used here: {error}. Is NVIDIA's driver installed?") from error

    def wait(self) -> None:
        """Until everything in it is done.

        Raises:
            CudaError: if something of it failed.
        """
        check(self._cuda, self._cuda.cudaStreamSynchronize(self.handle), "finish the work of a stream")

    def begin_capture(self) -> None:
        """From now on work is noted, not done."""
        cuda = self._cuda
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(cuda, cuda.cudaStreamBeginCapture(self.handle, mode), "begin a capture")

    def end_capture(self) -> CapturedGraph:
        """What was noted, ready to be done again and again.

        Raises:
            CudaError: if something of it cannot be captured; the stream works as before.
        """
        cuda = self._cuda
        graph = check(cuda, cuda.cudaStreamEndCapture(self.handle), "capture a graph")
        try:
            return CapturedGraph(cuda, check(cuda, cuda.cudaGraphInstantiate(graph, 0), "make a captured graph ready"))
        finally:
            cuda.cudaGraphDestroy(graph)

    def drop_capture(self) -> None:
        """End a capture that failed, and forget its error."""
        with contextlib.suppress(CudaError):
            self.end_capture().free()
        self._cuda.cudaGetLastError()

    def free(self) -> None:
        """Close it."""
        self._cuda.cudaStreamDestroy(self.handle)


class Event:
    """A mark in a stream that remembers when the GPU came past it."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._handle = check(cuda, cuda.cudaEventCreate(), "make an event")

    def record(self, stream: Stream, captured: bool) -> None:
        """Put the mark into the stream.

        Args:
            stream: it marks.
            captured: whether the stream is being captured; then the mark is set anew at every launch of the graph.
        """
        cuda = self._cuda
        flag = cuda.cudaEventRecordExternal if captured else cuda.cudaEventRecordDefault
        check(cuda, cuda.cudaEventRecordWithFlags(self._handle, stream.handle, flag), "mark a stream")

    def ms_since(self, earlier: Event) -> float:
        """Milliseconds of the GPU between two marks it has come past.

        Raises:
            CudaError: if it has not.
        """
        cuda = self._cuda
        return float(check(cuda, cuda.cudaEventElapsedTime(earlier._handle, self._handle), "time a stream"))

    def free(self) -> None:
        """Forget it."""
        self._cuda.cudaEventDestroy(self._handle)


class CapturedGraph:
    """Work that was captured from a stream: with one call the GPU does all of it."""

    def __init__(self, cuda: Any, handle: Any) -> None:
        self._cuda = cuda
        self._handle = handle

    def launch(self, stream: Stream) -> None:
        """Put all of it into a stream."""
        check(self._cuda, self._cuda.cudaGraphLaunch(self._handle, stream.handle), "launch a captured graph")

    def free(self) -> None:
        """Forget it."""
        self._cuda.cudaGraphExecDestroy(self._handle)
