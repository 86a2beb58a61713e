from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from standin import use_tensorrt
from temper.bundle.loader import open_bundle
from temper.commands.options import RUNTIME_NAMES
from temper.core.errors import UsageError
from temper.deploy.runtimes.load import RUNTIMES, absences, load_runtime
from temper.distill.recipe import BenchmarkSection


def test_what_this_machine_has_loads_under_its_own_name(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    there = [name for name, absence in absences().items() if absence is None]
    assert {"onnxruntime", "openvino"} <= set(there)
    for name in there:
        runtime = load_runtime(name, bundle, bundle.variant("fp32"), threads=1)
        assert runtime.name == name
        assert runtime.version
        assert runtime.notes == ()
        runtime.close()


def test_commands_and_recipes_know_the_same_names() -> None:
    assert set(RUNTIME_NAMES) == set(RUNTIMES)
    (names, _) = get_args(get_type_hints(BenchmarkSection)["runtimes"])
    assert set(get_args(names)) == set(RUNTIMES)


def test_what_is_absent_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = absences()
    assert "no CUDAExecutionProvider" in str(reasons["onnxruntime-cuda"])
    assert "no NVIDIA driver" in str(reasons["tensorrt"])
    use_tensorrt(monkeypatch, "10.16")
    assert absences()["tensorrt"] is None


def test_a_gpu_without_bindings_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.deploy.runtimes.load.current_gpu", lambda: None)
    assert "TensorRT's Python bindings are not installed here" in str(absences()["tensorrt"])


def test_an_unknown_runtime_gets_the_nearest_name(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    with pytest.raises(UsageError, match=r"There is no runtime 'onnxrutime'\. Did you mean 'onnxruntime'\?"):
        load_runtime("onnxrutime", bundle, bundle.variant("fp32"))


def test_no_threads_are_refused(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    with pytest.raises(UsageError, match="at least 1 thread; 0 were asked for"):
        load_runtime("onnxruntime", bundle, bundle.variant("fp32"), threads=0)
