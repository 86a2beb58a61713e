"""What counts as a defect, and how severe it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from temper.deploy.strip.defect import Severity
from temper.deploy.strip.judging import Judging, SeverityRule, Zone
from temper.deploy.strip.scale import Scale
from temper.detection.detections import Detections

SCALE = Scale(across=0.5, along=2.0, across_mm=100.0)


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    boxes = np.array([row[:4] for row in rows], np.float32)
    scores, labels = np.array([row[4] for row in rows], np.float32), np.array([row[5] for row in rows], np.int32)
    return Detections(boxes, scores, labels, (1000, 400))


def rules(
    smallest_mm: NDArray[np.float64] | None = None,
    zones: Sequence[Zone] = (),
    severity: Mapping[int, Severity | SeverityRule] | None = None,
) -> Judging:
    smallest = np.zeros(2) if smallest_mm is None else smallest_mm
    return Judging(np.array([0.5, 0.3], np.float32), smallest, zones, severity or {})


def test_the_threshold_of_the_class_decides() -> None:
    kept = rules().parts(found((0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.49, 0), (0, 0, 9, 9, 0.31, 1)), "top", None).counted
    assert kept.scores.tolist() == pytest.approx([0.5, 0.31])


def test_small_ones_do_not_count_by_their_longest_side_in_mm() -> None:
    judging = rules(np.array([10.0, 0.0]))
    boxes = found((9, 9, 28, 11, 0.9, 0), (9, 9, 30, 11, 0.9, 0), (9, 9, 11, 15, 0.9, 0), (9, 9, 10, 10, 0.9, 1))
    assert judging.parts(boxes, "top", SCALE).counted.boxes[:, 2].tolist() == [30, 11, 10]
    assert len(judging.parts(boxes, "top", None).counted) == 4


def test_zones_of_a_camera_are_its_pixels() -> None:
    box = Zone("top", ((100, 100), (50, 50)))
    triangle = Zone("top", ((0, 300), (200, 300), (0, 400)))
    boxes = found(
        (60, 60, 80, 80, 0.9, 0), (95, 95, 115, 115, 0.9, 0), (10, 310, 20, 320, 0.9, 0), (180, 380, 190, 390, 0.9, 0)
    )
    judging = rules(zones=[box, triangle])
    assert judging.parts(boxes, "top", None).counted.boxes[:, 0].tolist() == [95, 180]
    assert len(judging.parts(boxes, "bottom", None).counted) == 4


def test_zones_across_the_strip_are_millimetres() -> None:
    edge = Zone(None, ((0.0, -np.inf), (150.0, np.inf)))
    boxes = found((0, 0, 20, 20, 0.9, 0), (99, 10, 101, 30, 0.9, 0), (110, 300, 130, 320, 0.9, 0))
    assert rules(zones=[edge]).parts(boxes, "top", SCALE).counted.boxes[:, 0].tolist() == [110]


def test_what_lies_at_the_edge_counts_for_the_frame_whatever_its_size_there() -> None:
    judging = rules(np.array([50.0, 50.0]))
    boxes = found(
        (0, 50, 9, 53, 0.9, 0), (50, 1, 55, 4, 0.9, 0), (990, 50, 999, 53, 0.9, 0), (50, 396, 53, 399, 0.9, 0),
        (50, 50, 53, 53, 0.9, 0), (50, 5, 53, 8, 0.9, 0),
    )  # fmt: skip
    assert judging.parts(boxes, "top", SCALE).counts.tolist() == [True] * 4
    wide = Judging(judging.thresholds, judging.smallest_mm, edge_mm=10.0)
    parts = wide.parts(boxes, "top", SCALE)
    assert parts.counts.tolist() == [True] * 5, "10 mm are 5 rows"
    near = found((50, 8, 53, 11, 0.9, 0), (50, 11, 53, 14, 0.9, 0))
    assert wide.parts(near, "top", SCALE).counts.tolist() == [False], "it can be joined with one that counts"


def test_severity_is_the_classes_or_by_size() -> None:
    judging = rules(severity={0: "critical", 1: SeverityRule(major=20, critical=50)})
    assert judging.severity_of(0, 1.0) == "critical"
    assert [judging.severity_of(1, mm) for mm in (5.0, 20.0, 50.0)] == ["minor", "major", "critical"]
    assert judging.severity_of(7, 3.0) == "major"


def test_boxes_lie_on_the_strip_in_millimetres() -> None:
    on_strip = SCALE.to_strip(np.array([[10, 20, 30, 40]], np.float32), 2.5)
    assert on_strip.tolist() == [[105.0, 2540.0, 115.0, 2580.0]]
    assert SCALE.window((1000, 400), 2.5).tolist() == [100.0, 2500.0, 600.0, 3300.0]
