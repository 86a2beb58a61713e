"""Verdicts of frames, and defects of the strip, from what was found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from temper.deploy.detector import Outcome
from temper.deploy.frames import Cause, Frame, Gap, Notice
from temper.deploy.line.judge import Judge
from temper.deploy.strip.across import AcrossFrames
from temper.deploy.strip.defect import StripDefect
from temper.deploy.strip.judging import Judging, Zone
from temper.deploy.strip.repeats import Repeats
from temper.deploy.strip.scale import Scale
from temper.detection.detections import Detections

BEGIN = time.monotonic()
Box = tuple[float, float, float, float]


def judge_of(*cameras: str, smallest_mm: float = 0.0, zones: Sequence[Zone] = ()) -> Judge:
    rules = Judging(np.array([0.5], np.float32), np.array([smallest_mm]), zones, edge_mm=AcrossFrames.tolerance_mm)
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


def inspect(judge: Judge, true: Box, step: float, at: float = 0.0) -> tuple[list[Outcome], list[StripDefect]]:
    """Frames of 100 x 100 mm, each ``step`` mm further, over a defect; ``at`` is where the first one begins, in mm."""
    outcomes, defects = [], []
    for number in range(int((true[3] + 200) / step) + 1):
        y = number * step
        x1, y1, x2, y2 = max(true[0], 0), max(true[1] - y, 0), min(true[2], 100), min(true[3] - y, 100)
        boxes = [(x1, y1, x2, y2)] if y2 - y1 > 0.5 else []
        taken = replace(frame("a", number), position_m=(at + y) / 1000)
        judged, more = judge.judge(taken, number, found(*boxes), {})
        outcomes.append(judged.verdict.outcome)
        defects += more
    return outcomes, defects + judge.finish()


@settings(max_examples=200, deadline=None)
@given(st.floats(1, 100), st.floats(1, 40), st.floats(1, 60), st.floats(1, 300), st.sampled_from([0.0, 5.2e12]))
def test_a_defect_counts_by_its_whole_size_and_never_without_its_frame(
    step: float, length: float, width: float, start: float, at: float
) -> None:
    true = (20.0, start, 20.0 + width, start + length)
    outcomes, defects = inspect(judge_of("a", smallest_mm=8.0), true, step, at)
    longest = max(length, width)
    if longest > 8.6:
        assert len(defects) == 1
    elif longest < 8:
        assert not defects
    if defects:
        frames = range(defects[0].frames[0], defects[0].frames[1] + 1)
        assert any(outcomes[number] is Outcome.DEFECT for number in frames)


def test_a_defect_on_the_edge_of_frames_counts_by_its_whole_size() -> None:
    outcomes, defects = inspect(judge_of("a", smallest_mm=8.0), (40, 194, 44, 206), 100)
    assert [defect.length_mm for defect in defects] == [12.0]
    assert outcomes == [Outcome.OK, Outcome.DEFECT, Outcome.DEFECT, Outcome.OK, Outcome.OK]
    outcomes, defects = inspect(judge_of("a", smallest_mm=8.0), (40, 196, 44, 203), 100)
    assert not defects
    assert outcomes[1:3] == [Outcome.DEFECT] * 2, "neither of them shows how large it is"


def test_the_pieces_of_a_long_defect_are_no_period() -> None:
    rules = Judging(np.array([0.5], np.float32), np.zeros(1))
    across = AcrossFrames(longest_mm=1000)
    judge = Judge(rules, {"a": Scale(1.0, 1.0)}, None, across, Repeats())
    _, defects = inspect(judge, (40, 150, 50, 20_000), 100)
    assert len(defects) == 20
    assert {defect.repeat_m for defect in defects} == {None}


def test_a_zone_across_the_strip_holds_the_middle_of_the_whole_defect() -> None:
    edge = Zone(None, ((0.0, -np.inf), (30.0, np.inf)))
    judge = judge_of("a", zones=[edge])
    whole(judge, "a", 0, (10, 90, 40, 100))
    defects = [*whole(judge, "a", 1, (10, 0, 60, 20)), *judge.finish()]
    assert [(defect.width_mm, defect.length_mm) for defect in defects] == [(50.0, 30.0)]
    judge = judge_of("a", zones=[edge])
    whole(judge, "a", 0, (10, 90, 40, 100))
    assert [*whole(judge, "a", 1, (10, 0, 45, 20)), *judge.finish()] == []


def test_a_zone_of_a_camera_takes_out_what_lies_in_it_with_all_its_parts() -> None:
    dark_rows = Zone("a", ((0.0, 80.0), (100.0, 100.0)))
    outcomes, defects = inspect(judge_of("a", zones=[dark_rows]), (40, 185, 44, 230), 100)
    assert [(defect.position_m, defect.length_mm) for defect in defects] == [(0.185, 45.0)]
    assert outcomes[:4] == [Outcome.OK, Outcome.OK, Outcome.DEFECT, Outcome.OK]
    outcomes, defects = inspect(judge_of("a", zones=[dark_rows]), (40, 185, 44, 200), 100)
    assert (set(outcomes), defects) == ({Outcome.OK}, [])


def test_a_verdict_needs_no_positions() -> None:
    judge = Judge(Judging(np.array([0.5], np.float32), np.zeros(1)), {}, None, None, None)
    assert whole(judge, "a", 0, (40, 90, 50, 100)) == []
    judged, defects = judge.without_answer(frame("a", 1, Cause.BLACK), 1, Cause.BLACK, "It is dark.")
    assert (judged.cause, defects) == (Cause.BLACK, [])
    assert judge.heard(Gap("a", 0.0, 1.0, None, 0.0, None, "The cable was out.")) == []
