"""A stand-in for cuda.bindings.runtime: the functions that Temper calls, on the processor's memory.

Work put into a stream is done when the stream is waited for and not before, as on a GPU; what is captured is done when
its graph is launched. "GPU memory" is memory of its own, so that a copy that was forgotten shows.
"""

from __future__ import annotations

import ctypes
import enum
import time
from collections.abc import Callable


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidResourceHandle = 400
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


cudaStreamNonBlocking = 1
cudaEventRecordDefault, cudaEventRecordExternal = 0, 1
_OK = cudaError_t.cudaSuccess
Work = Callable[[], None]


class Stream:
    """A queue of work."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: list[Work] = []
        self.captured: list[Work] | None = None
        self.broken = False

    def __int__(self) -> int:
        return self.number

    def put(self, work: Work) -> None:
        (self.queue if self.captured is None else self.captured).append(work)


class Event:
    """A mark, with the moment when it was passed."""

    def __init__(self) -> None:
        self.passed: float | None = None

    def come_past(self) -> None:
        self.passed = time.perf_counter()


class Graph(list[Work]):
    """What was captured."""


class Device:
    """What the tests look at: memory, streams and graphs that are held, and what shall go wrong."""

    def __init__(self) -> None:
        self.memory: dict[int, ctypes.Array[ctypes.c_ubyte]] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: list[Graph] = []
        self.events: list[Event] = []
        self.launches = 0
        self.capacity: int | None = None
        self.fault: cudaError_t | None = None

    def allocate(self, size: int) -> tuple[cudaError_t, int | None]:
        if self.capacity is not None and size + sum(map(len, self.memory.values())) > self.capacity:
            return cudaError_t.cudaErrorMemoryAllocation, None
        block = (ctypes.c_ubyte * size)(*([0xAB] * min(size, 64)))
        self.memory[ctypes.addressof(block)] = block
        return _OK, ctypes.addressof(block)

    @property
    def is_empty(self) -> bool:
        """Whether everything was given back."""
        return not (self.memory or self.streams or self.graphs or self.events)


device = Device()


def cudaMalloc(size: int) -> tuple[cudaError_t, int | None]:
    return device.allocate(size)


def cudaMallocHost(size: int) -> tuple[cudaError_t, int | None]:
    return device.allocate(size)


def cudaFree(pointer: int) -> tuple[cudaError_t]:
    del device.memory[pointer]
    return (_OK,)


def cudaFreeHost(pointer: int) -> tuple[cudaError_t]:
    del device.memory[pointer]
    return (_OK,)


def cudaMemcpyAsync(to: int, source: int, count: int, kind: cudaMemcpyKind, stream: Stream) -> tuple[cudaError_t]:
    if count > len(device.memory[to]) or count > len(device.memory[source]):
        return (cudaError_t.cudaErrorInvalidValue,)
    assert isinstance(kind, cudaMemcpyKind)
    stream.put(lambda: ctypes.memmove(to, source, count))  # type: ignore[arg-type,return-value]
    return (_OK,)


def cudaStreamCreateWithFlags(flags: int) -> tuple[cudaError_t, Stream]:
    assert flags == cudaStreamNonBlocking
    number = max(device.streams, default=1000) + 1
    device.streams[number] = Stream(number)
    return _OK, device.streams[number]


def cudaStreamDestroy(stream: Stream) -> tuple[cudaError_t]:
    del device.streams[stream.number]
    return (_OK,)


def cudaStreamSynchronize(stream: Stream) -> tuple[cudaError_t]:
    assert stream.captured is None, "a stream that is being captured cannot be waited for"
    queue, stream.queue = stream.queue, []
    for work in queue:
        work()
    return (device.fault or _OK,)


def cudaStreamBeginCapture(stream: Stream, mode: cudaStreamCaptureMode) -> tuple[cudaError_t]:
    assert isinstance(mode, cudaStreamCaptureMode)
    assert stream.captured is None
    stream.captured, stream.broken = [], False
    return (_OK,)


def cudaStreamEndCapture(stream: Stream) -> tuple[cudaError_t, Graph | None]:
    captured, stream.captured = stream.captured, None
    if captured is None:
        return cudaError_t.cudaErrorInvalidValue, None
    if stream.broken:
        return cudaError_t.cudaErrorStreamCaptureInvalidated, None
    device.graphs.append(Graph(captured))
    return _OK, device.graphs[-1]


def cudaGraphInstantiate(graph: Graph, flags: int) -> tuple[cudaError_t, Graph]:
    assert flags == 0
    device.graphs.append(Graph(graph))
    return _OK, device.graphs[-1]


def _forget(graph: Graph) -> tuple[cudaError_t]:
    device.graphs = [one for one in device.graphs if one is not graph]
    return (_OK,)


cudaGraphDestroy = _forget
cudaGraphExecDestroy = _forget


def cudaGraphLaunch(graph: Graph, stream: Stream) -> tuple[cudaError_t]:
    device.launches += 1
    stream.queue.extend(graph)
    return (_OK,)


def cudaEventCreate() -> tuple[cudaError_t, Event]:
    device.events.append(Event())
    return _OK, device.events[-1]


def cudaEventRecordWithFlags(event: Event, stream: Stream, flags: int) -> tuple[cudaError_t]:
    # CUDA takes the one while a stream is captured and the other while it is not
    if (flags == cudaEventRecordExternal) != (stream.captured is not None):
        return (cudaError_t.cudaErrorInvalidValue,)
    stream.put(event.come_past)
    return (_OK,)


def cudaEventElapsedTime(start: Event, end: Event) -> tuple[cudaError_t, float | None]:
    if start.passed is None or end.passed is None:
        return cudaError_t.cudaErrorInvalidResourceHandle, None
    return _OK, 1000 * (end.passed - start.passed)


def cudaEventDestroy(event: Event) -> tuple[cudaError_t]:
    device.events = [one for one in device.events if one is not event]
    return (_OK,)


def cudaGetLastError() -> tuple[cudaError_t]:
    return (_OK,)


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return _OK, error.name.encode()
