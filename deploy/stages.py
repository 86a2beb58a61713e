"""Where the time of a call goes: the stages, their names and what each of them is, for line and benchmark alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

#: Every stage in order, with its definition; ``end_to_end`` is the whole call, timed on its own.
STAGE_DEFINITIONS: dict[str, str] = {
    "decode": "from encoded pictures (JPEG, PNG) to pixels",
    "preprocess": "from pixels to the graph's input: resized by the bundle's rule and stacked to a batch",
    "host_to_device": "the copy of the input from host memory to the memory of a GPU; none on a processor",
    "compute": "the graph, from its input to its outputs, where the runtime computes",
    "device_to_host": "the copy of the outputs from the memory of a GPU to host memory; none on a processor",
    "postprocess": "from the graph's outputs to detections in the pixels of each picture",
    "end_to_end": "from encoded pictures to detections, everything in between included",
}
STAGES = tuple(STAGE_DEFINITIONS)

#: Milliseconds by stage. A stage that a runtime does not have, or cannot tell apart, is not there; it is never 0.
StageTimes = dict[str, float]


@contextlib.contextmanager
def timed(times: StageTimes, stage: str) -> Iterator[None]:
    """Put the duration of the block into ``times``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        times[stage] = 1000 * (time.perf_counter() - started)
