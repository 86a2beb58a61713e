from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from temper.benchmarks.candidate import Candidate, in_labels_of, list_candidates, open_candidates
from temper.bundle.manifest import with_checksum
from temper.core.errors import TemperError, UsageError
from temper.core.files import read_json, write_json
from temper.detection.dataset import DataSet
from tiny_bundle import make_tiny_bundle


def test_every_combination_is_listed(bundles: dict[str, Path]) -> None:
    listed = list_candidates(list(bundles.values()), batch_sizes=(1, 4), threads=2)
    assert [(c.bundle.stem, c.variant, c.batch, c.threads) for c in listed] == [
        ("big", "fp32", 1, 2),
        ("big", "fp32", 4, 2),
        ("small", "fp32", 1, 2),
        ("small", "fp32", 4, 2),
    ]


def test_an_absent_precision_lists_those_there_are(bundles: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="no variant 'int8'; it has fp32"):
        list_candidates([bundles["student"]], precisions=("int8",))


def test_a_runtime_takes_the_variants_made_for_it(tmp_path: Path) -> None:
    path = make_tiny_bundle(tmp_path)
    manifest = read_json(path / "manifest.json")
    (variant,) = manifest["variants"]
    for name, target in (("int8", "cpu"), ("int8-trt", "tensorrt")):
        file = f"graphs/{name}.onnx"
        shutil.copy(path / variant["file"], path / file)
        manifest["variants"].append({**variant, "name": name, "precision": "int8", "target": target, "file": file})
    write_json(path / "manifest.json", with_checksum(manifest))
    listed = list_candidates([path], runtimes=("onnxruntime", "openvino", "onnxruntime-tensorrt", "tensorrt"))
    assert [(c.runtime, c.variant) for c in listed] == [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("openvino", "fp32"),
        ("openvino", "int8"),
        ("onnxruntime-tensorrt", "fp32"),
        ("onnxruntime-tensorrt", "int8-trt"),
        ("tensorrt", "fp32"),
        ("tensorrt", "int8-trt"),
    ]
    with pytest.raises(
        UsageError, match=r"openvino runs variants made for any or cpu; of tiny.temper there are only int8-"
    ):
        list_candidates([path], precisions=("int8-trt",), runtimes=("openvino",))


def test_opened_candidates_know_their_subject(bundles: dict[str, Path], data: DataSet) -> None:
    (entrant,) = open_candidates([Candidate(bundles["teacher"], "fp32")], data)
    assert (entrant.subject.model, entrant.subject.role, entrant.subject.precision) == ("big", "teacher", "fp32")
    assert entrant.title == "big fp32 on onnxruntime"


def test_a_class_that_the_bundle_does_not_know_is_refused(bundles: dict[str, Path], data: DataSet) -> None:
    with pytest.raises(TemperError, match="has scratch, and the bundle small knows dark, bright, rough. Measure on"):
        open_candidates([Candidate(bundles["student"], "fp32")], replace(data, labels=("dark", "bright", "scratch")))


def test_a_class_without_pictures_and_another_order_are_no_matter(bundles: dict[str, Path], data: DataSet) -> None:
    (entrant,) = open_candidates([Candidate(bundles["student"], "fp32")], data)
    some = data.subset(i for i, sample in enumerate(data.samples) if 2 not in sample.labels)
    assert {0, 1} == {int(label) for sample in some.samples for label in sample.labels}
    turned = replace(
        some,
        labels=("bright", "dark"),
        samples=tuple(replace(sample, labels=1 - sample.labels) for sample in some.samples),
    )
    assert in_labels_of(entrant.bundle, turned).content_hash() == some.content_hash()


def test_bundles_of_other_classes_are_not_measured_together(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    other = make_tiny_bundle(tmp_path, name="turned", labels=("bright", "dark", "rough"))
    with pytest.raises(TemperError, match="turned and small tell other classes, or the same in another order"):
        open_candidates([Candidate(bundles["student"], "fp32"), Candidate(other, "fp32")], data)


def test_nothing_to_measure_is_refused(bundles: dict[str, Path], data: DataSet) -> None:
    with pytest.raises(UsageError, match="no bundle was given"):
        open_candidates([], data)
    with pytest.raises(TemperError, match="has no pictures"):
        open_candidates([Candidate(bundles["student"], "fp32")], data.subset([]))


def test_two_bundles_of_one_name_are_refused(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    twin = make_tiny_bundle(tmp_path, name="small")
    with pytest.raises(UsageError, match="both called 'small'"):
        open_candidates([Candidate(bundles["student"], "fp32"), Candidate(twin, "fp32")], data)
