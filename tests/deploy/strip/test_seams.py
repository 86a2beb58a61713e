"""Detections on tiles become those of the picture: a defect that a seam cuts is one, two defects stay two."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from temper.deploy.strip.linking import components
from temper.deploy.strip.seams import merge
from temper.deploy.strip.tiles import Tiles, plan
from temper.detection.detections import Detections

STRIP = plan((1000, 300), (200, 200), 40)
Box = tuple[float, float, float, float]


def on_tiles(
    boxes: list[Box], tiles: Tiles, labels: list[int] | None = None, least: float = 3.0
) -> tuple[Detections, NDArray[np.int64]]:
    """What a detector without fault would find of true boxes on each tile: the part that the tile shows."""
    found, owner, classes = [], [], []
    for tile, window in enumerate(tiles.boxes):
        for index, box in enumerate(boxes):
            part = np.concatenate([np.maximum(box[:2], window[:2]), np.minimum(box[2:], window[2:])])
            if part[2] - part[0] >= min(least, box[2] - box[0]) and part[3] - part[1] >= min(least, box[3] - box[1]):
                found.append(part)
                owner.append(tile)
                classes.append(labels[index] if labels else 0)
    scores = np.linspace(0.9, 0.5, max(len(found), 1))[: len(found)]
    detections = Detections(
        np.array(found, np.float32), scores.astype(np.float32), np.array(classes, np.int32), tiles.size
    )
    return detections, np.array(owner, np.int64)


def boxes_of(found: Detections) -> list[list[float]]:
    return sorted(found.boxes.astype(float).round(2).tolist())


@pytest.mark.parametrize(
    "box",
    [
        (20, 20, 60, 60),  # on one tile alone
        (165, 20, 185, 60),  # whole on two
        (150, 20, 260, 60),  # cut by a seam
        (150, 90, 260, 210),  # cut by four tiles
        (5, 100, 995, 104),  # a scratch over all of them
        (0, 0, 1000, 300),  # everything
    ],
)
def test_a_defect_is_one_however_it_is_cut(box: Box) -> None:
    merged = merge(*on_tiles([box], STRIP), STRIP)
    assert boxes_of(merged) == [[pytest.approx(edge, abs=0.01) for edge in box]]
    assert merged.scores[0] == pytest.approx(0.9)


def test_two_defects_at_one_seam_stay_two() -> None:
    true: list[Box] = [(150, 20, 260, 60), (150, 70, 260, 110)]
    assert len(merge(*on_tiles(true, STRIP), STRIP)) == 2


def test_classes_are_not_joined() -> None:
    true: list[Box] = [(150, 20, 260, 60), (150, 20, 260, 60)]
    merged = merge(*on_tiles(true, STRIP, [0, 1]), STRIP)
    assert sorted(merged.labels.tolist()) == [0, 1]


def test_tiles_that_only_touch_join_what_their_seam_cuts() -> None:
    tiles = plan((400, 100), (100, 100), 0)
    merged = merge(*on_tiles([(30, 20, 370, 40)], tiles), tiles)
    assert boxes_of(merged) == [[30, 20, 370, 40]]
    apart: list[Box] = [(30, 20, 100, 40), (100, 60, 170, 80)]
    assert len(merge(*on_tiles(apart, tiles), tiles)) == 2


def test_the_same_defect_seen_twice_with_different_boxes_counts_once() -> None:
    boxes = np.array([[165, 48, 188, 94], [162, 50, 190, 90]], np.float32)
    found = Detections(boxes, np.array([0.8, 0.4], np.float32), np.zeros(2, np.int32), STRIP.size)
    merged = merge(found, np.array([1, 0]), STRIP)
    assert boxes_of(merged) == [[162, 48, 190, 94]]
    assert merged.scores.tolist() == [pytest.approx(0.8)]


def test_detections_of_one_tile_are_left_as_they_are() -> None:
    boxes = np.array([[162, 50, 190, 90], [163, 51, 189, 91]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32), STRIP.size)
    assert len(merge(found, np.zeros(2, np.int64), STRIP)) == 2


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Tiles, list[Box]]:
    """Tiles, and boxes that are further from one another than the tolerance."""
    tile = draw(st.integers(60, 200))
    size = (draw(st.integers(60, 700)), draw(st.integers(60, 400)))
    tiles = plan(size, (tile, tile), draw(st.integers(10, tile // 3)))
    columns, rows = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    room = np.array([size[0] / columns, size[1] / rows]) - 12
    boxes: list[Box] = []
    for column in range(columns):
        for row in range(rows):
            if (room < 12).any() or not draw(st.booleans()):
                continue
            side = [draw(st.floats(10, float(limit))) for limit in room]
            x, y = (draw(st.floats(0, float(limit - own))) for limit, own in zip(room, side, strict=True))
            x, y = x + 6 + column * size[0] / columns, y + 6 + row * size[1] / rows
            boxes.append((x, y, x + side[0], y + side[1]))
    return tiles, boxes


@settings(max_examples=150, deadline=None)
@given(scenes(), st.integers(0, 1000))
def test_any_tiling_gives_the_boxes_back_in_any_order(scene: tuple[Tiles, list[Box]], seed: int) -> None:
    tiles, boxes = scene
    found, owner = on_tiles(boxes, tiles, least=0.5)
    merged = merge(found, owner, tiles)
    expected = np.array(sorted(np.round(boxes, 2).tolist())).reshape(-1, 4)
    np.testing.assert_allclose(np.array(boxes_of(merged)).reshape(-1, 4), expected, atol=0.02)
    order = np.array(random.Random(seed).sample(range(len(found)), len(found)), np.int64)
    assert boxes_of(merge(found.keep(order), owner[order], tiles)) == boxes_of(merged)


@given(st.integers(1, 30), st.sets(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60))
def test_components_are_those_of_the_graph(count: int, pairs: set[tuple[int, int]]) -> None:
    kept = [pair for pair in pairs if max(pair) < count]
    expected = list(range(count))
    for one, other in kept:
        low, high = sorted((expected[one], expected[other]))
        expected = [low if group == high else group for group in expected]
    lowest = [min(i for i in range(count) if expected[i] == group) for group in expected]
    assert components(count, np.array(kept, np.int64).reshape(-1, 2)).tolist() == lowest


def test_many_detections_take_little_memory() -> None:
    tiles = plan((4096, 1024), (512, 512), 64)
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(len(tiles)), 100)
    corners = rng.uniform(0, 500, (len(owner), 2)) + tiles.offsets[owner]
    boxes = np.concatenate([corners, corners + 8], axis=1).astype(np.float32)
    scores = np.linspace(0.9, 0.5, len(owner)).astype(np.float32)
    found = Detections(boxes, scores, np.zeros(len(owner), np.int32), tiles.size)
    tracemalloc.start()
    try:
        merge(found, owner, tiles)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6, f"{peak / 1e6:.0f} MB for {len(owner)} detections"
