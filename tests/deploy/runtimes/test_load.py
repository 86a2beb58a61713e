from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from standin import use_tensorrt
from temper.bundle.loader import open_bundle
from temper.commands.options import RUNTIME_NAMES
from temper.core.errors import TemperError, UsageError
from temper.deploy.runtimes.load import RUNTIMES, absences, load_runtime
from temper.detection.decode import DecodeSettings
from temper.distill.recipe import BenchmarkSection
from tiny_bundle import make_tiny_bundle, tiny_graph


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


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_exchanged_after_the_bundle_was_opened_is_not_run(tmp_path: Path, name: str) -> None:
    """Whoever may write the folder could wait until the signature and the hashes have been checked."""
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    variant = bundle.variant("fp32")
    other = tiny_graph(settings=DecodeSettings(nms_iou=0.1))
    bundle.graph_path(variant).write_bytes(other.SerializeToString())
    with pytest.raises(TemperError, match=r"graphs/fp32\.onnx .* is not the file its manifest describes"):
        load_runtime(name, bundle, variant, threads=1)


@pytest.mark.parametrize(("name", "most"), [("onnxruntime", 1.5), ("openvino", 2.5)])
def test_a_loaded_graph_keeps_no_copy_of_its_file(name: str, most: float) -> None:
    """Of 64 MiB of weights, in a process of its own; OpenVINO itself keeps them in two layouts."""
    done = subprocess.run([sys.executable, "-c", WEIGHING, name], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < most * 64


WEIGHING = """
import gc, sys
import numpy as np, psutil
from onnx import TensorProto, helper, numpy_helper
from temper.bundle.graph_file import OnnxFile
from temper.deploy.runtimes.onnxruntime import OnnxRuntime
from temper.deploy.runtimes.openvino import OpenVino

def graph(side):
    weights = np.random.default_rng(0).random((side, side), np.float32)
    value = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [value("x", TensorProto.FLOAT, ["B", side])],
        [value("y", TensorProto.FLOAT, ["B", side])], [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return OnnxFile(model.SerializeToString(), "g")

kind = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[sys.argv[1]]
kind(graph(8), 1).close()
asked = graph(4096)
gc.collect()
before = psutil.Process().memory_info().rss - len(asked.content)
runtime = kind(asked, 1)
del asked
gc.collect()
print((psutil.Process().memory_info().rss - before) / 2**20)
"""
