"""The audit finds what is missing: otherwise a drill that passes would say nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from temper.core.errors import MissingDependencyError
from temper.deploy.detector import BundleDetector, Outcome, Verdict
from temper.deploy.drill.audit import audit_events, audit_frames
from temper.deploy.drill.gige_camera import SentFrame
from temper.deploy.drill.result import Drill
from temper.deploy.drill.run import run_scenario
from temper.deploy.frames import Gap
from temper.deploy.results.events import EventLog
from temper.deploy.results.records import FrameResult, now
from temper.deploy.results.store import Store
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
    audit = audit_frames(sent(105), store.path)
    assert (audit.sent, audit.judged, audit.problems) == (100, 100, [])
    assert audit.verdicts == {"ok": 100}


def test_a_frame_without_a_verdict_is_found(store: Store) -> None:
    fill(store, {40, 41})
    audit = audit_frames(sent(100), store.path)
    assert audit.problems == ["2 frames have neither a verdict nor a gap (the first are 5, 6)."]


def test_a_gap_accounts_for_its_time_alone(store: Store) -> None:
    gap = Gap("top", BEGIN + 3.9, BEGIN + 5.0, 10, None, None, "The cable was out.")
    fill(store, set(range(40, 50)) | {70}, [gap])
    audit = audit_frames(sent(100), store.path)
    assert audit.in_gaps == 10
    assert audit.problems == ["1 frames have neither a verdict nor a gap (the first are 35)."]


def test_two_verdicts_of_one_frame_are_found(store: Store) -> None:
    fill(store, set(), twice=30)
    assert audit_frames(sent(100), store.path).problems == ["1 stored frames were never sent, or have two verdicts."]


def test_what_a_sink_has_not_delivered_is_found(store: Store) -> None:
    fill(store, set())
    with EventLog(store.path) as log:
        log.delivered("mqtt", 60)
    assert audit_events(store.path, ["mqtt"]) == ["mqtt has delivered up to event 60 of 100."]


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
