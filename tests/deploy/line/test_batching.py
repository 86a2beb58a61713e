"""Calls of the sizes that a runtime is fast at."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from temper.deploy.line import batching
from temper.deploy.line.batching import fast_sizes, split
from temper.deploy.runtimes.base import Runtime


class Timed:
    """Takes as long as a table says, by a clock of its own; only that is asked of a runtime here."""

    def __init__(self, milliseconds: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.milliseconds = milliseconds
        self.asked: list[int] = []
        self.now = 0.0
        monkeypatch.setattr(batching.time, "perf_counter", lambda: self.now)

    def infer(self, pictures: NDArray[np.uint8]) -> Any:
        self.asked.append(len(pictures))
        self.now += self.milliseconds[len(pictures)] / 1000


def test_a_larger_call_is_taken_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Timed({1: 4, 2: 8, 4: 8, 8: 16, 16: 16, 32: 32, 64: 64}, monkeypatch)
    assert fast_sizes(cast("Runtime", runtime), (4, 4), 64) == (1, 4, 16)


def test_no_call_is_larger_than_what_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Timed(dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 3), monkeypatch)
    assert fast_sizes(cast("Runtime", runtime), (4, 4), 5) == (1, 2, 4)
    assert max(runtime.asked) == 4


@given(st.integers(0, 500), st.sets(st.sampled_from([2, 4, 8, 16, 32, 64])))
def test_a_split_is_whole_and_of_known_sizes(pictures: int, larger: set[int]) -> None:
    sizes = (1, *sorted(larger))
    calls = split(pictures, sizes)
    assert sum(calls) == pictures
    assert set(calls) <= set(sizes)
    assert calls == sorted(calls, reverse=True)
