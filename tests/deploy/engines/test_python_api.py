"""The builder's code against stand-ins that have exactly the names of each version (tests/standins)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from standin import VERSIONS, use_tensorrt
from temper.core.errors import MissingDependencyError, TemperError, UsageError
from temper.core.files import sha256_file
from temper.deploy.engines.options import build_options, parse_batch, parse_size
from temper.deploy.engines.python_api import build_engine, import_tensorrt
from temper.deploy.engines.request import BuildRequest
from tiny_bundle import tiny_graph

STRONG = ("10.8", "10.16", "11.4")


def make_request(
    folder: Path, precision: str = "fp32", model: onnx.ModelProto | None = None, **options: Any
) -> BuildRequest:
    batches, sizes = options.pop("batches", ("1:1:8",)), options.pop("sizes", ())
    graph = folder / "graph.onnx"
    onnx.save(model or tiny_graph(), str(graph))
    return BuildRequest(
        graph=graph,
        graph_sha256=sha256_file(graph),
        precision=precision,
        options=build_options(
            (64, 64), batches=tuple(map(parse_batch, batches)), sizes=tuple(map(parse_size, sizes)), **options
        ),
        engine=folder / "engine",
        timing_in=folder / "timing.old",
        timing_out=folder / "timing.new",
    )


def build(request: BuildRequest) -> dict[str, Any]:
    """What the stand-in was told to build."""
    build_engine(request, lambda percent, phase: None)
    head, _, model = request.engine.read_bytes().partition(b"\n")
    assert onnx.load_model_from_string(model) == onnx.load(str(request.graph))
    settings: dict[str, Any] = json.loads(head)
    return settings


def test_a_graph_that_was_exchanged_is_not_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "10.16")
    request = make_request(tmp_path)
    onnx.save(half_precision(tiny_graph()), str(request.graph))
    with pytest.raises(TemperError, match=r"^The graph graph\.onnx was changed while its engine was being built"):
        build(request)
    assert not request.engine.exists()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use_tensorrt(monkeypatch, request.param)
    return str(request.param)


def half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with one tensor of half precision, so that a weakly typed network must be allowed fp16."""
    value = numpy_helper.to_array(model.graph.initializer[0]).astype("float16")
    model.graph.initializer.append(numpy_helper.from_array(value, "half"))
    return model


def test_a_plain_build_of_every_version(version: str, tmp_path: Path) -> None:
    assert build(make_request(tmp_path)) == {
        "tensorrt": import_tensorrt().__version__,
        "flags": [],  # no precision, and TF32 off: the numbers are those of the graph
        "typed": version in STRONG,
        "pools": {},
        "level": None,
        "hardware": "NONE",
        "dla": None,
        "profiles": [{"image": [[1, 64, 64], [1, 64, 64], [8, 64, 64]]}],
        "progress": version in STRONG,
    }


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_is_a_flag_in_8_6_alone(version: str, precision: str, tmp_path: Path) -> None:
    model = half_precision(tiny_graph()) if precision == "fp16" else None
    settings = build(make_request(tmp_path, precision, model))
    assert settings["flags"] == ([precision.upper()] if version == "8.6.1" else [])


def test_every_option_reaches_the_builder(version: str, tmp_path: Path) -> None:
    asked = make_request(
        tmp_path,
        batches=("1", "2:4"),
        workspace_mib=256,
        optimization_level=5,
        version_compatible=True,
        hardware_compatibility="ampere_plus",
        tf32=True,
    )
    settings = build(asked)
    assert settings["flags"] == ["TF32", "VERSION_COMPATIBLE"]
    assert settings["pools"] == {"WORKSPACE": 256 << 20}
    assert (settings["level"], settings["hardware"]) == (5, "AMPERE_PLUS")
    assert settings["profiles"] == [
        {"image": [[1, 64, 64], [1, 64, 64], [1, 64, 64]]},
        {"image": [[2, 64, 64], [4, 64, 64], [4, 64, 64]]},
    ]


