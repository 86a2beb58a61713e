"""How long graphs take beside each other: enough to see what a layer in floating point costs, no benchmark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..deploy.runtimes.onnxruntime import OnnxRuntime

#: Rounds, and calls of each graph in a round; the graphs take turns, so that what disturbs the machine meets all.
ROUNDS, CALLS = 5, 6


def median_latencies_ms(graphs: Sequence[Path], image: NDArray[np.uint8]) -> list[float]:
    """The median time of a picture on ONNX Runtime, batch 1, for every graph, in milliseconds.

    Args:
        graphs: ONNX files that take the picture.
        image: uint8 [H, W] or [H, W, 3].

    Raises:
        TemperError: if a graph does not load or run.
    """
    batch = image[np.newaxis]
    runtimes: list[OnnxRuntime] = []
    taken: list[list[float]] = [[] for _ in graphs]
    try:
        runtimes += [OnnxRuntime(graph) for graph in graphs]
        for _ in range(ROUNDS):
            for runtime, times in zip(runtimes, taken, strict=True):
                runtime.infer(batch)
                for _ in range(CALLS):
                    started = time.perf_counter()
                    runtime.infer(batch)
                    times.append(1000 * (time.perf_counter() - started))
    finally:
        for runtime in runtimes:
            runtime.close()
    return [float(np.median(times)) for times in taken]
