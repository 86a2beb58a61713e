from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from temper.detection.decode import BoxCoding, DecodeSettings, decode_detections
from temper.distill.detectors.anchors import anchor_grid, cell_sizes
from temper.distill.detectors.normalise import GREY
from temper.export.anchors_in_graph import places_of_any_size
from temper.export.graph import build_graph
from temper.export.onnx_build import GraphBuilder
from tiny_bundle import LABELS, STRIDE, tiny_network

#: As many candidates and rows as no small picture of the tiny network has places.
MANY = DecodeSettings(candidates=100, max_detections=100)
STRIDES = (8, 16, 32, 64, 128)


@pytest.fixture(scope="module")
def places() -> onnxruntime.InferenceSession:
    builder = GraphBuilder("tail")
    found = places_of_any_size(builder, tuple((stride, cell_sizes(stride, 4.0)) for stride in STRIDES), "image")
    names = [found.centres, found.sizes, found.half_sizes, found.limits]
    graph = helper.make_graph(
        builder.nodes,
        "places",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        builder.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@settings(max_examples=40, deadline=None)
@given(width=st.integers(32, 700), height=st.integers(32, 700))
def test_anchors_are_those_of_the_padded_size(places: onnxruntime.InferenceSession, width: int, height: int) -> None:
    centres, sizes, halves, limits = places.run(None, {"image": np.zeros((1, height, width), np.uint8)})
    full = -(-width // 32) * 32, -(-height // 32) * 32
    grid = anchor_grid(full, STRIDES, 4.0)
    np.testing.assert_allclose(np.concatenate([centres - halves, centres + halves], axis=1), grid, atol=1e-3)
    np.testing.assert_allclose(sizes, 2 * halves)
    assert limits.tolist() == [width, height, width, height]


def test_detections_at_every_size_are_those_of_the_reference() -> None:
    cells = ((STRIDE, np.array([[16, 16]], np.float32)),)
    chosen = DecodeSettings(candidates=40)
    network = tiny_network(("width", "height"))
    model = build_graph(network, _coding((64, 64)), len(LABELS), (64, 64), "grey", GREY, chosen, LABELS, cells=cells)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    bare = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    for size in ((64, 64), (96, 160), (100, 70), (201, 57)):
        full = tuple(-(-side // 32) * 32 for side in size)
        images = np.random.default_rng(sum(size)).integers(0, 256, (3, size[1], size[0]), dtype=np.uint8)
        boxes, scores, labels, count = session.run(None, {"image": images})
        centred = np.repeat(GREY.apply(images), 3, axis=1)
        padded = np.pad(centred, ((0, 0), (0, 0), (0, full[1] - size[1]), (0, full[0] - size[0])))
        raw = bare.run(None, {"image": padded})
        for i in range(3):
            want = decode_detections(raw[0][i], raw[1][i], _coding(full), size, chosen)
            n = len(want[1])
            assert count[i] == n > 5
            np.testing.assert_allclose(scores[i, :n], want[1], atol=1e-5)
            np.testing.assert_allclose(boxes[i, :n], want[0], atol=1e-3)
            np.testing.assert_array_equal(labels[i, :n], want[2])


@pytest.fixture(scope="module")
def sessions() -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """The graph of every size, with more candidates and rows than small pictures have places, and its network alone."""
    cells = ((STRIDE, np.array([[16, 16]], np.float32)),)
    network = tiny_network(("width", "height"))
    model = build_graph(network, _coding((64, 64)), len(LABELS), (64, 64), "grey", GREY, MANY, LABELS, cells=cells)
    whole, bare = (
        onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        for one in (model, network)
    )
    return whole, bare


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 110), height=st.integers(1, 110), batch=st.integers(1, 3), seed=st.integers(0, 999))
def test_a_picture_may_have_fewer_places_than_candidates(
    sessions: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession],
    width: int,
    height: int,
    batch: int,
    seed: int,
) -> None:
    whole, bare = sessions
    full = tuple(-(-side // 32) * 32 for side in (width, height))
    images = np.random.default_rng(seed).integers(0, 256, (batch, height, width), dtype=np.uint8)
    boxes, scores, labels, count = whole.run(None, {"image": images})
    rows = MANY.max_detections
    assert boxes.shape == (batch, rows, 4) and scores.shape == labels.shape == (batch, rows)
    centred = np.repeat(GREY.apply(images), 3, axis=1)
    raw = bare.run(None, {"image": np.pad(centred, ((0, 0), (0, 0), (0, full[1] - height), (0, full[0] - width)))})
    for i in range(batch):
        want = decode_detections(raw[0][i], raw[1][i], _coding(full), (width, height), MANY)
        n = len(want[1])
        assert count[i] == n
        np.testing.assert_allclose(scores[i, :n], want[1], atol=1e-5)
        np.testing.assert_allclose(boxes[i, :n], want[0], atol=1e-3)
        assert not scores[i, n:].any() and not boxes[i, n:].any() and (labels[i, n:] == -1).all()


def _coding(size: tuple[int, ...]) -> BoxCoding:
    y, x = np.mgrid[0 : size[1] // STRIDE, 0 : size[0] // STRIDE].astype(np.float32)
    centres = np.stack([x, y], axis=-1).reshape(-1, 2) * STRIDE
    return BoxCoding("anchor_deltas", np.concatenate([centres - 8, centres + 8], axis=1))