def test_one_capability_where_the_version_has_it(version: str, tmp_path: Path) -> None:
    asked = make_request(tmp_path, hardware_compatibility="same_compute_capability")
    if version in ("10.16", "11.4"):
        assert build(asked)["hardware"] == "SAME_COMPUTE_CAPABILITY"
    else:
        with pytest.raises(UsageError, match="cannot build for every GPU of one compute capability"):
            build(asked)


def test_a_dla_takes_strong_types_in_11_only(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = make_request(tmp_path, "fp16", half_precision(tiny_graph()), batches=("1",), dla_core=1)
    with pytest.raises(UsageError, match="There is no DLA core 1 here: TensorRT finds 0"):
        build(asked)
    monkeypatch.setenv("STANDIN_DLA_CORES", "2")
    settings = build(asked)
    assert settings["dla"] == 1
    assert settings["typed"] == (version == "11.4")
    assert settings["flags"] == (["GPU_FALLBACK"] if version == "11.4" else ["FP16", "GPU_FALLBACK"])
    int8 = make_request(tmp_path, "int8", batches=("1",), dla_core=0)
    if version == "11.4":
        assert build(int8)["flags"] == ["GPU_FALLBACK"]
    else:
        with pytest.raises(UsageError, match="A DLA takes no graph with int8 inside before TensorRT 11"):
            build(int8)


def test_the_timing_cache_grows_and_one_of_another_version_is_left_aside(version: str, tmp_path: Path) -> None:
    asked = make_request(tmp_path)
    for built in (1, 2):
        build(asked)
        assert asked.timing_out.read_text().endswith(f" {built}")
        asked.timing_out.rename(asked.timing_in)
    asked.timing_in.write_bytes(b"7.0.0 99")
    build(asked)
    assert asked.timing_out.read_text().endswith(" 1")


def test_progress_is_told_where_tensorrt_tells_it(version: str, tmp_path: Path) -> None:
    heard: list[tuple[int, str]] = []
    build_engine(make_request(tmp_path), lambda percent, phase: heard.append((percent, phase)))
    if version == "8.6.1":
        assert heard == []
    else:
        assert heard[0] == (0, "Building Engine")
        assert heard[-1] == (100, "Building Engine")
        assert (25, "Timing Runner") in heard


def test_a_graph_that_is_not_taken_is_one_sentence(version: str, tmp_path: Path) -> None:
    asked = make_request(tmp_path)
    asked.graph.write_bytes(b"no graph")
    asked = asked.model_copy(update={"graph_sha256": sha256_file(asked.graph)})
    with pytest.raises(
        TemperError, match=r"^TensorRT [\d.]+ does not take the graph: Failed to parse the ONNX model\.$"
    ):
        build(asked)


def test_bytes_that_do_not_meet_a_cast_are_refused_as_tensorrt_does(version: str, tmp_path: Path) -> None:
    model = tiny_graph()
    (cast,) = [node for node in model.graph.node if "image" in node.input]
    cast.op_type = "Identity"
    with pytest.raises(TemperError, match="UINT8 must feed directly into a cast"):
        build(make_request(tmp_path, model=model))


def test_a_build_that_fails_says_why(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_FAIL", "build")
    asked = make_request(tmp_path)
    with pytest.raises(TemperError, match=r"^TensorRT [\d.]+ could not build the engine: out of memory\.$"):
        build(asked)
    assert not asked.engine.exists()


def test_a_size_that_the_graph_fixes_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"The graph's height is fixed at 64, so an engine cannot have height 32:64:64"
    ):
        build(make_request(tmp_path, sizes=("64x32:64x64",)))


def test_without_tensorrt_it_says_where_it_comes_from() -> None:
    with pytest.raises(
        MissingDependencyError, match=r"TensorRT cannot be imported \(No module named 'tensorrt'\)\. On a"
    ):
        import_tensorrt()
