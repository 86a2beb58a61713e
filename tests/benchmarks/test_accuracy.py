from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.accuracy import load_detections, measure_accuracy, save_detections
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.deploy.runtimes.load import load_runtime
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections, Status
from temper.detection.images import read_image
from temper.detection.metrics import evaluate


def test_accuracy_is_that_of_the_detector(bundles: dict[str, Path], data: DataSet) -> None:
    from temper.deploy.detector import BundleDetector

    bundle = open_bundle(bundles["student"])
    variant = bundle.variant("fp32")
    runtime = load_runtime("onnxruntime", bundle, variant, threads=1)
    told = []
    figures, detections = measure_accuracy(bundle, variant, runtime, data, lambda *step: told.append(step))
    detector = BundleDetector(bundle, variant, runtime)
    again = [detector.detect(read_image(data.image_path(s), "grey")) for s in data.samples]
    assert figures == evaluate(data, again)
    assert sum(map(len, detections)) > 0
    assert told == [(i, len(data)) for i in range(1, len(data) + 1)]


def test_a_picture_that_is_none_is_named(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    from dataclasses import replace

    for sample in data.samples:
        (tmp_path / sample.file_name).write_bytes(b"not a picture")
    bundle = open_bundle(bundles["student"])
    runtime = load_runtime("onnxruntime", bundle, bundle.variant("fp32"))
    with pytest.raises(TemperError, match="0000.png is not a picture"):
        measure_accuracy(bundle, bundle.variant("fp32"), runtime, replace(data, image_folder=tmp_path))


@given(rows=st.integers(0, 30), status=st.sampled_from(Status), seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_detections_come_back(
    tmp_path_factory: pytest.TempPathFactory, data: DataSet, rows: int, status: Status, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = rows if status is Status.OK else 0
    found = Detections(
        generator.uniform(0, 64, (rows, 4)).astype(np.float32),
        np.sort(generator.uniform(0, 1, rows).astype(np.float32))[::-1],
        generator.integers(0, 3, rows).astype(np.int32),
        (64, 64),
        status=status,
    )
    path = tmp_path_factory.mktemp("detections") / "d.json"
    save_detections(path, data.subset([0]), [found])
    (name, back), *_ = load_detections(path).items()
    assert name == data.samples[0].file_name
    assert back.status is status
    np.testing.assert_allclose(back.boxes, found.boxes, atol=0.0051)
    np.testing.assert_allclose(back.scores, found.scores, atol=0.000051)
    np.testing.assert_array_equal(back.labels, found.labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema_version": 2}, "another schema"),
        ({"schema_version": 1}, "KeyError at 'pictures'"),
        ({"schema_version": 1, "pictures": [{"file": "a"}]}, "does not hold detections"),
        ([], "does not hold detections"),
    ],
)
def test_damaged_detections_are_named(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / "d.json").write_text(json.dumps(content))
    with pytest.raises(TemperError, match=message):
        load_detections(tmp_path / "d.json")


def test_every_picture_needs_its_detections(tmp_path: Path, data: DataSet) -> None:
    with pytest.raises(ValueError, match="zip"):
        save_detections(tmp_path / "d.json", data, [])
