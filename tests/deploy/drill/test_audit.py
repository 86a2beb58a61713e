"""The audit finds what is missing: otherwise a drill that passes would say nothing."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from steel_pictures import steel
from temper.core.errors import MissingDependencyError
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.drill.audit import audit_defects, audit_events, audit_frames
from temper.deploy.drill.gige_camera import SentFrame
from temper.deploy.drill.result import Drill, DrillResult
from temper.deploy.drill.rig import Rig, wait_for
from temper.deploy.drill.run import run_scenario
from temper.deploy.drill.scenarios import finish
from temper.deploy.frames import Gap
from temper.deploy.results.events import EventLog
from temper.deploy.results.records import FrameResult, now
from temper.deploy.results.store import Store
from temper.deploy.strip.defect import StripDefect
from temper.detection.detections import Detections
from tiny_bundle import make_tiny_bundle

BEGIN = 1_790_000_000.0


def sent(count: int) -> list[SentFrame]:
    """Frames at 10 a second whose count wraps on the way."""
    return [SentFrame((65_500 + i - 1) % 65_535 + 1, BEGIN + 0.1 * i) for i in range(count)]


def stored(number: int, frame_id: int, moment: float) -> FrameResult:
    nothing = Detections.none((8, 8), str(frame_id))
    return FrameResult(
        number, f"top {frame_id}", now(), Verdict(Outcome.OK, nothing), None, None, {}, camera="top", frame_id=frame_id,
        exposed=moment,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, detector: BundleDetector) -> Store:
    opened = Store(tmp_path / "results.sqlite")
    opened.begin_run(detector, "top", "line", ["top"])
    return opened


def fill(store: Store, leave_out: set[int], gaps: list[Gap] | None = None, twice: int | None = None) -> None:
    items: list[FrameResult | Gap] = [stored(i, 65_500 + i, BEGIN + 0.1 * i) for i in range(100) if i not in leave_out]
    if twice is not None:
        items.append(stored(200, 65_500 + twice, BEGIN + 0.1 * twice))
    store.add([*items, *(gaps or [])])


def test_every_frame_with_a_verdict_is_well(store: Store) -> None:
    fill(store, set())
    audit = audit_frames(sent(105), store.path, BEGIN + 10.5)
    assert (audit.sent, audit.judged, audit.problems) == (100, 100, [])
    assert audit.verdicts == {"ok": 100}


def test_a_frame_without_a_verdict_is_found(store: Store) -> None:
    fill(store, {40, 41})
    audit = audit_frames(sent(100), store.path, BEGIN + 10)
    assert audit.problems == ["2 frames have neither a verdict nor a gap (the first are 5, 6)."]


def test_a_gap_accounts_for_its_time_alone(store: Store) -> None:
    gap = Gap("top", BEGIN + 3.9, BEGIN + 5.0, 10, None, None, "The cable was out.")
    fill(store, set(range(40, 50)) | {70}, [gap])
    audit = audit_frames(sent(100), store.path, BEGIN + 10)
    assert audit.in_gaps == 10
    assert audit.problems == ["1 frames have neither a verdict nor a gap (the first are 35)."]


def test_a_gap_that_lasts_accounts_for_all_that_follows(store: Store) -> None:
    fill(store, set(range(60, 100)), [Gap("top", BEGIN + 5.9, None, None, None, None, "The cable was out.")])
    audit = audit_frames(sent(100), store.path, BEGIN + 10)
    assert (audit.in_gaps, audit.problems) == (40, [])


def test_two_verdicts_of_one_frame_are_found(store: Store) -> None:
    fill(store, set(), twice=30)
    assert audit_frames(sent(100), store.path, BEGIN + 10).problems == [
        "1 stored frames were never sent, or have two verdicts."
    ]


def test_what_a_sink_has_not_delivered_is_found(store: Store) -> None:
    fill(store, set())
    with EventLog(store.path) as log:
        log.delivered("mqtt", 60)
    assert audit_events(store.path, ["mqtt"]) == ["mqtt has delivered up to event 60 of 100."]


def test_a_line_that_died_before_it_was_asked_to_end_is_found(store: Store) -> None:
    fill(store, set(range(60, 100)))
    audit = audit_frames(sent(100), store.path, BEGIN + 10)
    assert (audit.sent, audit.judged) == (81, 60)
    assert audit.problems == ["21 frames have neither a verdict nor a gap (the first are 25, 26, 27, 28, 29)."]


def showing(number: int, defects: int) -> FrameResult:
    """A frame of 64 mm that shows so many defects in its rows 10 to 20."""
    boxes = np.array([[5, 10, 30, 20]] * defects, np.float32).reshape(-1, 4)
    found = Detections(boxes, np.full(defects, 0.5, np.float32), np.full(defects, 1, np.int64), (64, 64))
    outcome = Outcome.DEFECT if defects else Outcome.OK
    return FrameResult(
        number, f"top {number}", now(), Verdict(outcome, found), None, None, {}, camera="top", frame_id=number,
        exposed=BEGIN + 0.1 * number, position_m=0.064 * number, length_m=0.064,
    )  # fmt: skip


def of_strip(number: int, **changes: object) -> StripDefect:
    whole = StripDefect(1, 0.5, "major", 0.064 * number + 0.01, 5.0, 10.0, 25.0, (number, number))
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("defects", "problems"),
    [
        ([of_strip(3), of_strip(40)], []),
        ([of_strip(3)], ["1 defects of frames are in none of the strip (the first are in frames 40)."]),
        (
            [of_strip(3), of_strip(40, position_m=0.1)],
            ["1 defects of frames are in none of the strip (the first are in frames 40)."],
        ),
        (
            [of_strip(3, label=0), of_strip(40)],
            ["1 defects of frames are in none of the strip (the first are in frames 3)."],
        ),
        ([of_strip(3), of_strip(40), of_strip(40)], ["1 defects of the strip were given out twice."]),
    ],
)
def test_a_defect_that_frames_show_is_one_of_the_strip_once(
    defects: list[StripDefect], problems: list[str], store: Store
) -> None:
    store.add([showing(number, int(number in (3, 40))) for number in range(60)])
    store.add(defects)
    store.end_run("signal")
    assert audit_defects(store.path) == problems


def test_a_defect_that_was_open_when_a_line_was_killed_is_no_problem(store: Store) -> None:
    store.add([showing(number, int(number in (3, 59))) for number in range(60)])
    assert audit_defects(store.path) == ["1 defects of frames are in none of the strip (the first are in frames 3)."]
    store.add([of_strip(3)])
    assert audit_defects(store.path) == []
    store.end_run("signal")
    assert audit_defects(store.path) == ["1 defects of frames are in none of the strip (the first are in frames 59)."]


@pytest.mark.slow
def test_a_line_that_is_killed_loses_no_defect_of_the_strip(tmp_path: Path) -> None:
    from gige import require_aravis

    require_aravis()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        cv2.imwrite(str(pictures / f"{number}.png"), steel(number == 3))
    result = DrillResult("kill", 2)
    changes = {"mqtt": None}
    bundle = make_tiny_bundle(tmp_path)
    with Rig(tmp_path / "line", bundle, size=(128, 100), broker=False, changes=changes, images=pictures) as rig:
        for expected in (4, 8, 12):
            wait_for(lambda so_many=expected: rig.count("defect") >= so_many, 60, "defects")  # type: ignore[misc]
            if expected < 12:
                os.kill(rig.parts()["inspection"], signal.SIGKILL)
                rig.wait_for_frames(100)
        finish(rig, result, 100, sinks=())
    assert (result.problems, result.audit.problems) == ([], [])
    assert result.figures["strip_defects"] > 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "times"), [("camera", 1), ("broker", 1), ("plant", 1), ("kill", 2), ("clock", 2), ("frames", 200)]
)
def test_a_line_comes_back_and_loses_nothing(scenario: str, times: int, tmp_path: Path) -> None:
    from gige import require_aravis

    require_aravis()
    bundle = make_tiny_bundle(tmp_path)
    try:
        result = run_scenario(scenario, Drill(tmp_path / scenario, bundle, times, rng=random.Random(7), patience=5))
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert result.problems == []
    assert result.audit.problems == []
    assert result.audit.judged > 20
    assert len(result.recoveries) == (0 if scenario == "frames" else times)
