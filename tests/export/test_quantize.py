from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from temper.core.errors import TemperError
from temper.detection.agreement import Agreement, Closeness, MatchRule
from temper.detection.detections import Detections
from temper.export.quantize import nodes_to_quantize, quantize_int8
from tiny_bundle import tiny_graph

SIZE = (64, 64)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fp32") / "fp32.onnx"
    onnx.save(tiny_graph("grey", SIZE), str(path))
    return path


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE[1], SIZE[0]), dtype=np.uint8)


def run(path: Path, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(
        None, {"image": images}
    )


def rows_of(answer: list[np.ndarray], i: int) -> Detections:
    boxes, scores, labels, count = answer
    n = int(count[i])
    return Detections(boxes[i, :n], scores[i, :n], labels[i, :n], SIZE)


@pytest.mark.parametrize("method", ["min_max", "percentile"])
def test_close_to_fp32_in_standard_operators(fp32: Path, tmp_path: Path, method: str) -> None:
    target = tmp_path / "int8.onnx"
    report = quantize_int8(fp32, iter(pictures(10)), target, method=method)
    assert (report.method, report.images) == (method, 10)
    assert report.quantised["Conv"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["int8.onnx"], "nothing else is left"

    model, original = onnx.load(str(target)), onnx.load(str(fp32))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert model.metadata_props == original.metadata_props
    assert model.opset_import == original.opset_import
    assert target.stat().st_size < 2 * fp32.stat().st_size

    images = pictures(6, seed=5)
    exact, close = run(fp32, images), run(target, images)
    apart, rule = Agreement(), MatchRule(0.02, 100, Closeness(score=0.1))
    for i in range(len(images)):
        apart.add_picture(rows_of(exact, i), rows_of(close, i), rule)
    assert apart.matched > 200
    assert apart.matched_share > 0.9
    assert apart.boxes_px.largest < 1


def test_tail_and_last_convolutions_stay_in_floating_point(fp32: Path, tmp_path: Path) -> None:
    original = onnx.load(str(fp32))
    names, kept = nodes_to_quantize(original)
    assert kept == ("network/Conv_3", "network/Conv_4")
    assert not set(kept) & set(names)
    assert all(name.startswith("network/") for name in names)
    quantize_int8(fp32, pictures(4), tmp_path / "int8.onnx")
    model = onnx.load(str(tmp_path / "int8.onnx"))
    tail = {node.name: node for node in model.graph.node if node.name.startswith("tail/")}
    quantised_tensors = {o for n in model.graph.node if n.op_type == "DequantizeLinear" for o in n.output}
    for node in original.graph.node:
        if node.name.startswith("tail/"):
            assert tail[node.name].op_type == node.op_type
            assert not set(tail[node.name].input) & quantised_tensors


def test_weights_leave_room_for_processors_that_add_in_16_bits(fp32: Path, tmp_path: Path) -> None:
    quantize_int8(fp32, pictures(4), tmp_path / "int8.onnx")
    model = onnx.load(str(tmp_path / "int8.onnx"))
    weights = [
        numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims
    ]
    whole = [w for w in weights if w.ndim == 4]
    assert len(whole) == 3
    for values in whole:
        assert np.abs(values.astype(int)).max() <= 64
        # per channel: nearly every output channel uses its range
        assert (np.abs(values.astype(int)).reshape(len(values), -1).max(axis=1) >= 60).all()


def test_same_pictures_same_bytes(fp32: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize_int8(fp32, pictures(5), tmp_path / f"{name}.onnx")
    first, second = (onnx.load(str(tmp_path / f"{name}.onnx")) for name in ("a", "b"))
    for got, want in zip(run(tmp_path / "a.onnx", pictures(3)), run(tmp_path / "b.onnx", pictures(3)), strict=True):
        np.testing.assert_array_equal(got, want)
    assert sorted(n.name for n in first.graph.node) == sorted(n.name for n in second.graph.node)


def test_nothing_reaches_the_terminal(fp32: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quantize_int8(fp32, pictures(3), tmp_path / "int8.onnx", method="percentile")
    assert capfd.readouterr() == ("", "")


def test_no_pictures(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(TemperError, match="needs pictures"):
        quantize_int8(fp32, [], tmp_path / "int8.onnx")


def test_what_onnx_runtime_cannot_quantise_is_said(fp32: Path, tmp_path: Path) -> None:
    wrong_size = np.zeros((4, 16, 16), np.uint8)
    with pytest.raises(TemperError, match="could not quantise the graph") as caught:
        quantize_int8(fp32, wrong_size, tmp_path / "int8.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
