"""Tiles cover the picture, and are views of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.strip.tiles import plan

SIDES = st.integers(1, 400)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(0, 200))
def test_every_pixel_is_on_a_tile_and_neighbours_overlap(
    size: tuple[int, int], tile: tuple[int, int], overlap: int
) -> None:
    overlap = min(overlap, min(tile) // 2)
    tiles = plan(size, tile, overlap)
    seen = np.zeros(size[::-1], int)
    for x, y in tiles.offsets.tolist():
        assert 0 <= x <= size[0] - tiles.tile[0]
        assert 0 <= y <= size[1] - tiles.tile[1]
        seen[y : y + tiles.tile[1], x : x + tiles.tile[0]] += 1
    assert (seen > 0).all()
    for axis in (0, 1):
        starts = np.unique(tiles.offsets[:, axis])
        assert (starts[1:] - starts[:-1] <= max(tiles.tile[axis] - overlap, 0)).all()


def test_as_few_as_cover_it_spread_evenly() -> None:
    tiles = plan((4096, 1024), (512, 512), 64)
    assert len(tiles) == 9 * 3
    steps = np.diff(np.unique(tiles.offsets[:, 0]))
    assert steps.max() - steps.min() <= 1
    assert plan((200, 200), (512, 512), 64).tile == (200, 200)
    assert len(plan((512, 512), (512, 512), 64)) == 1


def test_tiles_are_views() -> None:
    picture = np.arange(100 * 60, dtype=np.uint8).reshape(60, 100)
    tiles = plan((100, 60), (40, 40), 10)
    cut = tiles.cut(picture)
    assert all(np.shares_memory(part, picture) for part in cut)
    assert all(part.shape == (40, 40) for part in cut)
    x, y = tiles.offsets[-1].tolist()
    np.testing.assert_array_equal(cut[-1], picture[y : y + 40, x : x + 40])
    with pytest.raises(ValueError, match="one of .60, 100. was given"):
        tiles.cut(picture.T)


@pytest.mark.parametrize(("tile", "overlap"), [((0, 8), 0), ((8, 8), 5), ((8, 8), -1)])
def test_what_cannot_be_is_refused(tile: tuple[int, int], overlap: int) -> None:
    with pytest.raises(ValueError, match="no tiles of"):
        plan((64, 64), tile, overlap)
