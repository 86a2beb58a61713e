"""How long graphs take beside each other: enough to see what a layer in floating point costs, no benchmark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.graph_file import OnnxFile
from ..deploy.runtimes.onnxruntime import OnnxRuntime

#: Rounds, and calls of each graph in a round; the graphs take turns, so that what disturbs the machine meets all.
ROUNDS, CALLS = 5, 6


def median_latencies_ms(graphs: Sequence[Path], image: NDArray[np.uint8]) -> list[float]:
    """The median time of a picture on ONNX Runtime for every graph; see :func:`latencies_ms`."""
    return [float(np.median(rounds)) for rounds in latencies_ms(graphs, image, ROUNDS, CALLS)]


def latencies_ms(
    graphs: Sequence[Path], image: NDArray[np.uint8], rounds: int, calls: int, threads: int | None = None
) -> list[list[list[float]]]:
    """How long ONNX Runtime takes for a picture, batch 1, in milliseconds; graphs take turns.

    Args:
        graphs: ONNX files that take the picture.
        image: uint8 [H, W] or [H, W, 3].
        rounds: turns of every graph.
        calls: of a graph in a turn, after one that is not counted.
        threads: of the runtime; None lets it choose.

    Returns:
        For every graph its rounds, each with the times of its calls.

    Raises:
        TemperError: if a graph does not load or run.
    """
    batch = image[np.newaxis]
    runtimes: list[OnnxRuntime] = []
    taken: list[list[list[float]]] = [[] for _ in graphs]
    try:
        for graph in graphs:
            runtimes.append(OnnxRuntime(OnnxFile.read(graph), threads))
        for _ in range(rounds):
            for runtime, turns in zip(runtimes, taken, strict=True):
                runtime.infer(batch)
                turns.append([_timed(runtime, batch) for _ in range(calls)])
    finally:
        for runtime in runtimes:
            runtime.close()
    return taken


def _timed(runtime: OnnxRuntime, batch: NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    runtime.infer(batch)
    return 1000 * (time.perf_counter() - started)
