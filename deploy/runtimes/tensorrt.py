"""TensorRT itself: an engine that was built on this machine, its own buffers, a stream, and CUDA graphs.

The engine's tensors have fixed addresses: one buffer each, large enough for the largest batch. A call copies the
pictures into pinned memory, and puts three things into the stream: copy in, execute, copy out. From the second call
with the same shape on they are captured as one CUDA graph, where TensorRT allows it: the NMS inside the graph gives as
many rows as it finds, and a TensorRT that asks the GPU how many these are cannot be captured. Then calls go on
as before. Events between the three say how long each of them took on the GPU, in a captured graph, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError, UsageError
from ..engines.options import BuildOptions
from ..engines.python_api import import_tensorrt
from ..stages import StageTimes, timed
from .base import RawOutput, TensorInfo
from .cuda import CapturedGraph, Event, Stream, import_cuda
from .tensorrt_engine import (
    INPUT,
    OUTPUTS,
    Tensor,
    deserialise,
    free_tensors,
    make_context,
    make_logger,
    make_tensors,
    set_addresses,
)


class TensorRt:
    """One engine, ready to run.

    Args:
        content: the engine's bytes, already held against their record.
        options: what it was built for.
        rows: detections per picture, K of the contract.
        title: how messages call it.

    Attributes:
        uncaptured: why calls are not captured as CUDA graphs; None while they may be.

    Raises:
        MissingDependencyError: if TensorRT or cuda-python is not installed.
        EngineRefusedError: if TensorRT does not take the engine.
        TemperError: if the GPU cannot be used or has too little memory.
    """

    name = "tensorrt"

    def __init__(self, content: bytes, options: BuildOptions, rows: int, title: str) -> None:
        trt, cuda = import_tensorrt(), import_cuda()
        self.version = str(trt.__version__)
        self.uncaptured: str | None = None
        self._options, self._title = options, title
        self._profile = 0
        self._shape: tuple[int, ...] = ()
        self._calls = 0
        self._graph: CapturedGraph | None = None
        self._logger = make_logger(trt)
        self._tensors: dict[str, Tensor] = {}
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._stream: Stream | None = Stream(cuda)
        #: before the copy in, between it and the engine, between that and the copy out, and after it
        self._marks: list[Event] = []
        try:
            self._marks += (Event(cuda) for _ in range(4))
            self._runtime, self._engine = deserialise(trt, self._logger, content, options, title)
            self._context = make_context(self._engine, self._logger, title)
            self._tensors = make_tensors(trt, cuda, self._engine, options, rows)
            set_addresses(self._context, self._logger, self._tensors)
        except BaseException:
            self.close()
            raise

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The engine's inputs."""
        return tuple(tensor.info for name, tensor in self._tensors.items() if name == INPUT)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The engine's outputs."""
        return tuple(tensor.info for name, tensor in self._tensors.items() if name != INPUT)

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether calls run as a CUDA graph."""
        if self.uncaptured is not None:
            return (f"Calls are not captured as a CUDA graph: {self.uncaptured}",)
        return ("Calls run as one CUDA graph.",) if self._graph is not None else ()

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the engine; see :meth:`infer_staged`."""
        return self.infer_staged(images, {})

    def infer_staged(self, images: NDArray[np.uint8], times: StageTimes) -> RawOutput:
        """Run the engine; see :class:`~.base.Staged`.

        The copies' times are those of the GPU, with the host's into and out of pinned memory added.

        Raises:
            UsageError: if the engine was not built for so many pictures, or their size.
            TemperError: if TensorRT or CUDA fails.
        """
        stream = self._open_stream()
        self._take_shape(images.shape, stream)
        image = self._tensors[INPUT]
        with timed(times, "host_to_device"):
            np.copyto(image.buffer.host(images.shape, image.dtype), images)
        self._calls += 1
        if self._graph is None and self._calls == 2 and self.uncaptured is None:
            self._graph = self._capture(stream)
        if self._graph is not None:
            self._graph.launch(stream)
        else:
            self._enqueue(stream, captured=False)
        stream.wait()
        with timed(times, "device_to_host"):
            answer = RawOutput(*(self._read(name, len(images)) for name in OUTPUTS))
        before, copied, computed, after = self._marks
        times["host_to_device"] += copied.ms_since(before)
        times["compute"] = computed.ms_since(copied)
        times["device_to_host"] += after.ms_since(computed)
        return answer

    def close(self) -> None:
        """Free the engine and its memory."""
        self._forget_graph()
        # an engine must not outlive its runtime, nor a context its engine
        self._context = None
        self._engine = None
        self._runtime = None
        free_tensors(self._tensors)
        while self._marks:
            self._marks.pop().free()
        if self._stream is not None:
            self._stream.free()
        self._stream = None

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("the runtime is closed")
        return self._stream

    def _take_shape(self, shape: tuple[int, ...], stream: Stream) -> None:
        """Choose the profile for a shape and tell TensorRT both, unless they are those of the last call."""
        if shape == self._shape:
            return
        profile = self._options.profile_for(*shape[:3])
        if profile is None:
            spans = ", ".join(f"{one.batch} at {one.width} x {one.height}" for one in self._options.profiles)
            raise UsageError(
                f"The engine of {self._title} takes batches of {spans}, and {shape[0]} pictures of "
                f"{shape[2]} x {shape[1]} were given. Build one that takes them: temper export trt BUNDLE "
                f"--batch 1:{shape[0]}."
            )
        # a captured graph is undefined once the context it came from has another shape
        self._forget_graph()
        self._shape, self._calls = (), 0
        context = self._context
        if profile != self._profile:
            if not context.set_optimization_profile_async(profile, int(stream.handle)):
                raise self._failed("switch to another optimisation profile")
            stream.wait()
            self._profile = profile
            set_addresses(context, self._logger, self._tensors)
        if not context.set_input_shape(INPUT, shape):
            raise self._failed(f"take the shape {list(shape)}")
        self._shape = shape

    def _enqueue(self, stream: Stream, *, captured: bool) -> None:
        """Put copy in, execute and copy out into the stream, with the marks around them."""
        context, batch = self._context, self._shape[0]
        before, copied, computed, after = self._marks
        image = self._tensors[INPUT]
        before.record(stream, captured)
        image.buffer.upload(int(np.prod(self._shape, dtype=np.int64)) * image.dtype.itemsize, stream)
        copied.record(stream, captured)
        if not context.execute_async_v3(int(stream.handle)):
            raise self._failed("run the engine")
        computed.record(stream, captured)
        for name in OUTPUTS:
            tensor = self._tensors[name]
            tensor.buffer.download(tensor.size(batch), stream)
        after.record(stream, captured)

    def _capture(self, stream: Stream) -> CapturedGraph | None:
        """A call with the present shape as a CUDA graph; None, and never tried again, if it cannot be one."""
        stream.begin_capture()
        try:
            self._enqueue(stream, captured=True)
            return stream.end_capture()
        except TemperError as error:
            stream.drop_capture()
            self._logger.take_error()
            self.uncaptured = str(error)
            return None

    def _forget_graph(self) -> None:
        if self._graph is not None:
            self._graph.free()
        self._graph = None

    def _read(self, name: str, batch: int) -> NDArray[Any]:
        """A copy of an output: its buffer is overwritten by the next call."""
        tensor = self._tensors[name]
        return tensor.buffer.host((batch, *tensor.picture), tensor.dtype).copy()

    def _failed(self, task: str) -> TemperError:
        return TemperError(f"TensorRT {self.version} failed to {task} ({self._title}): {self._logger.take_error()}.")
