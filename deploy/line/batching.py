"""How many pictures go into one call of the runtime: the sizes it is fast at, measured before the line starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..runtimes.base import Runtime

#: Sizes that are tried; between two of them a runtime's speed hardly changes.
SIZES = (1, 2, 4, 8, 16, 32, 64)
#: A larger call has to be faster for each picture by this much: it also keeps the first of its pictures waiting.
WORTH = 0.97
#: Calls of a size that are timed, after one that is not.
_CALLS = 3
#: A size is not tried where one call would take longer.
_LONGEST_SECONDS = 2.0


def fast_sizes(
    runtime: Runtime, shape: tuple[int, ...], most: int, beat: Callable[[], None] = lambda: None
) -> tuple[int, ...]:
    """Measure which numbers of pictures a runtime is fast at.

    Args:
        runtime: loaded.
        shape: of one picture, [H, W] or [H, W, 3].
        most: pictures that can wait at once: there is no use in larger calls.
        beat: is called between calls.

    Returns:
        Ascending, 1 always among them; each is faster for a picture than all that are smaller. The runtime has run each
        of them, so that none is slow the first time.

    Raises:
        TemperError: if the runtime fails.
    """
    sizes: list[int] = []
    best = float("inf")
    for size in SIZES:
        if sizes and (size > most or best * size > _LONGEST_SECONDS):
            break
        took = _seconds(runtime, np.zeros((size, *shape), np.uint8), beat) / size
        if not sizes or took < WORTH * best:
            sizes.append(size)
        best = min(best, took)
    return tuple(sizes)


def split(pictures: int, sizes: tuple[int, ...]) -> list[int]:
    """How to cut a number of pictures into calls: the largest sizes first.

    Args:
        pictures: at least 0.
        sizes: as :func:`fast_sizes` gives them; 1 is among them.

    Returns:
        Sizes whose sum is ``pictures``.
    """
    calls: list[int] = []
    for size in sorted(sizes, reverse=True):
        calls += [size] * (pictures // size)
        pictures %= size
    return calls


def _seconds(runtime: Runtime, pictures: NDArray[np.uint8], beat: Callable[[], None]) -> float:
    runtime.infer(pictures)
    times = []
    for _ in range(_CALLS):
        beat()
        started = time.perf_counter()
        runtime.infer(pictures)
        times.append(time.perf_counter() - started)
    return median(times)
