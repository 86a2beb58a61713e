"""What line.yml says is what the line's rules do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from temper.deploy.detector import BundleDetector
from temper.deploy.frames import Frame
from temper.deploy.line.build import make_judge
from temper.deploy.line.config import read_line
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections

LINE = """\
line: hot-1
cameras:
  - {name: over, type: folder, path: a, mm_per_pixel: 1}
  - {name: under, type: folder, path: b, mm_per_pixel: 1}
strip: {by: frame, metres_per_frame: 0.1}
"""
Box = tuple[float, float, float, float]


def defects_of(detector: BundleDetector, tmp_path: Path, text: str, *shown: tuple[str, int, Box]) -> list[StripDefect]:
    """What the line's rules make of boxes, each on a frame of 100 x 100 mm of a camera."""
    path = tmp_path / "line.yml"
    path.write_text(text)
    judge = make_judge(read_line(path), detector)
    found: list[StripDefect] = []
    for camera, number, box in shown:
        now = {"frame_id": number, "arrived": time.monotonic(), "position_m": 0.1 * number}
        frame = Frame(camera, f"{camera} {number}", np.zeros((100, 100), np.uint8), **now)
        boxes = np.array([box], np.float32)
        seen = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32), (100, 100))
        found += judge.judge(frame, number, seen, {})[1]
    return found + judge.finish()


@pytest.mark.parametrize(("merge_mm", "count"), [(16.5, 1), (10, 1), (7.5, 2), (0, 2)])
def test_merge_mm_is_what_may_lie_between_two_parts(
    detector: BundleDetector, tmp_path: Path, merge_mm: float, count: int
) -> None:
    shown: list[tuple[str, int, Box]] = [("over", 0, (40, 60, 50, 100)), ("over", 1, (40, 8, 50, 60))]
    assert len(defects_of(detector, tmp_path, LINE.replace("0.1}", f"0.1, merge_mm: {merge_mm}}}"), *shown)) == count


def test_cameras_of_two_sides_see_two_defects(detector: BundleDetector, tmp_path: Path) -> None:
    shown: list[tuple[str, int, Box]] = [("over", 0, (40, 40, 50, 50)), ("under", 0, (41, 41, 51, 51))]
    assert len(defects_of(detector, tmp_path, LINE, *shown)) == 1
    assert len(defects_of(detector, tmp_path, LINE.replace("path: b", "path: b, side: bottom"), *shown)) == 2


def test_a_defect_is_as_severe_as_its_whole_size_says(detector: BundleDetector, tmp_path: Path) -> None:
    label = detector.bundle.manifest.labels[0]
    text = LINE + f"judging: {{severity: {{{label}: {{major: 12, critical: 50}}}}}}\n"
    boxes: list[Box] = [(10, 40, 20, 50), (30, 40, 40, 55), (50, 30, 60, 85)]
    shown: list[tuple[str, int, Box]] = [("over", 2 * place, box) for place, box in enumerate(boxes)]
    shown += [("over", 8, (40, 70, 50, 100)), ("over", 9, (40, 0, 50, 30))]
    found = defects_of(detector, tmp_path, text, *shown)
    assert [defect.severity for defect in found] == ["minor", "major", "critical", "critical"]
