from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.deploy.runtimes.base import TensorInfo
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from tiny_bundle import make_tiny_bundle


@pytest.fixture
def graph(bundle_path: Path) -> Path:
    bundle = open_bundle(bundle_path)
    return bundle.graph_path(bundle.variant("fp32"))


def test_it_says_what_the_graph_takes_and_gives(graph: Path) -> None:
    runtime = OnnxRuntime(graph, threads=1)
    assert runtime.inputs == (TensorInfo("image", "uint8", (None, 64, 64)),)
    assert [(tensor.name, tensor.dtype) for tensor in runtime.outputs] == [
        ("boxes", "float32"),
        ("scores", "float32"),
        ("labels", "int32"),
        ("count", "int32"),
    ]


def test_the_number_of_threads_changes_nothing_but_speed(graph: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64), np.uint8)
    one, two = OnnxRuntime(graph, threads=1).infer(images), OnnxRuntime(graph, threads=2).infer(images)
    assert one.count.tolist() == two.count.tolist()
    assert one.count.min() > 0
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


def test_a_file_that_is_no_graph_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"these are not the weights")
    with pytest.raises(
        TemperError, match=r"^ONNX Runtime [\d.]+ cannot load .*graph\.onnx: .*Export the bundle again"
    ) as caught:
        OnnxRuntime(path)
    assert "\n" not in str(caught.value)


def test_what_the_runtime_refuses_is_one_sentence(graph: Path) -> None:
    with pytest.raises(TemperError, match=r"^ONNX Runtime [\d.]+ failed on fp32\.onnx: ") as caught:
        OnnxRuntime(graph, threads=1).infer(np.zeros((1, 8, 8), np.uint8))
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = make_tiny_bundle(tmp_path) / "graphs" / "fp32.onnx"
    path.write_bytes(path.read_bytes().replace(b"image", b"imag\x80"))
    with pytest.raises(TemperError, match="in no readable text"):
        OnnxRuntime(path, threads=1)
