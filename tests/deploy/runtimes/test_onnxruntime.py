from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from temper.bundle.graph_file import OnnxFile
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.deploy.runtimes.base import TensorInfo
from temper.deploy.runtimes.onnxruntime import OnnxRuntime


@pytest.fixture
def graph(bundle_path: Path) -> OnnxFile:
    bundle = open_bundle(bundle_path)
    return bundle.graph(bundle.variant("fp32"))


def test_it_says_what_the_graph_takes_and_gives(graph: OnnxFile) -> None:
    runtime = OnnxRuntime(graph, threads=1)
    assert runtime.inputs == (TensorInfo("image", "uint8", (None, 64, 64)),)
    assert [(tensor.name, tensor.dtype) for tensor in runtime.outputs] == [
        ("boxes", "float32"),
        ("scores", "float32"),
        ("labels", "int32"),
        ("count", "int32"),
    ]


def test_the_number_of_threads_changes_nothing_but_speed(graph: OnnxFile) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64), np.uint8)
    one, two = OnnxRuntime(graph, threads=1).infer(images), OnnxRuntime(graph, threads=2).infer(images)
    assert one.count.tolist() == two.count.tolist()
    assert one.count.min() > 0
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


def test_a_file_that_is_no_graph_is_one_sentence() -> None:
    with pytest.raises(
        TemperError, match=r"^ONNX Runtime [\d.]+ cannot load .*graph\.onnx: .*Export the bundle again"
    ) as caught:
        OnnxRuntime(OnnxFile(b"these are not the weights", "graph.onnx"))
    assert "\n" not in str(caught.value)


def test_what_the_runtime_refuses_is_one_sentence(graph: OnnxFile) -> None:
    with pytest.raises(TemperError, match=r"^ONNX Runtime [\d.]+ failed on tiny\.temper:graphs/fp32\.onnx: ") as caught:
        OnnxRuntime(graph, threads=1).infer(np.zeros((1, 8, 8), np.uint8))
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text(graph: OnnxFile) -> None:
    graph = OnnxFile(graph.content.replace(b"image", b"imag\x80"), graph.title)
    with pytest.raises(TemperError, match="in no readable text"):
        OnnxRuntime(graph, threads=1)
