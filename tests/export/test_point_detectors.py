"""PicoDet and PP-YOLOE through the whole export: the same network in Paddle and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("paddle", reason="export starts from PaddlePaddle")
pytest.importorskip("paddle2onnx", reason="export goes through paddle2onnx")

from agree import agreement
from onnx import numpy_helper
from point_detectors import SMALL, lively
from quantised import int8_of
from temper.deploy.compare import PADDLE_TOLERANCES
from temper.detection.agreement import Agreement, MatchRule
from temper.detection.decode import DecodeSettings
from temper.distill.detectors.normalise import normalisation_for
from temper.distill.recipe import InputSection
from temper.distill.training.loader import PictureStore
from temper.export.evaluate import graph_detections
from temper.export.graph import build_graph
from temper.export.half import convert_fp16
from temper.export.parity import paddle_answers
from temper.export.quantize import quantisable
from temper.export.trace import trace_network
from toy_data import toy_data

#: Not square, and no multiple of PicoDet's largest stride.
SIZE = (96, 64)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("picodet", "grey"), ("picodet-esnet", "rgb"), ("ppyoloe", "rgb"), ("ppyoloe+", "grey")],
)
def test_graph_and_paddle_agree(kind: str, channels: str, tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy", 6, 2)
    section = SMALL[kind]
    detector = lively(section, data.labels)
    settings, normalisation = DecodeSettings(), normalisation_for(channels, section.pixel_scale)
    network = trace_network(detector, SIZE)
    assert not any(node.op_type == "BatchNormalization" for node in network.graph.node)
    coding = detector.box_coding(SIZE)
    model = build_graph(network, coding, 2, SIZE, channels, normalisation, settings, data.labels)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}[first.input[1]]
    assert numpy_helper.to_array(weights).shape[1] == (1 if channels == "grey" else 3), "mean and spread are folded in"
    graph = tmp_path / "fp32.onnx"
    graph.write_bytes(model.SerializeToString())
    store = PictureStore(data, InputSection(width=SIZE[0], height=SIZE[1]).rule(), channels)
    in_paddle = paddle_answers(detector, store, normalisation, settings, list(range(len(data))))
    in_graph = graph_detections(graph, store)
    apart = agreement(in_paddle, in_graph, settings)
    assert apart.matched > 20, "the test shows little on so few detections"
    sides = [one.detections.boxes for one in in_paddle]
    assert any(((boxes[:, :2] > 0) & (boxes[:, 2:] < 64)).all(axis=1).any() for boxes in sides), "all were clipped"
    tolerance = PADDLE_TOLERANCES["fp32"]
    assert apart.unmatched == 0
    assert apart.matched_scores.largest < tolerance.score
    assert apart.boxes_px.largest < tolerance.box_px
    for flavour in ("cpu", "tensorrt"):
        int8 = int8_of(model, [store.image(row) for row in range(4)], flavour)
        assert len(quantisable(int8, flavour)) > 40
        (tmp_path / "int8.onnx").write_bytes(int8.SerializeToString())
        assert graph_detections(tmp_path / "int8.onnx", store)
    half, kept = convert_fp16(model)
    assert len(kept) > 10
    (tmp_path / "fp16.onnx").write_bytes(half.SerializeToString())
    near, rule = Agreement(), MatchRule(settings.score_floor, settings.max_detections)
    for a, b in zip(in_graph, graph_detections(tmp_path / "fp16.onnx", store), strict=True):
        near.add_picture(a, b, rule)
    assert near.matched_share > 0.9
