"""What every runtime offers: pictures in, the graph's four outputs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..stages import StageTimes, timed


@dataclass(frozen=True, eq=False)
class RawOutput:
    """The graph's answer for a batch, as ``docs/architecture.md`` describes its tensors.

    Attributes:
        boxes: float32 [B, K, 4], x1, y1, x2, y2 in pixels of the graph's input.
        scores: float32 [B, K], descending.
        labels: int32 [B, K], 0-based index into the manifest's labels.
        count: int32 [B], how many of the K rows are detections.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    count: NDArray[np.int32]


@dataclass(frozen=True)
class TensorInfo:
    """What a runtime says of one input or output of its graph; None is a dimension that may be anything."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Runtime(Protocol):
    """A graph, loaded and ready."""

    @property
    def name(self) -> str:
        """The runtime's name in the registry."""

    @property
    def version(self) -> str:
        """The version of the library behind it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of how it runs here, a sentence each."""

    def infer(self, images: NDArray[np.uint8]) -> RawOutput:
        """Run the graph.

        Args:
            images: uint8 [B, H, W] (grey) or [B, H, W, 3] (RGB) at the graph's size.

        Raises:
            TemperError: if the runtime fails, or its answer breaks the contract.
        """

    def close(self) -> None:
        """Free what the runtime holds; it cannot be used afterwards."""


class Backend(Runtime, Protocol):
    """A runtime as its own file writes it: it may trust its input, and must say what its graph takes and gives."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The graph's inputs."""

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The graph's outputs."""


@runtime_checkable
class Staged(Protocol):
    """A runtime or backend that tells its copies to and from a device from the computing."""

    def infer_staged(self, images: NDArray[np.uint8], times: StageTimes) -> RawOutput:
        """Run the graph; see :meth:`Runtime.infer`.

        Args:
            images: as there.
            times: is filled with the milliseconds of ``compute``, and where there is a device of ``host_to_device``
                and ``device_to_host``.

        Raises:
            TemperError: as there.
        """


def infer_timed(runtime: Runtime, images: NDArray[np.uint8], times: StageTimes) -> RawOutput:
    """Run a graph and time its stages; all of it is ``compute`` where the runtime tells nothing apart."""
    if isinstance(runtime, Staged):
        return runtime.infer_staged(images, times)
    with timed(times, "compute"):
        return runtime.infer(images)


class FileBackend(Backend, Protocol):
    """A backend that runs any ONNX file as it is, also one that shows more than the contract's outputs."""

    def tensors(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """Run the graph and give outputs of it by name, whatever they are.

        Args:
            inputs: what it reads, by name; the first axis of all is the batch.
            names: of outputs of the graph.

        Raises:
            TemperError: if the runtime fails, or the graph has no such output.
        """
