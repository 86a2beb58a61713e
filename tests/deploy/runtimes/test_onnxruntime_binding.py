"""IO binding: on the processor's memory everywhere, on a GPU where there is one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from temper.bundle.graph_file import OnnxFile
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.deploy.detector import open_detector
from temper.deploy.runtimes.base import RawOutput, Staged
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.deploy.runtimes.onnxruntime_binding import BoundOnnxRuntime
from temper.deploy.runtimes.onnxruntime_providers import CUDA

needs_gpu = pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers(), reason="this ONNX Runtime has no CUDA provider"
)


@pytest.fixture
def graph(bundle_path: Path) -> OnnxFile:
    bundle = open_bundle(bundle_path)
    return bundle.graph(bundle.variant("fp32"))


class OnTheProcessor(BoundOnnxRuntime):
    """The same calls of ONNX Runtime, with the processor for a device."""

    device = "cpu"


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64), np.uint8)


def assert_alike(found: RawOutput, expected: RawOutput, tolerance: float) -> None:
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=100 * tolerance)


def check_numbers_and_stages(runtime: BoundOnnxRuntime, reference: OnnxRuntime, tolerance: float) -> None:
    for seed, count in enumerate((1, 1, 3, 1, 1)):
        images = pictures(count, seed)
        times: dict[str, float] = {}
        started = time.perf_counter()
        answer = runtime.infer_staged(images, times)
        whole = 1000 * (time.perf_counter() - started)
        assert set(times) == {"host_to_device", "compute", "device_to_host"}
        assert min(times.values()) > 0
        assert sum(times.values()) <= whole
        assert_alike(answer, reference.infer(images), tolerance)


def test_bound_calls_give_the_same_numbers(graph: OnnxFile) -> None:
    check_numbers_and_stages(OnTheProcessor(graph, 1, "onnxruntime"), OnnxRuntime(graph, 1), 1e-6)


def test_answers_outlive_the_next_call(graph: OnnxFile) -> None:
    runtime = OnTheProcessor(graph, 1, "onnxruntime")
    first = runtime.infer_staged(pictures(1, 1), {})
    kept = first.scores.copy()
    runtime.infer_staged(pictures(1, 2), {})
    np.testing.assert_array_equal(first.scores, kept)


def test_what_the_runtime_refuses_is_one_sentence(graph: OnnxFile) -> None:
    runtime = OnTheProcessor(graph, 1, "onnxruntime")
    with pytest.raises(TemperError, match=r"^ONNX Runtime [\d.]+ failed on tiny\.temper:graphs/fp32\.onnx: ") as caught:
        runtime.infer_staged(np.zeros((1, 8, 8), np.uint8), {})
    assert "\n" not in str(caught.value)
    assert runtime.infer_staged(pictures(1), {}).count.shape == (1,), "and it goes on"


def test_only_a_gpu_has_copies(graph: OnnxFile) -> None:
    assert not isinstance(OnnxRuntime(graph, 1), Staged)
    assert isinstance(OnTheProcessor(graph, 1, "onnxruntime"), Staged)


@needs_gpu
def test_a_gpu_gives_the_numbers_of_the_processor_and_tells_its_copies(graph: OnnxFile) -> None:
    runtime = BoundOnnxRuntime(graph, 1, "onnxruntime-cuda")
    check_numbers_and_stages(runtime, OnnxRuntime(graph, 1), 1e-3)
    runtime.close()


@needs_gpu
def test_every_stage_of_a_gpu_adds_up_to_the_whole(bundle_path: Path) -> None:
    detector = open_detector(open_bundle(bundle_path), "fp32", "onnxruntime-cuda")
    sums, wholes = [], []
    for seed in range(30):
        times: dict[str, float] = {}
        detector.detect(pictures(1, seed)[0], timer=times)
        wholes.append(times.pop("end_to_end"))
        sums.append(sum(times.values()))
        assert set(times) == {"preprocess", "host_to_device", "compute", "device_to_host", "postprocess"}
    # the contract is checked in between
    assert 0.8 * np.median(wholes) <= np.median(sums) <= np.median(wholes)
