from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from temper.bundle.loader import open_bundle
from temper.core.errors import MissingDependencyError, TemperError
from temper.deploy.runtimes import onnxruntime as module
from temper.deploy.runtimes.load import load_runtime
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.deploy.runtimes.onnxruntime_providers import (
    CPU,
    CUDA,
    PROVIDERS,
    TENSORRT,
    library_fault,
    provider_fault,
    providers,
)


def test_the_processor_is_always_the_last_resort() -> None:
    assert {name: [provider for provider, _ in providers(name, "fp32")] for name in PROVIDERS} == {
        "onnxruntime": [CPU],
        "onnxruntime-cuda": [CUDA, CPU],
        "onnxruntime-tensorrt": [TENSORRT, CUDA, CPU],
    }


def test_nothing_lowers_the_precision_of_the_graph() -> None:
    assert dict(providers("onnxruntime-cuda", "fp32"))[CUDA]["use_tf32"] == "0"
    for precision, flags in (("fp32", ("0", "0")), ("fp16", ("1", "0")), ("int8", ("0", "1"))):
        options = dict(providers("onnxruntime-tensorrt", precision))[TENSORRT]  # type: ignore[arg-type]
        assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == flags


def test_timing_is_kept_and_engines_are_not(tmp_path: Path) -> None:
    options = dict(providers("onnxruntime-tensorrt", "fp32", tmp_path))[TENSORRT]
    assert options["trt_timing_cache_enable"] == "1"
    assert options["trt_timing_cache_path"] == str(tmp_path)
    assert not [name for name in options if "engine_cache" in name]
    assert "trt_timing_cache_enable" not in dict(providers("onnxruntime-tensorrt", "fp32"))[TENSORRT]


def test_only_what_the_build_has_is_offered() -> None:
    assert provider_fault("onnxruntime", [CPU]) is None
    assert provider_fault("onnxruntime-cuda", [CUDA, CPU]) is None
    assert provider_fault("onnxruntime-tensorrt", [CUDA, CPU]) is not None


def test_a_library_that_a_provider_lacks_is_named(tmp_path: Path) -> None:
    """A build lists its providers whether or not their libraries are there."""
    build = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    assert library_fault("onnxruntime", build) is None
    assert library_fault("onnxruntime-tensorrt", build) is None, "a build that keeps it elsewhere is left to try"
    (tmp_path / "capi").mkdir()
    provider = tmp_path / "capi" / "libonnxruntime_providers_tensorrt.so"
    provider.write_bytes(b"\0libc.so.6\0libnvinfer.so.999\0")
    fault = library_fault("onnxruntime-tensorrt", build)
    assert fault is not None and "libnvinfer.so.999, which it needs, is not found" in fault
    provider.write_bytes(b"")
    assert library_fault("onnxruntime-tensorrt", build) is None


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_a_provider_that_is_not_in_this_build_is_one_sentence(bundle_path: Path, name: str) -> None:
    bundle = open_bundle(bundle_path)
    with pytest.raises(
        MissingDependencyError,
        match=rf"^The ONNX Runtime installed here has no {PROVIDERS[name][0]}, which '{name}' needs \(it has: .*CPUEx",
    ):
        load_runtime(name, bundle, bundle.variant("fp32"))


def test_a_provider_whose_libraries_do_not_load_is_not_taken_for_a_gpu(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime goes on with the processor then, and says nothing."""
    bundle = open_bundle(bundle_path)
    real = module.import_onnxruntime()

    class WithCuda:
        """The build that is installed, as one whose libraries are broken: it says CUDA, and does without."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def get_available_providers(self) -> list[str]:
            return [CUDA, CPU]

        def preload_dlls(self) -> None:
            self.preloaded = True

        def set_default_logger_severity(self, severity: int) -> None:
            self.severity = severity

        def InferenceSession(self, path: str, options: object, providers: list[object], **_: int) -> object:
            return real.InferenceSession(path, options, providers=providers[-1:])

    monkeypatch.setattr(module, "import_onnxruntime", WithCuda)
    with pytest.raises(TemperError, match="has CUDAExecutionProvider, but its libraries do not load here"):
        OnnxRuntime(bundle.graph(bundle.variant("fp32")), 1, "onnxruntime-cuda")
