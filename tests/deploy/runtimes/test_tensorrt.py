"""The runtime's code on stand-ins for TensorRT and CUDA (tests/standins): the same numbers, and nothing left behind.

Work in a stream is done when it is waited for, and a context that was changed under a captured graph is an error there.
So what passes here keeps TensorRT's rules, though no GPU is near.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from standin import VERSIONS, use_tensorrt
from temper.bundle.loader import Bundle, open_bundle
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.events import Event
from temper.core.files import sha256_file
from temper.deploy.engines.build import ensure_engine
from temper.deploy.engines.options import BuildOptions, build_options, parse_batch
from temper.deploy.engines.python_api import build_engine
from temper.deploy.engines.record import read_record
from temper.deploy.engines.request import BuildRequest
from temper.deploy.runtimes.base import RawOutput
from temper.deploy.runtimes.load import load_runtime, prepare_runtime
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.deploy.runtimes.tensorrt import TensorRt
from temper.deploy.runtimes.tensorrt_engine import EngineRefusedError
from tiny_bundle import make_tiny_bundle

K = 100


@pytest.fixture(scope="session")
def colour_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("colour"), "rgb", (96, 64))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """CUDA under TensorRT 10.16; after the test nothing of it may be held."""
    module = use_tensorrt(monkeypatch, "10.16")
    yield module
    gc.collect()
    assert module.device.is_empty


def pictures(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def options_for(size: tuple[int, int], *batches: str, **others: object) -> BuildOptions:
    return build_options(size, batches=tuple(map(parse_batch, batches)), **others)


def engine_bytes(graph: Path, folder: Path, options: BuildOptions) -> bytes:
    asked = BuildRequest(
        graph=graph,
        graph_sha256=sha256_file(graph),
        precision="fp32",
        options=options,
        engine=folder / "engine",
        timing_in=folder / "timing",
        timing_out=folder / "timing",
    )
    build_engine(asked, lambda percent, phase: None)
    return asked.engine.read_bytes()


def open_runtime(bundle: Bundle, folder: Path, *batches: str, **others: object) -> TensorRt:
    rule = bundle.manifest.input
    options = options_for((rule.width, rule.height), *batches, **others)
    content = engine_bytes(bundle.graph_path(bundle.variant("fp32")), folder, options)
    return TensorRt(content, options, bundle.manifest.max_detections, "tiny")


def assert_same(found: RawOutput, expected: RawOutput) -> None:
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-4)
    assert [array.dtype for array in (found.boxes, found.scores, found.labels, found.count)] == [
        np.float32,
        np.float32,
        np.int32,
        np.int32,
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_numbers_of_the_graph(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    device = use_tensorrt(monkeypatch, version).device
    bundle = open_bundle(bundle_path)
    reference = OnnxRuntime(bundle.graph(bundle.variant("fp32")), 1)
    runtime = open_runtime(bundle, tmp_path)
    assert runtime.version.startswith(version)
    for count in (1, 1, 1, 3, 8, 3, 1):
        images = pictures(count, 64, 64, seed=count)
        assert_same(runtime.infer(images), reference.infer(images))
    runtime.close()
    assert device.is_empty


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_and_computing_are_timed_apart(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """In a call that is captured, in those before and after, and when another shape has come between."""
    device = use_tensorrt(monkeypatch, version).device
    runtime = open_runtime(open_bundle(bundle_path), tmp_path)
    told, computed = [], 0
    for count in (1, 1, 1, 3, 1, 1, 1, 1):
        times: dict[str, float] = {}
        started = time.perf_counter()
        runtime.infer_staged(pictures(count, 64, 64), times)
        whole = 1000 * (time.perf_counter() - started)
        assert set(times) == {"host_to_device", "compute", "device_to_host"}
        assert min(times.values()) > 0
        assert sum(times.values()) <= whole
        told.append(sum(times.values()) / whole)
        computed += times["compute"] == max(times.values())
    # the graph runs in the stand-in's one thread, and next to nothing else does, where no neighbour comes between
    assert max(told) >= 0.5
    assert computed >= len(told) / 2
    runtime.close()
    assert device.is_empty


def test_colour_and_another_size(colour_path: Path, tmp_path: Path, cuda: ModuleType) -> None:
    bundle = open_bundle(colour_path)
    runtime = open_runtime(bundle, tmp_path, "1", "2:8")
    images = pictures(5, 64, 96, 3)
    assert_same(runtime.infer(images), OnnxRuntime(bundle.graph(bundle.variant("fp32")), 1).infer(images))
    runtime.close()


def test_what_it_says_of_its_tensors_is_what_the_contract_asks(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType
) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path)
    assert [(t.name, t.dtype, t.shape) for t in (*runtime.inputs, *runtime.outputs)] == [
        ("image", "uint8", (None, 64, 64)),
        ("boxes", "float32", (None, K, 4)),
        ("scores", "float32", (None, K)),
        ("labels", "int32", (None, K)),
        ("count", "int32", (None,)),
    ]
    runtime.close()


def test_buffers_are_as_large_as_the_largest_batch_and_no_larger(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType
) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path, "1", "2:6")
    sizes = sorted(len(block) for block in cuda.device.memory.values())
    expected = [6 * 64 * 64, 6 * K * 4 * 4, 6 * K * 4, 6 * K * 4, 6 * 4]
    assert sizes == sorted(2 * expected), "each once on the host and once on the GPU"
    runtime.close()


def test_from_the_second_call_of_a_shape_on_one_graph_is_launched(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType
) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path)
    launches = []
    for count in (1, 1, 1, 2, 2, 1, 1):
        runtime.infer(pictures(count, 64, 64))
        launches.append(cuda.device.launches)
        assert len(cuda.device.graphs) <= 1, "a graph whose shape has gone is given back"
    assert launches == [0, 1, 2, 2, 3, 3, 4]
    assert runtime.notes == ("Calls run as one CUDA graph.",)
    runtime.close()


def test_where_calls_cannot_be_captured_they_go_on_as_they_are(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(bundle_path)
    reference = OnnxRuntime(bundle.graph(bundle.variant("fp32")), 1)
    runtime = open_runtime(bundle, tmp_path)
    monkeypatch.setenv("STANDIN_FAIL", "capture")
    for seed in range(4):
        images = pictures(2, 64, 64, seed=seed)
        assert_same(runtime.infer(images), reference.infer(images))
    assert cuda.device.launches == 0
    (note,) = runtime.notes
    assert note.startswith("Calls are not captured as a CUDA graph: ")
    assert "operation not permitted when stream is capturing" in note
    runtime.close()


def test_an_answer_stays_when_the_next_call_comes(bundle_path: Path, tmp_path: Path, cuda: ModuleType) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path)
    first = runtime.infer(pictures(1, 64, 64, seed=1))
    kept = first.scores.copy()
    runtime.infer(pictures(1, 64, 64, seed=2))
    np.testing.assert_array_equal(first.scores, kept)
    runtime.close()


def test_each_batch_goes_to_the_profile_made_for_it(bundle_path: Path, tmp_path: Path, cuda: ModuleType) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path, "1", "4:8")
    assert runtime.infer(pictures(1, 64, 64)).count.shape == (1,)
    assert runtime.infer(pictures(6, 64, 64)).count.shape == (6,)
    with pytest.raises(
        UsageError,
        match=r"takes batches of 1:1:1 at .*, 4:8:8 at .*, and 2 pictures of 64 x 64 were given\. .*--batch 1:2",
    ):
        runtime.infer(pictures(2, 64, 64))
    assert runtime.infer(pictures(1, 64, 64)).count.shape == (1,), "and it goes on"
    runtime.close()


def test_a_version_compatible_engine_may_run_its_code(bundle_path: Path, tmp_path: Path, cuda: ModuleType) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path, version_compatible=True)
    runtime.infer(pictures(1, 64, 64))
    runtime.close()


def test_too_little_memory_is_one_sentence_and_gives_back_what_it_had(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType
) -> None:
    cuda.device.capacity = 40_000
    with pytest.raises(TemperError, match=r"^CUDA failed to allocate 32,768 bytes of GPU memory: .*\(error 2\)\.$"):
        open_runtime(open_bundle(bundle_path), tmp_path)


def test_a_fault_on_the_gpu_is_one_sentence(bundle_path: Path, tmp_path: Path, cuda: ModuleType) -> None:
    runtime = open_runtime(open_bundle(bundle_path), tmp_path)
    cuda.device.fault = cuda.cudaError_t.cudaErrorLaunchFailure
    with pytest.raises(TemperError, match=r"^CUDA failed to finish the work of a stream: .* \(error 719\)\.$"):
        runtime.infer(pictures(1, 64, 64))
    cuda.device.fault = None
    runtime.close()


def test_an_engine_that_tensorrt_refuses_is_told_apart(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAIL", "refuse")
    with pytest.raises(
        EngineRefusedError, match="does not take the engine of tiny: The engine plan file is not compatible"
    ):
        open_runtime(open_bundle(bundle_path), tmp_path)


def test_without_cuda_python_it_says_which_to_take(
    bundle_path: Path, tmp_path: Path, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    bundle = open_bundle(bundle_path)
    options = options_for((64, 64))
    content = engine_bytes(bundle.graph_path(bundle.variant("fp32")), tmp_path, options)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(
        MissingDependencyError, match=r"driven through cuda-python, which cannot be imported .*CUDA 13\.$"
    ):
        TensorRt(content, options, K, "tiny")


def test_loading_builds_what_is_missing_and_runs_it(tmp_path: Path, cuda: ModuleType) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    variant = bundle.variant("fp32")
    heard: list[Event] = []
    runtime = load_runtime("tensorrt", bundle, variant, report=heard.append)
    assert [event.data["message"] for event in heard if event.kind == "note"] == [
        "Building the engine of fp32 for Orin: there is none yet."
    ]
    images = pictures(2, 64, 64)
    assert_same(runtime.infer(images), OnnxRuntime(bundle.graph(variant), 1).infer(images))
    runtime.close()
    heard.clear()
    load_runtime("tensorrt", bundle, variant, report=heard.append).close()
    assert heard == [], "the second time it is there"


def test_an_engine_refused_despite_its_record_is_built_once_more(
    tmp_path: Path, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    variant = bundle.variant("fp32")
    first = ensure_engine(bundle, variant)
    monkeypatch.setenv("STANDIN_FAIL", "refuse")
    heard: list[Event] = []
    with pytest.raises(EngineRefusedError, match="does not take the engine"):
        load_runtime("tensorrt", bundle, variant, report=heard.append)
    assert sum(event.kind == "note" for event in heard) == 1
    second = read_record(first.place)
    assert second is not None and second.options == first.record.options


def test_a_benchmark_learns_before_it_starts_that_a_batch_is_too_large(tmp_path: Path, cuda: ModuleType) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    prepare_runtime("tensorrt", bundle, bundle.variant("fp32"), 8)
    with pytest.raises(UsageError, match=r"was not built for 9 pictures at once\. .* tiny\.temper --batch 1:9\."):
        prepare_runtime("tensorrt", bundle, bundle.variant("fp32"), 9)
    prepare_runtime("onnxruntime", bundle, bundle.variant("fp32"), 1000)
