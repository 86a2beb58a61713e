from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from temper.detection.images import ResizeRule
from temper.distill.training.loader import PictureStore
from temper.export.evaluate import evenly_spaced, graph_detections, in_picture_pixels
from tiny_bundle import LABELS, tiny_graph
from toy_data import toy_data

SIZE = (64, 64)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PictureStore:
    """Eight pictures of 80 pixels, brought to 64."""
    data = toy_data(tmp_path_factory.mktemp("toy"), 8, size=80)
    # the network's labels, of which the pictures show the first two
    return PictureStore(replace(data, labels=LABELS), ResizeRule(*SIZE), "grey")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "fp32.onnx"
    onnx.save(tiny_graph("grey", SIZE), str(path))
    return path


def test_pictures_through_a_graph(store: PictureStore, graph: Path) -> None:
    told: list[tuple[int, int]] = []
    found = graph_detections(graph, store, [5, 2], lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert [one.source for one in found] == [store.data.samples[5].file_name, store.data.samples[2].file_name]
    assert all(one.image_size == SIZE and len(one) for one in found)
    everything = graph_detections(graph, store)
    np.testing.assert_array_equal(everything[5].boxes, found[0].boxes)
    moved = in_picture_pixels(found, store, [5, 2])
    np.testing.assert_allclose(moved[0].boxes, found[0].boxes * 80 / 64, rtol=1e-5)
    assert moved[0].image_size == (80, 80)


def test_evenly_spaced() -> None:
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(10, 1) == [0]
    assert evenly_spaced(100, 3) == [0, 50, 99]
    for total, wanted in ((1260, 128), (360, 32), (7, 6)):
        chosen = evenly_spaced(total, wanted)
        assert len(set(chosen)) == wanted
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1
