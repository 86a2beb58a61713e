"""Results of frames to be stored, and a process of its own that stores them until it is killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from temper.deploy.detector import Outcome, Verdict
from temper.deploy.frames import Cause
from temper.deploy.results.records import FrameResult
from temper.detection.detections import Detections


def frame_result(
    number: int, *, found: int = 0, cause: Cause | None = None, minute: int = 0, **more: object
) -> FrameResult:
    """A frame of 200 x 100 pixels that was judged at second ``number``, with so many detections."""
    boxes = np.array([[n, 0, n + 10, 10] for n in range(found)], np.float32).reshape(-1, 4)
    detections = Detections(boxes, np.full(found, 0.5), np.ones(found, np.int64), (200, 100))
    outcome = Outcome.NOT_INSPECTED if cause else Outcome.DEFECT if found else Outcome.OK
    time = f"2025-01-01T{minute // 60:02d}:{minute % 60:02d}:{number % 60:02d}.000Z"
    detail = None if cause is None else f"It was {cause.value}."
    times = {"compute": 4.0, "end_to_end": 5.0}
    return FrameResult(number, f"#{number}", time, Verdict(outcome, detections), cause, detail, times, **more)  # type: ignore[arg-type]


def store_for_ever(bundle: Path, path: Path) -> None:
    """Store batches of frames, and tell the number of each frame on stdout once it is stored."""
    from temper.bundle.loader import open_bundle
    from temper.deploy.detector import open_detector
    from temper.deploy.results.store import Store

    with open_bundle(bundle) as opened, Store(path) as store:
        run = store.begin_run(open_detector(opened, threads=1), "cameras", "mill-2")
        number = 0
        while True:
            count = 1 + number % 7
            store.add([frame_result(number + n, found=(number + n) % 4) for n in range(count)])
            number += count
            os.write(1, f"{run.id} {number - 1}\n".encode())


if __name__ == "__main__":
    store_for_ever(Path(sys.argv[1]), Path(sys.argv[2]))
