"""A benchmark's worker whose every call takes longer by a share of itself: ``python -m slowed_worker 0.10``.

For ``compare_trust.py``. The graph runs as it does elsewhere; after it the processor waits, busy, until the call up to
there has taken so much longer. What is timed is that real time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from temper.benchmarks import worker
from temper.deploy.detector import BundleDetector


def slow_down(share: float) -> None:
    """Make every call of a detector longer by ``share`` of what it takes, from the first byte decoded on."""
    original: Callable[..., Any] = BundleDetector.to_detections
    whole: Callable[..., Any] = BundleDetector.detect_encoded
    began = [0.0]

    def detect_encoded(self: BundleDetector, *arguments: Any, **named: Any) -> Any:
        began[0] = time.perf_counter()
        return whole(self, *arguments, **named)

    def to_detections(self: BundleDetector, answer: Any, row: int, *arguments: Any) -> Any:
        found = original(self, answer, row, *arguments)
        if row == len(answer.count) - 1:
            now = time.perf_counter()
            until = now + share * (now - began[0])
            while time.perf_counter() < until:
                pass
        return found

    BundleDetector.detect_encoded = detect_encoded  # type: ignore[method-assign]
    BundleDetector.to_detections = to_detections  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    worker.main()
