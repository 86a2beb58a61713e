"""Gradients by finite differences, to hold Paddle's against."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float64]]


def assert_gradients(
    value: Callable[[Arrays], float],
    arrays: Arrays,
    gradients: Mapping[str, NDArray[np.float32]],
    *,
    entries: int = 5,
    step: float = 1e-5,
) -> None:
    """Compare some entries of every gradient with central differences of a function in float64.

    Args:
        value: the function.
        arrays: where its slope is taken.
        gradients: what is held against it, by the same names.
        entries: how many of each array, spread over it; all of a smaller one.
        step: of the differences.
    """
    assert set(gradients) <= set(arrays)
    for name, gradient in gradients.items():
        assert gradient.shape == arrays[name].shape
        for flat in np.unique(np.linspace(0, gradient.size - 1, entries).astype(int)):
            index = np.unravel_index(flat, gradient.shape)
            sides = []
            for sign in (1, -1):
                moved = arrays[name].copy()
                moved[index] += sign * step
                sides.append(value({**arrays, name: moved}))
            slope = (sides[0] - sides[1]) / (2 * step)
            assert gradient[index] == pytest.approx(slope, rel=2e-3, abs=2e-6), f"{name}{list(index)}"
