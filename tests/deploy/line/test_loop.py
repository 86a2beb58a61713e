"""The whole loop on the tiny bundle: every frame comes out once, in order, with the verdict that its picture has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from steel_pictures import steel
from temper.core.errors import TemperError
from temper.deploy.cameras.base import CameraEnded, CameraLost
from temper.deploy.cameras.kept import Backoff, KeptCamera
from temper.deploy.cameras.track import ByFrame
from temper.deploy.detector import BundleDetector, Outcome
from temper.deploy.frames import Cause, Frame, Gap, Notice
from temper.deploy.line.inspector import Inspector
from temper.deploy.line.intake import Intake, Policy
from temper.deploy.line.judge import Judge, Judged
from temper.deploy.line.loop import LineLoop, Result
from temper.deploy.strip.across import AcrossFrames
from temper.deploy.strip.defect import StripDefect
from temper.deploy.strip.judging import Judging
from temper.deploy.strip.scale import Scale

BEGIN = 1_700_000_000.0


class Roll:
    """A camera with a given roll of pictures."""

    facts: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, frames: Sequence[Frame | Exception | None], pause: float = 0.0) -> None:
        self._frames, self._pause = list(frames), pause

    def grab(self, timeout: float) -> Frame | None:
        if not self._frames:
            raise CameraEnded("That was the last one.")
        time.sleep(self._pause)
        one = self._frames.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    def close(self) -> None:
        pass


class Kept:
    """Keeps results in memory; fails for as long as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.results: list[Result] = []
        self.failures = failures

    def keep(self, results: Sequence[Result]) -> None:
        if self.failures:
            self.failures -= 1
            raise TemperError("No space left on the disk.")
        self.results += results


def frame(number: int, defect: bool = False) -> Frame:
    moment = BEGIN + 0.04 * number
    return Frame("top", f"top {number}", steel(defect), frame_id=number, exposed=moment, arrived=time.monotonic())


def loop_of(
    detector: BundleDetector,
    frames: Sequence[Frame | Exception | None],
    keeper: Kept,
    policy: Policy = "block",
    deadline_ms: float | None = None,
    tile: tuple[int, int] | None = None,
    scale: Scale | None = None,
    open_camera: Callable[[], Roll] | None = None,
    **options: object,
) -> LineLoop:
    inspector = Inspector(detector, tile, 0, most_batch=4)
    inspector.warm_up([(64, 64)], 4)
    rules = Judging(detector.thresholds, np.zeros(len(detector.thresholds)))
    across = AcrossFrames() if scale else None
    judge = Judge(rules, {"top": scale} if scale else {}, deadline_ms, across, None)
    track = ByFrame(0.064) if scale else None
    roll = Roll(frames)
    camera = KeptCamera("top", open_camera or (lambda: roll), track=track, backoff=Backoff(0.01, 0.02))  # type: ignore[arg-type,return-value]
    return LineLoop([camera], Intake(4, policy), inspector, judge, keeper, **options)  # type: ignore[arg-type]


def judged(keeper: Kept) -> list[Judged]:
    return [result for result in keeper.results if isinstance(result, Judged)]


def test_every_frame_comes_out_once_and_in_order(detector: BundleDetector) -> None:
    keeper = Kept()
    frames = [frame(number, number % 3 == 1) for number in range(30)]
    frames[7] = Frame("top", "top 7", None, Cause.LOST, "It did not arrive whole.", frame_id=7)
    beats: set[str] = set()
    loop_of(detector, frames, keeper, beat=beats.add).run(threading.Event())
    results = judged(keeper)
    assert [one.frame.frame_id for one in results] == list(range(30))
    assert [one.number for one in results] == list(range(30))
    for number, one in enumerate(results):
        expected = Outcome.NOT_INSPECTED if number == 7 else Outcome.DEFECT if number % 3 == 1 else Outcome.OK
        assert one.verdict.outcome is expected, number
        assert (one.cause is Cause.LOST) == (number == 7)
    assert beats == {"camera top", "prepare", "infer", "judge", "store"}
    assert {"decode", "preprocess", "compute", "postprocess"} <= set(results[0].times)


def test_overload_is_told_frame_by_frame(detector: BundleDetector) -> None:
    keeper = Kept(failures=0)
    loop = loop_of(detector, [frame(number) for number in range(400)], keeper, policy="drop-oldest")
    loop.run(threading.Event())
    results = judged(keeper)
    assert [one.frame.frame_id for one in results] == list(range(400))
    assert all(one.cause in (None, Cause.DROPPED) for one in results)
    assert any(one.cause is Cause.DROPPED for one in results)
    assert results[-1].cause is None, "the newest is not given up"


