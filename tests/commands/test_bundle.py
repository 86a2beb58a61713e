from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from temper.bundle.manifest import Accuracy, Manifest, Parity, with_checksum
from temper.commands.bundle import bundle, describe
from temper.core.errors import TemperError
from temper.core.files import read_json, sha256_file, write_json
from temper.deploy.check import VariantCheck
from temper.detection.dataset import save_split
from tiny_bundle import LABELS, make_tiny_bundle
from toy_data import toy_data


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(bundle, list(map(str, arguments)))


def change(tiny: Path, **fields: object) -> None:
    manifest = read_json(tiny / "manifest.json")
    write_json(tiny / "manifest.json", with_checksum({**manifest, **fields}))


def test_inspect_shows_what_the_bundle_is(tiny: Path) -> None:
    manifest = read_json(tiny / "manifest.json")
    parity = Parity(
        images=32,
        runtime="onnxruntime",
        largest_score_difference=2.5e-6,
        largest_box_difference_px=4e-5,
        matched_share=0.998,
    )
    accuracy = Accuracy(
        images=60, ap=41.25, ap50=71.5, ap75=None, ap_small=None, ap_medium=None, ap_large=None, per_class={}
    )
    manifest["variants"][0] |= {"parity": parity.model_dump(), "accuracy": accuracy.model_dump()}
    write_json(tiny / "manifest.json", with_checksum(manifest))
    result = invoke("inspect", tiny)
    assert result.exit_code == 0, result.exception
    for text in (
        "tiny: student",
        "64 x 64 px, grey, stretch",
        "bright",
        "0.3",
        "fp32",
        "41.2",
        "71.5",
        "2.5e-06",
        "99.8 %",
    ):
        assert text in result.output


def test_inspect_gives_the_manifest_as_json(tiny: Path) -> None:
    result = invoke("inspect", tiny, "--json")
    told = json.loads(result.output)
    values = {**read_json(tiny / "manifest.json"), "checksum": None}
    assert told == {"manifest": values, "signature": None, "trusted": False}


def test_labels_are_shown_as_they_are(tiny: Path) -> None:
    change(tiny, labels=["[red]dark", "bright", "rough"], thresholds={"[red]dark": 0.5, "bright": 0.3, "rough": 0.3})
    result = invoke("inspect", tiny)
    assert "[red]dark" in result.output


def test_describe_needs_no_versions(tiny: Path) -> None:
    manifest = Manifest.model_validate(read_json(tiny / "manifest.json"))
    made_by = manifest.made_by.model_copy(update={"versions": {}})
    assert "versions    not stated" in describe(manifest.model_copy(update={"made_by": made_by}))


def test_check_passes_a_good_bundle(tiny: Path) -> None:
    result = invoke("check", tiny, "--threads", 1)
    assert result.exit_code == 0, result.exception
    assert result.output.splitlines() == [
        "manifest and hashes  ok (1 graph)",
        "signature   none",
        "fp32 on onnxruntime  ok",
        "fp32 on openvino  ok",
    ]


def test_check_as_json(tiny: Path) -> None:
    result = invoke("check", tiny, "--json")
    assert [json.loads(line) for line in result.output.splitlines()] == [
        {"variant": "fp32", "runtime": runtime, "fault": None, "skipped": None}
        for runtime in ("onnxruntime", "openvino")
    ]


def test_check_on_a_runtime_writes_what_may_be_passed_on(tiny: Path) -> None:
    result = invoke("check", tiny, "--runtime", "openvino", "--threads", 1)
    assert result.exit_code == 0, result.exception
    path = tiny.parent / "tiny.check-openvino.json"
    lines = result.output.splitlines()
    assert lines[0] == "manifest and hashes  ok (1 graph)"
    assert lines[-2].startswith(
        "fp32 on openvino  ok: 8 pictures, 100.0% of the detections found again, scores off by "
    )
    assert lines[-1] == f"Written, to be passed on: {path}"
    assert read_json(path)["passed"] is True


def test_check_with_data_measures_on_every_runtime_that_builds_nothing(tiny: Path, tmp_path: Path) -> None:
    data = replace(toy_data(tmp_path / "data" / "images", 4), labels=LABELS)
    save_split(data, tmp_path / "data", "test")
    words = ("check", tiny, "--data", tmp_path / "data", "--split", "test", "--limit", 3, "--threads", 1, "--json")
    result = invoke(*words)
    assert result.exit_code == 0, result.exception
    said = [json.loads(line) for line in result.output.splitlines() if '"variant"' in line]
    assert [(line["runtime"], line["faults"]) for line in said] == [("onnxruntime", []), ("openvino", [])]
    (checked,) = read_json(tmp_path / "tiny.check-openvino.json")["variants"]
    assert checked["accuracy"]["runtime"]["images"] == 3


def test_check_on_a_runtime_that_is_not_here_is_one_sentence(tiny: Path) -> None:
    result = invoke("check", tiny, "--runtime", "tensorrt")
    assert isinstance(result.exception, TemperError)
    assert "no NVIDIA driver" in str(result.exception)
    assert not (tiny.parent / "tiny.check-tensorrt.json").exists()


def test_check_finds_a_changed_graph(tiny: Path) -> None:
    graph = tiny / "graphs" / "fp32.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    result = invoke("check", tiny)
    assert isinstance(result.exception, TemperError)
    assert "is not the file its manifest describes" in str(result.exception)


def test_check_finds_a_graph_that_does_not_run(tiny: Path) -> None:
    graph = tiny / "graphs" / "fp32.onnx"
    graph.write_bytes(b"nothing that runs")
    (variant,) = read_json(tiny / "manifest.json")["variants"]
    change(tiny, variants=[{**variant, "sha256": sha256_file(graph), "bytes": graph.stat().st_size}])
    result = invoke("check", tiny)
    assert isinstance(result.exception, TemperError)
    assert "does not work on this machine: none of its graphs passed" in str(result.exception)
    assert "is no ONNX file that can be read" in result.output


def test_check_names_what_passed_beside_what_failed(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        VariantCheck("fp32", "onnxruntime"),
        VariantCheck("fp32", "openvino", fault="It answers otherwise."),
        VariantCheck("fp32", "tensorrt", skipped="there is none"),
    ]
    monkeypatch.setattr("temper.deploy.check.check_bundle", lambda *_, **__: iter(checks))
    result = invoke("check", tiny)
    said = "fp32 on openvino failed, as said above; what passed can be used here: fp32 on onnxruntime."
    assert said in str(result.exception)


def test_check_finds_a_graph_that_breaks_the_contract(tiny: Path) -> None:
    change(tiny, max_detections=7)
    result = invoke("check", tiny)
    assert isinstance(result.exception, TemperError)
    assert "by the manifest it should be float32 [B, 7, 4]" in result.output


def test_what_is_no_bundle_is_one_sentence(tmp_path: Path) -> None:
    result = invoke("inspect", tmp_path)
    assert isinstance(result.exception, TemperError)
    assert "is not a Temper bundle: it has no manifest.json" in str(result.exception)


def test_inspect_shows_every_graphs_size_whole_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = make_tiny_bundle(tmp_path, other_sizes=[(4096, 1024)], dynamic=True)
    shown = invoke("inspect", path).output
    lines = {words[1]: words[3] for words in map(str.split, shown.splitlines()) if len(words) > 8 and words[0] == "│"}
    assert lines == {"fp32": "64x64", "fp32-4096x1024": "4096x1024", "fp32-dynamic": "any"}
