from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantised import int8_of
from temper.bundle.graph_file import OnnxFile
from temper.bundle.loader import open_bundle
from temper.core.errors import MissingDependencyError, TemperError
from temper.deploy.compare import TOLERANCES, Comparison, same_answer
from temper.deploy.line.batching import SIZES, fast_sizes
from temper.deploy.runtimes.base import RawOutput, TensorInfo
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.deploy.runtimes.openvino import OpenVino
from tiny_bundle import make_tiny_bundle

BATCH = TOLERANCES["fp32"].batch


@pytest.fixture(scope="module", params=["grey", "rgb"])
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnnxFile:
    bundle = open_bundle(make_tiny_bundle(tmp_path_factory.mktemp("openvino"), request.param, (96, 64)))
    return bundle.graph(bundle.variant("fp32"))


def pictures(graph: OpenVino, count: int, seed: int = 0) -> np.ndarray:
    (image,) = graph.inputs
    shape = (count, *(length or 0 for length in image.shape[1:]))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def setting(runtime: OpenVino, name: str) -> Any:
    """What OpenVINO says of a compiled graph."""
    return runtime._requests[1].get_compiled_model().get_property(name)


def row(answer: RawOutput, index: int) -> RawOutput:
    part = slice(index, index + 1)
    return RawOutput(answer.boxes[part], answer.scores[part], answer.labels[part], answer.count[part])


def test_it_gives_onnx_runtimes_numbers_at_every_batch(graph: OnnxFile) -> None:
    reference, runtime = OnnxRuntime(graph, 1), OpenVino(graph, 1)
    for count in (1, 4, 1, 8, 2):
        images = pictures(runtime, count, seed=count)
        ours, theirs = runtime.infer(images), reference.infer(images)
        assert theirs.count.min() > 5, "the test shows little on so few detections"
        np.testing.assert_array_equal(ours.count, theirs.count)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
        assert all(same_answer(row(ours, i), row(theirs, i), 0.02, BATCH) for i in range(count))


def test_a_batch_of_eight_is_eight_times_a_batch_of_one(graph: OnnxFile) -> None:
    runtime = OpenVino(graph, 1)
    images = pictures(runtime, 8)
    together = runtime.infer(images)
    for index in range(8):
        assert same_answer(runtime.infer(images[index : index + 1]), row(together, index), 0.02, BATCH)


def test_threads_change_nothing_but_speed(graph: OnnxFile) -> None:
    one, two = OpenVino(graph, 1), OpenVino(graph, 2)
    images = pictures(one, 2)
    assert [setting(runtime, "INFERENCE_NUM_THREADS") for runtime in (one, two)] == [1, 2]
    np.testing.assert_allclose(one.infer(images).scores, two.infer(images).scores, atol=1e-5)


