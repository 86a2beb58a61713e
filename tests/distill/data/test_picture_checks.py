"""What is wrong with one picture and its boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from temper.distill.data.finding import Finding
from temper.distill.data.picture_checks import FEWEST_AT_ONE, check_origin, check_picture
from temper.distill.data.pictures import PictureFacts
from temper.distill.data.source import Box, SourceData, SourcePicture

FILE = PurePosixPath("images/1.jpg")
FACTS = PictureFacts((200, 100), "", "JPEG", False, "0" * 64, np.zeros((64, 64), np.uint8))


def picture(*boxes: Box, size: tuple[int, int] | None = None, labels: str = "") -> SourcePicture:
    names = tuple(labels or "a" * len(boxes))
    return SourcePicture(FILE, PurePosixPath("1.xml"), "train", size, boxes, names)


def check(given: SourcePicture, facts: PictureFacts = FACTS) -> list[Finding]:
    findings = list(check_picture(given, facts))
    assert {(finding.file, finding.split) for finding in findings} <= {("images/1.jpg", "train")}
    return findings


def test_a_sound_picture_has_no_findings() -> None:
    assert check(picture((0, 0, 200, 100), (10, 10, 11, 11), size=(200, 100))) == []
    assert check(picture()) == []


def test_a_picture_that_cannot_be_read_has_one_error_whatever_its_boxes() -> None:
    facts = replace(FACTS, size=None, problem="is an empty file", mislabelled=True)
    (finding,) = check(picture((500, 500, 600, 600), size=(1, 1)), facts)
    assert (finding.kind, finding.severity, finding.message) == ("unreadable-picture", "error", "It is an empty file.")


def test_a_picture_under_a_false_ending_is_a_warning() -> None:
    (finding,) = check(picture((0, 0, 5, 5)), replace(FACTS, mislabelled=True, format="PNG"))
    assert (finding.kind, finding.severity) == ("mislabelled-picture", "warning")
    assert finding.message == "It is a PNG, whatever its ending says."


def test_another_size_than_the_annotation_says_is_an_error() -> None:
    # turned by an orientation tag, most often
    (finding,) = check(picture((0, 0, 100, 200), size=(100, 200)))
    assert (finding.kind, finding.severity) == ("size-differs", "error")
    assert finding.message == "It has 200 x 100 pixels, but 1.xml says 100 x 200."


@pytest.mark.parametrize("box", [(200, 0, 220, 50), (-20, 0, 0, 50), (0, 100, 50, 101), (0, -9, 50, 0)])
def test_a_box_beyond_the_picture_is_an_error(box: Box) -> None:
    (finding,) = check(picture((0, 0, 5, 5), box))
    assert (finding.kind, finding.severity, finding.box) == ("box-outside", "error", box)
    assert "lies outside the picture of 200 x 100 pixels" in finding.message


def test_a_box_that_reaches_far_over_the_edge_is_an_error() -> None:
    (finding,) = check(picture((0, 0, 5, 5), (20, 20, 9999, 50)))
    assert (finding.kind, finding.severity, finding.box) == ("box-outside", "error", (20, 20, 9999, 50))
    assert "reaches 9799 pixels over the edge of a picture of 200 x 100" in finding.message


def test_boxes_over_the_edge_are_one_warning_with_the_worst() -> None:
    (finding,) = check(picture((-1, 0, 5, 5), (190, 0, 203.5, 5), (0, 0, 200.005, 5)))
    assert (finding.kind, finding.severity, finding.count) == ("box-outside", "warning", 2)
    assert finding.box == (190, 0, 203.5, 5)
    assert finding.message == "2 boxes reach over its edge, by up to 3.5 pixels; an import cuts them."


def test_duplicates_are_counted_and_another_class_is_another_box() -> None:
    same = (0.0, 0.0, 5.0, 5.0)
    findings = check(picture(same, same, same, (1, 1, 9, 9), (1, 1, 9, 9), same, labels="aaabbc"))
    assert [(finding.kind, finding.count) for finding in findings] == [("duplicate-box", 3), ("two-classes", 1)]
    assert findings[0].message == "A box of 'a' is there 3 times over; an import keeps one."
    assert findings[1].message == "One box has several classes: a, c."


def data_of(boxes: list[Box], form: str = "coco") -> SourceData:
    return SourceData(form, Path("/data"), ("a",), (picture(*boxes),))  # type: ignore[arg-type]


def test_coco_that_counts_from_one_is_seen() -> None:
    """VOC boxes 1..200, written as x, y, width, height without subtracting 1."""
    shifted = [(1.0, 1.0 + n, 60.0, 40.0 + n) for n in range(FEWEST_AT_ONE)]
    (finding,) = check_origin(data_of([*shifted, (50, 50, 200, 100)]), {FILE: FACTS})
    assert (finding.kind, finding.severity, finding.count) == ("counted-from-one", "warning", FEWEST_AT_ONE)
    assert "10 boxes begin at 1 and none before, while 1 end at the edge" in finding.message
    for boxes in (
        shifted,  # nothing reaches the far edge
        [*shifted, (0, 5, 200, 100)],  # one begins at 0
        [*shifted[1:], (50, 50, 200, 100)],  # chance
    ):
        assert list(check_origin(data_of(boxes), {FILE: FACTS})) == []
    # Pascal VOC's own boxes begin at 1, which is 0 here
    assert list(check_origin(data_of([*shifted, (50, 50, 200, 100)], "voc"), {FILE: FACTS})) == []
