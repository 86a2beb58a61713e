from __future__ import annotations

import json
from pathlib import Path

import pytest
from temper.bundle.golden import golden_answers, read_golden_answers
from temper.bundle.loader import open_bundle
from temper.bundle.manifest import with_checksum
from temper.core.errors import TemperError
from temper.core.files import read_json, sha256_file, write_json
from temper.deploy.check import check_bundle
from temper.deploy.golden import replay_golden
from temper.deploy.runtimes.load import load_runtime
from tiny_bundle import make_tiny_bundle


@pytest.fixture
def golden_path(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path, golden=True)


def put_answers(bundle: Path, content: bytes) -> None:
    """Other answers, with a manifest that fits them."""
    path = bundle / "golden" / "answers.json"
    path.write_bytes(content)
    manifest = read_json(bundle / "manifest.json")
    manifest["golden"]["answers"] |= {"sha256": sha256_file(path), "bytes": len(content)}
    write_json(bundle / "manifest.json", with_checksum(manifest))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_answers_are_found_again(golden_path: Path, runtime: str) -> None:
    bundle = open_bundle(golden_path)
    assert any(read_golden_answers(bundle).variants["fp32"]), "there is something to find"
    variant = bundle.variant("fp32")
    replay = replay_golden(bundle, variant, load_runtime(runtime, bundle, variant, threads=1))
    assert replay is not None and replay.fault is None
    assert replay.matched_share == 1 and replay.pictures == 4


def test_other_answers_are_a_fault(golden_path: Path) -> None:
    answers = read_golden_answers(open_bundle(golden_path))
    moved = [
        [row.model_copy(update={"box": [edge + 9 for edge in row.box]}) for row in rows]
        for rows in answers.variants["fp32"]
    ]
    put_answers(golden_path, golden_answers({"fp32": moved}).to_bytes())
    (result,) = check_bundle(open_bundle(golden_path), runtimes=["onnxruntime"], threads=1)
    assert result.fault is not None
    assert "other answers on onnxruntime than at export: on the 4 golden pictures" in result.fault


@pytest.mark.parametrize("file", ["golden/000.png", "golden/answers.json"])
def test_what_was_exchanged_after_the_bundle_was_opened_is_not_replayed(golden_path: Path, file: str) -> None:
    bundle = open_bundle(golden_path)
    variant = bundle.variant("fp32")
    content = (golden_path / file).read_bytes()
    (golden_path / file).write_bytes(content.replace(b"1", b"2") if file.endswith("json") else content + b"\0")
    with pytest.raises(TemperError, match="is not the file its manifest describes"):
        replay_golden(bundle, variant, load_runtime("onnxruntime", bundle, variant, threads=1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v["variants"].update(int8=[]), "other variants"),
        (lambda v: v["variants"]["fp32"].pop(), "other pictures"),
        (
            lambda v: v["variants"]["fp32"][0].append({"box": [0, 0, 1], "score": 1.0, "label": 0}),
            "not as it should be",
        ),
        (
            lambda v: v["variants"]["fp32"][0].append({"box": [0.0] * 4, "score": 1.0, "label": 9}),
            "other pictures, labels",
        ),
    ],
)
def test_answers_that_do_not_fit(golden_path: Path, change: object, sentence: str) -> None:
    value = json.loads((golden_path / "golden" / "answers.json").read_bytes())
    change(value)  # type: ignore[operator]
    put_answers(golden_path, json.dumps(value).encode())
    with pytest.raises(TemperError, match=sentence):
        read_golden_answers(open_bundle(golden_path))


def test_a_bundle_without_golden_pictures(tmp_path: Path) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    variant = bundle.variant("fp32")
    assert replay_golden(bundle, variant, load_runtime("onnxruntime", bundle, variant, threads=1)) is None
