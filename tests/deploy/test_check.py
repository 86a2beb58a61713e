from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from standin import use_tensorrt
from temper.bundle.loader import Bundle, open_bundle
from temper.bundle.manifest import Manifest
from temper.deploy.check import answer_faults, check_bundle, check_pictures
from temper.deploy.compare import TOLERANCES, same_answer
from temper.deploy.runtimes.base import RawOutput
from temper.deploy.runtimes.load import load_runtime
from tiny_bundle import make_tiny_bundle


@pytest.fixture
def manifest(bundle_path: Path) -> Manifest:
    return open_bundle(bundle_path).manifest


@pytest.fixture
def answer(bundle_path: Path) -> RawOutput:
    """What the tiny bundle says of the first of the two pictures."""
    bundle = open_bundle(bundle_path)
    runtime = load_runtime("onnxruntime", bundle, bundle.variant("fp32"), threads=1)
    return runtime.infer(check_pictures(bundle.manifest)[:1])


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_a_good_bundle_passes(tmp_path: Path, channels: str) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path, channels, (96, 64)))  # type: ignore[arg-type]
    results = list(check_bundle(bundle, threads=1))
    assert all(results)
    assert [(result.variant, result.runtime) for result in results] == [("fp32", "onnxruntime"), ("fp32", "openvino")]
    assert not any(result.fault or result.skipped for result in results)


def test_the_pictures_differ_and_are_found_something_on(manifest: Manifest, answer: RawOutput) -> None:
    pictures = check_pictures(manifest)
    assert pictures.shape == (2, 64, 64)
    assert pictures.dtype == np.uint8
    assert (pictures[0] != pictures[1]).mean() > 0.9
    assert answer.count[0] > 0


def test_a_variant_for_another_machine_is_not_tried(bundle_path: Path) -> None:
    whole = open_bundle(bundle_path)
    variant = whole.manifest.variants[0].model_copy(update={"target": "tensorrt"})
    bundle = Bundle(whole.path, whole.folder, whole.manifest.model_copy(update={"variants": [variant]}))
    (result,) = check_bundle(bundle, runtimes=["onnxruntime"])
    assert result
    assert result.skipped == "made for tensorrt"


def test_what_builds_an_engine_first_is_tried_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, "10.16")
    bundle = open_bundle(make_tiny_bundle(tmp_path))
    said = {result.runtime: result.skipped for result in check_bundle(bundle, threads=1)}
    assert said == {
        "onnxruntime": None,
        "openvino": None,
        "tensorrt": "it builds an engine first; ask for it with --runtime tensorrt",
    }
    assert not (tmp_path / "tiny.engines").exists()
    (result,) = check_bundle(bundle, runtimes=["tensorrt"])
    assert result and result.skipped is None
    assert (tmp_path / "tiny.engines").exists()


def test_a_graph_that_does_not_keep_to_the_manifest_is_found(bundle_path: Path) -> None:
    whole = open_bundle(bundle_path)
    manifest = whole.manifest.model_copy(update={"max_detections": 50})
    (result,) = check_bundle(Bundle(whole.path, whole.folder, manifest), runtimes=["onnxruntime"], threads=1)
    assert not result
    assert result.fault is not None
    assert "by the manifest it should be float32 [B, 50, 4]" in result.fault


def test_a_score_below_the_floor_is_found(bundle_path: Path) -> None:
    whole = open_bundle(bundle_path)
    manifest = whole.manifest.model_copy(update={"score_floor": 0.2})
    (result,) = check_bundle(Bundle(whole.path, whole.folder, manifest), runtimes=["onnxruntime"], threads=1)
    assert result.fault is not None
    assert "Variant 'fp32' breaks the contract on onnxruntime: scores go from" in result.fault


def test_faults_of_an_answer_have_names(manifest: Manifest, answer: RawOutput) -> None:
    count = int(answer.count[0])
    assert answer_faults(answer, manifest) == []
    scores = answer.scores.copy()
    scores[0, :count] = scores[0, :count][::-1]
    assert answer_faults(replace(answer, scores=scores), manifest) == ["scores do not descend"]
    assert answer_faults(replace(answer, boxes=answer.boxes + 100), manifest) == [
        "boxes leave the picture",
        "boxes or scores past count are not 0",
    ]
    assert answer_faults(replace(answer, boxes=answer.boxes[..., ::-1]), manifest) == ["boxes are inverted"]
    labels = answer.labels.copy()
    labels[0, count:] = 0
    assert answer_faults(replace(answer, labels=labels), manifest) == ["labels past count are not -1"]


def test_same_answer_sees_a_difference(answer: RawOutput) -> None:
    batch = TOLERANCES["fp32"].batch
    count = int(answer.count[0])
    shuffled = np.concatenate([np.random.default_rng(0).permutation(count), np.arange(count, answer.scores.shape[1])])
    again = replace(
        answer, boxes=answer.boxes[:, shuffled], scores=answer.scores[:, shuffled], labels=answer.labels[:, shuffled]
    )
    assert same_answer(answer, again, 0.02, batch)
    assert same_answer(answer, replace(answer, scores=answer.scores + 5e-5), 0.02, batch)
    assert not same_answer(answer, replace(answer, scores=answer.scores + 2e-4), 0.02, batch)
    assert not same_answer(answer, replace(answer, boxes=answer.boxes + 0.1), 0.02, batch)
    assert not same_answer(answer, replace(answer, labels=(answer.labels + 1) % 3), 0.02, batch)
    assert not same_answer(answer, replace(answer, count=np.array([1], np.int32)), 0.02, batch)
    assert not same_answer(answer, replace(answer, count=np.array([0], np.int32)), 0.02, batch)
