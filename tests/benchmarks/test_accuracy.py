from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.benchmarks.accuracy import (
    detect_pictures,
    leave_out_unread,
    load_detections,
    save_detections,
    unread_warning,
)
from temper.benchmarks.measurement import UnreadPicture
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError
from temper.deploy.runtimes.load import load_runtime
from temper.detection.dataset import DataSet
from temper.detection.detections import Detections, Status
from temper.detection.images import read_image
from temper.detection.metrics import evaluate


def test_what_is_detected_is_what_the_detector_says(bundles: dict[str, Path], data: DataSet) -> None:
    from temper.deploy.detector import BundleDetector

    bundle = open_bundle(bundles["student"])
    variant = bundle.variant("fp32")
    runtime = load_runtime("onnxruntime", bundle, variant, threads=1)
    told = []
    detections, unread = detect_pictures(bundle, variant, runtime, data, lambda *step: told.append(step))
    detector = BundleDetector(bundle, variant, runtime)
    again = [detector.detect(read_image(data.image_path(s), "grey")) for s in data.samples]
    assert evaluate(data, detections) == evaluate(data, again)
    assert sum(map(len, detections)) > 0
    assert unread == {}
    assert told == [(i, len(data)) for i in range(1, len(data) + 1)]


def test_a_picture_that_is_none_is_left_out_and_named(bundles: dict[str, Path], data: DataSet, tmp_path: Path) -> None:
    names = [sample.file_name for sample in data.samples]
    for name in names:
        (tmp_path / name).write_bytes((data.image_folder / name).read_bytes())
    (tmp_path / names[2]).write_bytes(b"not a picture")
    (tmp_path / names[4]).unlink()
    bundle = open_bundle(bundles["student"])
    runtime = load_runtime("onnxruntime", bundle, bundle.variant("fp32"))
    broken = replace(data, image_folder=tmp_path)
    detections, unread = detect_pictures(bundle, bundle.variant("fp32"), runtime, broken)
    assert [i for i, found in enumerate(detections) if found.status is Status.ERROR] == [2, 4]
    readable = leave_out_unread(broken, unread)
    assert readable.rows.tolist() == [0, 1, 3, 5]
    assert [one.file for one in readable.unread] == [names[2], names[4]]
    (warning,) = unread_warning(readable.unread, len(data))
    assert warning.startswith(
        f"2 pictures of 6 could not be used, and no figure rests on them: {names[2]}, {names[4]}."
    )
    assert "is not a picture" in warning


def test_many_unread_pictures_are_counted_and_some_named() -> None:
    many = [UnreadPicture(f"{i}.png", "It is broken.") for i in range(9)]
    assert "9 pictures of 20 could not be used" in unread_warning(many, 20)[0]
    assert "0.png, 1.png, 2.png, 3.png, 4.png and 4 more. It is broken." in unread_warning(many, 20)[0]
    assert unread_warning([], 20) == []


def test_without_any_picture_there_is_nothing_to_judge(data: DataSet) -> None:
    with pytest.raises(TemperError, match="None of the 6 pictures of toy/val can be used; the first: gone"):
        leave_out_unread(replace(data, name="toy/val"), {sample.file_name: "gone" for sample in data.samples})


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


def test_pictures_of_another_size_than_their_boxes_are_left_out(
    bundles: dict[str, Path], data: DataSet, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for number, sample in enumerate(data.samples):
        picture = cv2.imread(str(data.image_path(sample)))
        other = picture if number else cv2.resize(picture, None, fx=2, fy=2)
        cv2.imwrite(str(tmp_path / "images" / sample.file_name), other)
    resized = replace(data, image_folder=tmp_path / "images")
    bundle = open_bundle(bundles["student"])
    runtime = load_runtime("onnxruntime", bundle, bundle.manifest.variants[0])
    detections, unread = detect_pictures(bundle, bundle.manifest.variants[0], runtime, resized)
    assert list(unread) == [data.samples[0].file_name]
    assert "has 128 x 128 pixels and its annotation says 64 x 64" in unread[data.samples[0].file_name]
    assert [one.status is Status.ERROR for one in detections] == [True] + [False] * (len(data) - 1)
