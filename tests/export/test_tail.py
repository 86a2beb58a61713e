from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from temper.detection.decode import BoxCoding, DecodeSettings, decode_detections
from temper.export.tail import add_tail

SIZE = (96, 64)


def tail_session(coding: BoxCoding, classes: int, chosen: DecodeSettings) -> onnxruntime.InferenceSession:
    """The tail alone, as a graph from raw scores and regressions to the four outputs."""
    nodes = add_tail("raw_scores", "raw_regressions", coding, classes, SIZE, chosen)
    locations, rows = len(coding.references), chosen.max_detections
    graph = helper.make_graph(
        nodes.nodes,
        "tail",
        [
            helper.make_tensor_value_info("raw_scores", TensorProto.FLOAT, ["batch", locations, classes]),
            helper.make_tensor_value_info("raw_regressions", TensorProto.FLOAT, ["batch", locations, 4]),
        ],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", rows, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", rows]),
            helper.make_tensor_value_info("labels", TensorProto.INT32, ["batch", rows]),
            helper.make_tensor_value_info("count", TensorProto.INT32, ["batch"]),
        ],
        nodes.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def coding_of(kind: str, locations: int, generator: np.random.Generator) -> BoxCoding:
    points = (generator.random((locations, 2)) * SIZE).astype(np.float32)
    if kind == "point_distances":
        return BoxCoding("point_distances", points)
    sides = generator.uniform(4, 40, (locations, 2)).astype(np.float32)
    return BoxCoding("anchor_deltas", np.concatenate([points - sides / 2, points + sides / 2], axis=1))


def raw_numbers(
    kind: str, batch: int, locations: int, classes: int, generator: np.random.Generator, *, ties: bool
) -> tuple[np.ndarray, np.ndarray]:
    scores = generator.random((batch, locations, classes)) ** 3
    if ties:
        scores = np.round(scores * 5) / 5
    regressions = generator.normal(0, 0.5, (batch, locations, 4))
    if kind == "point_distances":
        regressions = np.abs(regressions) * 20
    return scores.astype(np.float32), regressions.astype(np.float32)


