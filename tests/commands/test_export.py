from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from standin import use_tensorrt
from temper.commands.export import export
from temper.core.errors import TemperError, UsageError
from temper.core.files import read_json
from temper.detection.decode import DecodeSettings
from tiny_bundle import make_tiny_bundle


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(export, ["trt", *map(str, arguments)])


def test_trt_builds_and_then_keeps(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "10.16")
    result = invoke(tiny, "--batch", "1", "--batch", "2:8", "--workspace", 64, "--level", 2, "--tf32")
    assert result.exit_code == 0, result.exception
    engine = tiny.parent / "tiny.engines" / "orin-sm87-16mp" / "fp32.engine"
    last = result.output.splitlines()[-1]
    assert last.startswith(f"{engine}  Orin, TensorRT 10.16.1.11, built in ")
    record = read_json(engine.with_suffix(".json"))
    assert [profile["batch"] for profile in record["options"]["profiles"]] == [
        {"least": 1, "usual": 1, "most": 1},
        {"least": 2, "usual": 8, "most": 8},
    ]
    assert (record["options"]["workspace_mib"], record["options"]["optimization_level"]) == (64, 2)
    again = invoke(tiny, "--batch", "1", "--batch", "2:8", "--workspace", 64, "--level", 2, "--tf32")
    assert again.output == f"{engine}  Orin, TensorRT 10.16.1.11, fits, kept\n"


def test_trt_as_json(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "11.4")
    result = invoke(tiny, "--variant", "fp32", "--hardware", "ampere-plus", "--version-compatible", "--json")
    assert result.exit_code == 0, result.exception
    events = [json.loads(line) for line in result.output.splitlines()]
    assert events[0]["event"] == "note" and "there is none yet" in events[0]["message"]
    assert events[1] == {"event": "step", "stage": "engine", "done": 0, "total": 100, "unit": "% (Building Engine)"}
    assert events[-1]["event"] == "engine" and events[-1]["built"] is True
    assert events[-1]["record"]["options"]["hardware_compatibility"] == "ampere_plus"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch", "zero"], "A batch is a number"),
        (["--size", "8"], "A size is WIDTHxHEIGHT"),
        (["--variant", "fp61"], "has no variant 'fp61'"),
        (["--dla", "0"], "a DLA takes one shape only: give it --batch 1"),
        (["--dla", "0", "--batch", "1"], "A DLA computes in fp16 and int8, and 'fp32' is fp32"),
        (["--size", "32x32:64x64"], "is of one size, so leave --size out"),
        (["--variant", "fp32", "--size", "32x32:64x64"], "The graph's height is fixed at 64"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    use_tensorrt(monkeypatch, "10.8")
    result = invoke(tiny, *words)
    assert isinstance(result.exception, TemperError)
    assert sentence in str(result.exception)


def test_bad_words_are_usage_errors(tiny: Path) -> None:
    result = invoke(tiny, "--batch", "x")
    assert isinstance(result.exception, UsageError)


def test_without_a_gpu_it_says_what_to_do_instead(tiny: Path) -> None:
    result = invoke(tiny)
    assert isinstance(result.exception, TemperError)
    assert "Run the bundle on ONNX Runtime or OpenVINO here." in str(result.exception)


def test_sizes_are_for_the_graphs_that_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "10.16")
    bundle = make_tiny_bundle(tmp_path, dynamic=True)
    result = invoke(bundle, "--size", "32x32:64x64:200x100")
    assert result.exit_code == 0, result.exception
    assert [path.stem for path in tmp_path.rglob("*.engine")] == ["fp32-dynamic"]


def test_places_beyond_tensorrts_limit_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, "10.16")
    bundle = make_tiny_bundle(tmp_path, settings=DecodeSettings(candidates=5000, max_detections=4000))
    result = invoke(bundle, "--json")
    warned = [one for one in map(json.loads, result.output.splitlines()) if one["event"] == "warning"]
    assert len(warned) == 1 and "TopK takes at most 3,840" in warned[0]["message"]