def test_what_waits_beyond_its_deadline_is_late(detector: BundleDetector) -> None:
    keeper = Kept()
    old = frame(0)
    object.__setattr__(old, "arrived", time.monotonic() - 10)
    loop_of(detector, [old, frame(1)], keeper, deadline_ms=5000).run(threading.Event())
    first, second = judged(keeper)
    assert first.cause is Cause.LATE
    assert first.verdict.outcome is Outcome.NOT_INSPECTED
    assert second.cause is None


def test_a_full_disk_holds_results_back_and_loses_none(detector: BundleDetector) -> None:
    keeper, told = Kept(failures=3), []
    loop_of(detector, [frame(number) for number in range(10)], keeper, trouble=told.append).run(threading.Event())
    assert len(judged(keeper)) == 10
    assert told == ["No space left on the disk.", None]


def test_a_runtime_that_fails_makes_errors_and_then_ends_the_loop(
    detector: BundleDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Kept()
    loop = loop_of(detector, [frame(number) for number in range(60)], keeper)

    def fail(images: np.ndarray) -> None:
        raise TemperError("The GPU fell off the bus.")

    monkeypatch.setattr(detector.runtime, "infer_staged", lambda images, times: fail(images), raising=False)
    with pytest.raises(TemperError, match="failed 5 times in a row: The GPU fell off the bus"):
        loop.run(threading.Event())
    assert all(one.cause is Cause.ERROR for one in judged(keeper))


def test_stop_finishes_what_was_taken(detector: BundleDetector) -> None:
    keeper, stop = Kept(), threading.Event()
    frames = [frame(number) for number in range(100_000)]
    roll = Roll(frames, pause=0.002)
    loop = loop_of(detector, [], keeper, open_camera=lambda: roll)
    threading.Timer(0.5, stop.set).start()
    loop.run(stop)
    ids = [one.frame.frame_id for one in judged(keeper)]
    assert ids == list(range(len(ids)))
    assert 10 < len(ids) < 1000


def test_a_lost_camera_is_a_gap_between_its_frames(detector: BundleDetector) -> None:
    keeper = Kept()
    rolls = [Roll([frame(0), frame(1), CameraLost("The cable is out.")]), Roll([frame(9), frame(10)])]
    loop_of(detector, [], keeper, open_camera=lambda: rolls.pop(0)).run(threading.Event())
    kinds = [type(result).__name__ for result in keeper.results]
    begins = ["Gap", "Notice", "Gap", "Judged", "Judged"]
    assert kinds == [*begins, "Notice", "Gap", "Notice", "Gap", "Judged", "Judged"]
    *_, opened, closed = (result for result in keeper.results if isinstance(result, Gap))
    assert (opened.until, opened.cause) == (None, "The cable is out.")
    assert (closed.frames, closed.cause, closed.ends) == (7, "The cable is out.", True)
    states = [result.state for result in keeper.results if isinstance(result, Notice)]
    assert states == ["connected", "waiting", "connected"]


def test_tiles_see_what_the_whole_frame_would(detector: BundleDetector) -> None:
    """Four of the tiny bundle's pictures side by side, cut into tiles again."""
    keeper = Kept()
    wide = np.concatenate([steel(False), steel(True), steel(False), steel(False)], axis=1)
    one = Frame("top", "top 0", wide, frame_id=0, exposed=time.time(), arrived=time.monotonic())
    loop_of(detector, [one], keeper, tile=(128, 100)).run(threading.Event())
    (result,) = judged(keeper)
    assert result.verdict.outcome is Outcome.DEFECT
    alone = detector.verdict(detector.detect(steel(True))).defects
    middle = alone.boxes[0, [0, 2]].mean() + 128
    assert any(box[0] <= middle <= box[2] for box in result.verdict.defects.boxes)


def test_defects_on_the_strip_have_a_place_in_metres(detector: BundleDetector, tmp_path: Path) -> None:
    keeper = Kept()
    loop_of(detector, [frame(n, n == 2) for n in range(6)], keeper, scale=Scale(1.0, 1.0)).run(threading.Event())
    defects = [result for result in keeper.results if isinstance(result, StripDefect)]
    assert defects
    assert all(0.128 - 0.006 <= defect.position_m <= 0.192 for defect in defects)


def test_defects_do_not_wait_for_a_camera_to_come_back(detector: BundleDetector) -> None:
    """What a camera showed last is stored while it is away, not only after."""
    keeper, stop = Kept(), threading.Event()
    rolls = [Roll([frame(0), frame(1, True), CameraLost("The cable is out.")])]

    def open_camera() -> Roll:
        if not rolls:
            raise CameraLost("There is nothing at this address.")
        return rolls.pop(0)

    loop = loop_of(detector, [], keeper, scale=Scale(1.0, 1.0), open_camera=open_camera)
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    try:
        until = time.monotonic() + 20
        while not any(isinstance(result, StripDefect) for result in keeper.results) and time.monotonic() < until:
            stop.wait(0.01)
        assert any(isinstance(result, StripDefect) for result in keeper.results)
    finally:
        stop.set()
        running.join()
