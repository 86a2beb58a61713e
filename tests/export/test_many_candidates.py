"""The real tail behind made-up network outputs: crowded pictures, empty ones, and batches of both, on every runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from temper.deploy.compare import TOLERANCES, row_of, same_answer
from temper.deploy.runtimes.base import RawOutput
from temper.detection.boxes import iou_matrix
from temper.detection.decode import BoxCoding, DecodeSettings
from temper.distill.detectors.normalise import GREY
from temper.export.graph import build_graph
from traced_graphs import KINDS, Traced, answers

RUNTIMES = ("onnxruntime", "openvino")
#: So large that every kind of detector has more than 10,000 places on it.
SIZE = (864, 864)
CANDIDATES = 10_000
CLASSES = 2


def stub(scores: np.ndarray, regressions: np.ndarray) -> onnx.ModelProto:
    """A network whose outputs are made up; by a picture's first pixel, of 255, they are louder or softer.

    Args:
        scores: float32 [A, classes].
        regressions: float32 [A, 4].
    """
    width, height = SIZE
    nodes = [
        # undoing the normalisation gives the pixel back
        helper.make_node("Slice", ["image", "from", "to", "axes"], ["pixel"]),
        helper.make_node("Mul", ["pixel", "std"], ["spread"]),
        helper.make_node("Add", ["spread", "mean"], ["byte"]),
        helper.make_node("Round", ["byte"], ["whole"]),
        helper.make_node("Div", ["whole", "full"], ["loudness"]),
        helper.make_node("Reshape", ["loudness", "shape"], ["factor"]),
        helper.make_node("Mul", ["factor", "all_scores"], ["scores"]),
        helper.make_node("Mul", ["factor", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "all_regressions"], ["regressions"]),
    ]
    held = {
        "from": np.array([0, 0, 0], np.int64),
        "to": np.array([1, 1, 1], np.int64),
        "axes": np.array([1, 2, 3], np.int64),
        "std": np.array(GREY.std[0], np.float32),
        "mean": np.array(GREY.mean[0], np.float32),
        "full": np.array(255, np.float32),
        "zero": np.array(0, np.float32),
        "shape": np.array([-1, 1, 1], np.int64),
        "all_scores": scores[None],
        "all_regressions": regressions[None],
    }
    graph = helper.make_graph(
        nodes,
        "stub",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, height, width])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", *scores.shape]),
            helper.make_tensor_value_info("regressions", TensorProto.FLOAT, ["batch", *regressions.shape]),
        ],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def made_up(coding: BoxCoding, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, all above the floor and no two alike, and regressions that leave boxes in the picture."""
    generator = np.random.default_rng(seed)
    places = len(coding.references)
    scores = 0.1 + 0.8 * generator.permutation(places * CLASSES).reshape(places, CLASSES) / (places * CLASSES)
    regressions = generator.normal(0, 0.2, (places, 4))
    if coding.kind == "point_distances":
        regressions = generator.uniform(4, 40, (places, 4))
    return scores.astype(np.float32), regressions.astype(np.float32)


def best_by_hand(
    scores: np.ndarray, boxes: np.ndarray, settings: DecodeSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best rows, found one at a time: take the best that is left, strike out what it overlaps too much, go on."""
    place, label = np.unravel_index(np.argsort(-scores, axis=None, kind="stable"), scores.shape)
    # what lies outside the picture has no side left
    alive, chosen = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)[place], []
    while alive.any() and len(chosen) < settings.max_detections:
        row = int(np.argmax(alive))
        chosen.append(row)
        overlaps = iou_matrix(boxes[place[row]][None], boxes[place])[0] > settings.nms_iou
        alive &= ~(overlaps & (label == label[row]))
        alive[row] = False
    return scores[place[chosen], label[chosen]], boxes[place[chosen]], label[chosen]


@pytest.fixture(scope="module", params=KINDS)
def coding(request: pytest.FixtureRequest, traced_graphs: Callable[..., Traced]) -> BoxCoding:
    found: BoxCoding = traced_graphs(request.param).detector.box_coding(SIZE)
    assert len(found.references) > CANDIDATES
    return found


def graph_of(coding: BoxCoding, folder: Path, settings: DecodeSettings, seed: int = 0) -> Path:
    network = stub(*made_up(coding, seed))
    model = build_graph(network, coding, CLASSES, SIZE, "grey", GREY, settings, ("a", "b"))
    path = folder / "crowded.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def pictures(*loudness: int) -> np.ndarray:
    images = np.zeros((len(loudness), SIZE[1], SIZE[0]), np.uint8)
    images[:, 0, 0] = loudness
    return images


def rows(answer: RawOutput, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = int(answer.count[index])
    return answer.scores[index, :count], answer.boxes[index, :count], answer.labels[index, :count]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_of_ten_thousand_candidates_the_best_are_given_in_order(
    coding: BoxCoding, tmp_path: Path, runtime: str
) -> None:
    settings = DecodeSettings(candidates=CANDIDATES, max_detections=100)
    graph = graph_of(coding, tmp_path, settings)
    scores, regressions = made_up(coding, 0)
    top = np.argsort(-scores.max(axis=1), kind="stable")[:CANDIDATES]
    boxes = np.clip(coding.decode(regressions[top], top), 0, SIZE[0]).astype(np.float32)
    expected = best_by_hand(scores[top], boxes, settings)
    answer = answers(runtime, graph, pictures(255))
    assert answer.count.tolist() == [100]
    found = rows(answer, 0)
    assert (np.diff(found[0]) <= 0).all()
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-2)
    np.testing.assert_array_equal(found[2], expected[2])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_nms_they_are_the_highest_scores_of_all(coding: BoxCoding, tmp_path: Path, runtime: str) -> None:
    settings = DecodeSettings(candidates=CANDIDATES, max_detections=1000, nms_iou=1.0)
    graph = graph_of(coding, tmp_path, settings, seed=1)
    scores, regressions = made_up(coding, 1)
    places = np.arange(len(scores))
    boxes = np.clip(coding.decode(regressions, places), 0, SIZE[0])
    seen = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
    answer = answers(runtime, graph, pictures(255))
    assert answer.count.tolist() == [1000]
    np.testing.assert_allclose(answer.scores[0], np.sort(scores[seen], axis=None)[::-1][:1000], atol=1e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_empty_pictures_among_crowded_ones_have_no_detection(coding: BoxCoding, tmp_path: Path, runtime: str) -> None:
    settings = DecodeSettings(candidates=2000, max_detections=100)
    graph = graph_of(coding, tmp_path, settings)
    images = pictures(255, 0, 200, 0, 5, 255, 0, 120)
    together = answers(runtime, graph, images)
    # at 5 of 255 the highest score is below the floor of 0.02
    assert together.count.tolist() == [100, 0, 100, 0, 0, 100, 0, 100]
    for index in (1, 3, 4, 6):
        assert not together.boxes[index].any() and not together.scores[index].any()
        assert (together.labels[index] == -1).all()
    closeness = TOLERANCES["fp32"].batch
    for index in range(len(images)):
        alone = answers(runtime, graph, images[index : index + 1])
        assert same_answer(alone, row_of(together, index), settings.score_floor, closeness)
    assert not answers(runtime, graph, pictures(0)).count.any()
    assert not answers(runtime, graph, pictures(*[0] * 8)).count.any()
