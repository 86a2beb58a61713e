"""Verdicts of frames, and defects of the strip, from what was found."""

from __future__ import annotations

import time

import numpy as np
from temper.deploy.frames import Cause, Frame, Gap, Notice
from temper.deploy.line.judge import Judge
from temper.deploy.strip.across import AcrossFrames
from temper.deploy.strip.defect import StripDefect
from temper.deploy.strip.judging import Judging
from temper.deploy.strip.scale import Scale
from temper.detection.detections import Detections

BEGIN = time.monotonic()
Box = tuple[float, float, float, float]


def judge_of(*cameras: str) -> Judge:
    rules = Judging(np.array([0.5], np.float32), np.zeros(1))
    return Judge(rules, {camera: Scale(1.0, 1.0) for camera in cameras}, None, AcrossFrames(), None)


def frame(camera: str, number: int, cause: Cause | None = None) -> Frame:
    """Frame ``number`` of a camera, 100 mm further than the one before."""
    image = None if cause else np.zeros((100, 100), np.uint8)
    detail = "It is dark." if cause else None
    moment = {"frame_id": number, "arrived": BEGIN + 0.04 * number, "position_m": 0.1 * number}
    return Frame(camera, f"{camera} {number}", image, cause, detail, **moment)


def found(*boxes: Box) -> Detections:
    count = len(boxes)
    shown = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(shown, np.full(count, 0.9, np.float32), np.zeros(count, np.int32), (100, 100))


def whole(judge: Judge, camera: str, number: int, *boxes: Box) -> list[StripDefect]:
    return judge.judge(frame(camera, number), number, found(*boxes), {})[1]


def test_a_dark_camera_holds_no_defect_of_its_neighbour_back() -> None:
    judge, defects = judge_of("a", "b"), []
    whole(judge, "a", 0)
    whole(judge, "b", 0)
    for number in range(1, 60):
        defects += whole(judge, "a", number, (40, 40, 50, 50))
        defects += judge.without_answer(frame("b", number, Cause.BLACK), number, Cause.BLACK, "It is dark.")[1]
    assert len(defects) >= 57


def test_what_a_camera_showed_last_is_given_out_as_it_goes_away_and_cut() -> None:
    judge = judge_of("a")
    assert whole(judge, "a", 0, (40, 90, 50, 100)) == []
    assert judge.heard(Notice("a", "connected", "The camera a is connected.")) == []
    (defect,) = judge.heard(Notice("a", "waiting", "The cable is out."))
    assert defect.cut
    assert judge.heard(Gap("a", 0.0, 1.0, None, 0.0, None, "The cable was out.")) == []


def test_a_verdict_needs_no_positions() -> None:
    judge = Judge(Judging(np.array([0.5], np.float32), np.zeros(1)), {}, None, None, None)
    assert whole(judge, "a", 0, (40, 90, 50, 100)) == []
    judged, defects = judge.without_answer(frame("a", 1, Cause.BLACK), 1, Cause.BLACK, "It is dark.")
    assert (judged.cause, defects) == (Cause.BLACK, [])
    assert judge.heard(Gap("a", 0.0, 1.0, None, 0.0, None, "The cable was out.")) == []
