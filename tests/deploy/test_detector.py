from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from steel_pictures import steel
from temper.bundle.loader import open_bundle
from temper.core.errors import TemperError, UsageError
from temper.deploy.detector import BundleDetector, Outcome, open_detector
from temper.detection.detections import Detections, Status
from temper.detection.images import ResizeRule
from tiny_bundle import LABELS, make_tiny_bundle


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def test_boxes_come_back_in_pixels_of_the_picture(detector: BundleDetector) -> None:
    small = noise(64, 64)
    large = cv2.resize(small, (192, 128), interpolation=cv2.INTER_NEAREST)
    answer = detector.runtime.infer(detector.rule.apply(large)[None])
    found = detector.detect(large, "large")
    assert found.image_size == (192, 128)
    assert found.source == "large"
    count = int(answer.count[0])
    assert len(found) == count > 0
    np.testing.assert_allclose(found.boxes, answer.boxes[0, :count] * [3, 2, 3, 2], rtol=1e-5)
    assert (found.boxes[:, 2:] <= [192, 128]).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_every_input_rule_runs(tmp_path: Path, channels: str, resize: str) -> None:
    path = make_tiny_bundle(tmp_path, channels, (96, 64), resize=resize)  # type: ignore[arg-type]
    found_by = open_detector(open_bundle(path), threads=1)
    image = noise(150, 70) if channels == "grey" else np.stack([noise(150, 70, seed) for seed in range(3)], axis=-1)
    assert found_by.rule == ResizeRule(96, 64, resize)  # type: ignore[arg-type]
    found = found_by.detect(image)
    assert len(found)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [150, 70, 150, 70]).all()


def test_a_batch_of_different_sizes_gives_what_each_gives_alone(detector: BundleDetector) -> None:
    images = [noise(64, 64), noise(200, 100, 1), steel(True)]
    together = detector.detect_batch(images, ["a", "b", "c"])
    for image, found, name in zip(images, together, "abc", strict=True):
        alone = detector.detect(image, name)
        assert (found.source, found.image_size) == (alone.source, alone.image_size)
        np.testing.assert_array_equal(found.labels, alone.labels)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)


def test_everything_above_the_floor_is_given_and_the_verdict_uses_the_thresholds(detector: BundleDetector) -> None:
    found = detector.detect(steel(True))
    manifest = detector.bundle.manifest
    assert found.scores.min() >= manifest.score_floor
    assert found.scores.min() < 0.3
    verdict = detector.verdict(found)
    assert verdict.outcome is Outcome.DEFECT
    assert len(verdict.defects) == int((found.scores >= 0.3).sum()) > 0


def test_thresholds_are_those_of_each_class(detector: BundleDetector) -> None:
    detector.thresholds = np.array([0.9, 0.2, 0.5], np.float32)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (4, 1))
    found = Detections(boxes, np.array([0.8, 0.6, 0.4, 0.2]), np.array([0, 2, 2, 1]), (10, 10))
    assert [LABELS[label] for label in detector.verdict(found).defects.labels] == ["rough", "bright"]


@pytest.mark.parametrize("status", [Status.ERROR, Status.TIMEOUT, Status.SKIPPED])
def test_no_answer_is_never_ok(detector: BundleDetector, status: Status) -> None:
    assert detector.verdict(Detections.none((10, 10), status=status)).outcome is Outcome.NOT_INSPECTED


def test_encoded_pictures_go_the_same_way_and_are_timed(detector: BundleDetector) -> None:
    images = [noise(80, 60), steel(True)]
    contents = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    timer: dict[str, float] = {}
    found = detector.detect_encoded(contents, timer)
    for ours, theirs in zip(found, detector.detect_batch(images), strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert set(timer) == {"decode", "preprocess", "compute", "postprocess", "end_to_end"}
    stages = sum(duration for stage, duration in timer.items() if stage != "end_to_end")
    assert all(duration > 0 for duration in timer.values())
    assert stages <= timer["end_to_end"] <= stages + 50


def test_what_is_no_picture_is_one_sentence(detector: BundleDetector) -> None:
    with pytest.raises(TemperError, match="picture 1 is not a picture that can be read"):
        detector.detect_encoded([cv2.imencode(".png", steel(False))[1].tobytes(), b"GIF89a"])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10, 3), np.uint8),
        np.zeros((10, 10), np.float32),
        np.zeros((0, 10), np.uint8),
        np.zeros(10, np.uint8),
    ],
)
def test_a_picture_of_another_form_is_refused(detector: BundleDetector, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"this bundle takes uint8 \[H, W\] pictures; it was given"):
        detector.detect(image)


def test_sources_of_another_length_are_refused(detector: BundleDetector) -> None:
    with pytest.raises(ValueError, match="zip"):
        detector.detect_batch([steel(True)], ["a", "b"])


def test_a_variant_that_is_not_there_is_named(bundle_path: Path) -> None:
    with pytest.raises(UsageError, match="has no variant 'int8'; it has fp32"):
        open_detector(open_bundle(bundle_path), "int8")