def test_numbers_stay_fp32_whatever_the_processor_could(graph: OnnxFile) -> None:
    assert setting(OpenVino(graph), "INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_each_batch_size_has_a_graph_of_its_own_and_some_are_kept(graph: OnnxFile) -> None:
    """With an open batch OpenVINO computes int8 graphs wrongly."""
    runtime = OpenVino(graph, 1)
    for count in (2, 3, 1, 4, 5, 6, 7, 8, 9):
        runtime.infer(pictures(runtime, count))
    assert list(runtime._requests) == [3, 1, 4, 5, 6, 7, 8, 9]
    for count, request in runtime._requests.items():
        compiled = request.get_compiled_model()
        assert compiled.inputs[0].get_partial_shape()[0].get_length() == count
        assert compiled.inputs[0].get_partial_shape().is_static


def test_nothing_a_line_has_tried_is_compiled_again(graph: OnnxFile) -> None:
    """It takes as long as a hundred frames do."""
    runtime = OpenVino(graph, 1)
    (image,) = runtime.inputs
    shape = tuple(length or 0 for length in image.shape[1:])
    sizes = fast_sizes(runtime, shape, max(SIZES))
    for size in SIZES:  # on a slow machine it may not have tried them all
        runtime.infer(pictures(runtime, size))
    compiled = dict(runtime._requests)
    assert set(compiled) == set(SIZES) >= set(sizes)
    for size in SIZES:
        runtime.infer(pictures(runtime, size))
        assert runtime._requests[size] is compiled[size]


def test_an_int8_graph_is_as_near_as_rounding_allows(graph: OnnxFile) -> None:
    calibration = pictures(OpenVino(graph, 1), 16, seed=5)
    model = int8_of(onnx.load_from_string(graph.content), list(calibration))
    quantised = OnnxFile(model.SerializeToString(), "int8.onnx")
    runtime, comparison = OpenVino(quantised, 1), Comparison(0.02)
    images = pictures(runtime, 8, seed=6)
    comparison.add(OnnxRuntime(quantised, 1).infer(images), runtime.infer(images))
    assert comparison.matched > 100
    assert comparison.matched_share > TOLERANCES["int8"].matched_share
    assert comparison.scores.largest < 0.03


def test_it_says_what_the_graph_takes_and_gives(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    runtime = OpenVino(bundle.graph(bundle.variant("fp32")), 1)
    assert runtime.inputs == (TensorInfo("image", "uint8", (None, 64, 64)),)
    assert runtime.outputs == (
        TensorInfo("boxes", "float32", (None, 100, 4)),
        TensorInfo("scores", "float32", (None, 100)),
        TensorInfo("labels", "int32", (None, 100)),
        TensorInfo("count", "int32", (None,)),
    )


def test_an_answer_stays_when_the_next_call_comes(graph: OnnxFile) -> None:
    runtime = OpenVino(graph, 1)
    first = runtime.infer(pictures(runtime, 1, seed=1))
    kept = first.scores.copy()
    runtime.infer(pictures(runtime, 1, seed=2))
    np.testing.assert_array_equal(first.scores, kept)


def test_a_file_that_is_no_graph_is_one_sentence() -> None:
    with pytest.raises(
        TemperError, match=r"^OpenVINO [\d.]+ cannot load .*graph\.onnx: Unable to read the model"
    ) as caught:
        OpenVino(OnnxFile(b"these are not the weights", "graph.onnx"))
    assert "\n" not in str(caught.value)


def test_what_the_runtime_refuses_is_one_sentence(graph: OnnxFile) -> None:
    with pytest.raises(TemperError, match=r"^OpenVINO [\d.]+ failed on tiny\.temper:graphs/fp32\.onnx: ") as caught:
        OpenVino(graph, 1).infer(np.zeros((1, 8, 8), np.uint8))
    assert "\n" not in str(caught.value)
    assert "src/" not in str(caught.value)


def test_without_openvino_it_says_how_to_get_it(graph: OnnxFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"OpenVINO cannot be imported .*pip install 'openvino>=2024\.6'"):
        OpenVino(graph)


def test_it_opens_no_connection(graph: OnnxFile, tmp_path: Path) -> None:
    """openvino brings a telemetry package along; loading and running a graph must not wake it."""
    (tmp_path / "graph.onnx").write_bytes(graph.content)
    code = f"""
import socket, sys
def refuse(*words, **more):
    print("connects")
    raise OSError("no network here")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy
from pathlib import Path
from temper.bundle.graph_file import OnnxFile
from temper.deploy.runtimes.openvino import OpenVino
from temper.export.quantize import quantize
runtime = OpenVino(OnnxFile.read(Path({str(tmp_path / "graph.onnx")!r})), 1)
runtime.infer(numpy.zeros([1, *runtime.inputs[0].shape[1:]], numpy.uint8))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_signal_after_overlapping_runtimes_is_survived(graph: OnnxFile, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(graph.content)
    code = """
import os, signal, sys
from pathlib import Path
from temper.bundle.graph_file import OnnxFile
from temper.deploy.runtimes.openvino import OpenVino
first = OpenVino(OnnxFile.read(Path(sys.argv[1])), 1)
second = OpenVino(OnnxFile.read(Path(sys.argv[1])), 1)
first.close()
del first
second.close()
del second
signal.signal(signal.SIGTERM, lambda number, frame: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "graph.onnx")], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