def assert_as_reference(
    session: onnxruntime.InferenceSession,
    scores: np.ndarray,
    regressions: np.ndarray,
    coding: BoxCoding,
    chosen: DecodeSettings,
) -> np.ndarray:
    """Hold every picture of a batch against ``decode_detections``; gives the counts."""
    boxes, kept, labels, count = session.run(None, {"raw_scores": scores, "raw_regressions": regressions})
    rows = chosen.max_detections
    assert boxes.dtype == kept.dtype == np.float32
    assert labels.dtype == count.dtype == np.int32
    assert (boxes.shape, kept.shape, labels.shape) == ((len(scores), rows, 4), (len(scores), rows), (len(scores), rows))
    for i in range(len(scores)):
        want_boxes, want_scores, want_labels = decode_detections(scores[i], regressions[i], coding, SIZE, chosen)
        n = len(want_scores)
        assert count[i] == n
        np.testing.assert_array_equal(kept[i, :n], want_scores)
        np.testing.assert_array_equal(labels[i, :n], want_labels)
        np.testing.assert_allclose(boxes[i, :n], want_boxes, atol=1e-4)
        assert not boxes[i, n:].any()
        assert not kept[i, n:].any()
        assert (labels[i, n:] == -1).all()
    return count


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["anchor_deltas", "point_distances"]),
    locations=st.integers(1, 60),
    classes=st.integers(1, 5),
    batch=st.integers(1, 4),
    ties=st.booleans(),
    candidates=st.integers(1, 80),
    rows=st.integers(1, 120),
    floor=st.sampled_from([0.0, 0.02, 0.2, 0.6]),
    iou=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_same_as_reference_whatever_the_sizes(
    kind: str,
    locations: int,
    classes: int,
    batch: int,
    ties: bool,
    candidates: int,
    rows: int,
    floor: float,
    iou: float,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    chosen = DecodeSettings(floor, iou, candidates, rows)
    coding = coding_of(kind, locations, generator)
    scores, regressions = raw_numbers(kind, batch, locations, classes, generator, ties=ties)
    # whole and half pixels, whose overlaps are the same number in every library
    references = np.round(coding.references * 2) / 2
    coding = BoxCoding(coding.kind, references.astype(np.float32))
    if kind == "point_distances":
        regressions = np.round(regressions * 2) / 2
    else:
        regressions = np.zeros_like(regressions)
    assert_as_reference(tail_session(coding, classes, chosen), scores, regressions, coding, chosen)


@pytest.mark.parametrize("kind", ["anchor_deltas", "point_distances"])
def test_same_as_reference_with_real_regressions(kind: str) -> None:
    generator = np.random.default_rng(3)
    chosen = DecodeSettings()
    coding = coding_of(kind, 2000, generator)
    scores, regressions = raw_numbers(kind, 5, 2000, 6, generator, ties=False)
    count = assert_as_reference(tail_session(coding, 6, chosen), scores, regressions, coding, chosen)
    assert (count == 100).all()


def test_huge_log_scales_stay_finite() -> None:
    generator = np.random.default_rng(0)
    coding = coding_of("anchor_deltas", 20, generator)
    scores, regressions = raw_numbers("anchor_deltas", 1, 20, 2, generator, ties=False)
    regressions[..., 2:] = 1e4
    assert_as_reference(tail_session(coding, 2, DecodeSettings()), scores, regressions, coding, DecodeSettings())


def test_boxes_outside_the_picture_are_no_detections() -> None:
    # to the left of it, below it, inside it, half inside it, a sliver of half a pixel
    coding = BoxCoding("point_distances", np.array([[-20, 20], [20, 80], [50, 20], [96, 20], [96, 50]], np.float32))
    scores = np.array([[[0.9], [0.8], [0.7], [0.6], [0.5]]], np.float32)
    regressions = np.full((1, 5, 4), 5, np.float32)
    regressions[0, 4, 0] = 0.5
    count = assert_as_reference(
        tail_session(coding, 1, DecodeSettings()), scores, regressions, coding, DecodeSettings()
    )
    assert count.tolist() == [2]


def test_pictures_without_detections_among_others() -> None:
    generator = np.random.default_rng(1)
    coding, chosen = coding_of("anchor_deltas", 300, generator), DecodeSettings(max_detections=20)
    scores, regressions = raw_numbers("anchor_deltas", 6, 300, 3, generator, ties=False)
    scores[[0, 3, 5]] = 0.01
    count = assert_as_reference(tail_session(coding, 3, chosen), scores, regressions, coding, chosen)
    assert count.tolist() == [0, 20, 20, 0, 20, 0]
    scores[:] = 0
    assert not assert_as_reference(tail_session(coding, 3, chosen), scores, regressions, coding, chosen).any()


def test_score_at_the_floor_is_dropped() -> None:
    coding = BoxCoding("point_distances", np.array([[10, 10], [40, 40]], np.float32))
    scores = np.array([[[0.25], [np.nextafter(np.float32(0.25), np.float32(1))]]], np.float32)
    regressions = np.full((1, 2, 4), 5, np.float32)
    chosen = DecodeSettings(score_floor=0.25)
    count = assert_as_reference(tail_session(coding, 1, chosen), scores, regressions, coding, chosen)
    assert count.tolist() == [1]


def test_overlap_at_the_limit_is_kept() -> None:
    # 10 x 10 boxes, 5 pixels apart: IoU 1/3; and equal boxes
    coding = BoxCoding("point_distances", np.array([[20, 20], [25, 20], [20, 20]], np.float32))
    scores = np.array([[[0.9], [0.8], [0.7]]], np.float32)
    regressions = np.full((1, 3, 4), 5, np.float32)
    for iou, kept in ((float(np.float32(50) / np.float32(150)), 2), (0.33, 1), (1.0, 3)):
        chosen = DecodeSettings(nms_iou=iou)
        count = assert_as_reference(tail_session(coding, 1, chosen), scores, regressions, coding, chosen)
        assert count.tolist() == [kept]


def test_equal_scores_keep_the_order_of_class_and_location() -> None:
    coding = BoxCoding("point_distances", np.array([[10, 10], [40, 10], [70, 10], [10, 50]], np.float32))
    scores = np.full((1, 4, 2), 0.5, np.float32)
    scores[0, 2, 1] = 0.75
    regressions = np.full((1, 4, 4), 5, np.float32)
    for rows in (3, 8, 20):
        chosen = DecodeSettings(max_detections=rows, candidates=3)
        assert_as_reference(tail_session(coding, 2, chosen), scores, regressions, coding, chosen)


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    generator = np.random.default_rng(8)
    coding, chosen = coding_of("anchor_deltas", 500, generator), DecodeSettings()
    session = tail_session(coding, 4, chosen)
    scores, regressions = raw_numbers("anchor_deltas", 8, 500, 4, generator, ties=True)
    together = session.run(None, {"raw_scores": scores, "raw_regressions": regressions})
    for i in range(8):
        alone = session.run(None, {"raw_scores": scores[i : i + 1], "raw_regressions": regressions[i : i + 1]})
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[i], single[0])
