"""A camera that is kept: every loss is a gap, and its length is known where the camera's count goes on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.deploy.cameras.base import Camera, CameraEnded, CameraLost, CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.checks import CheckSettings, PictureChecks
from temper.deploy.cameras.kept import Backoff, Item, KeptCamera
from temper.deploy.cameras.track import ByFrame
from temper.deploy.frames import Cause, Frame, Gap, LastSeen, Notice

QUICK = Backoff(0.01, 0.02)
BEGIN = 1_700_000_000.0


class Roll:
    """A connection with a given end."""

    def __init__(self, *steps: Frame | TemperError | OSError | None, wrap: int | None = None) -> None:
        self.facts = {"model": "roll"}
        self.steps: list[Frame | TemperError | OSError | None] = list(steps)
        self.wrap, self.closed = wrap, False

    def grab(self, timeout: float) -> Frame | None:
        if not self.steps:
            raise CameraEnded("That was all.")
        step = self.steps.pop(0)
        if isinstance(step, TemperError | OSError):
            raise step
        if step is None:
            time.sleep(min(timeout, 0.05))
        return step

    def close(self) -> None:
        self.closed = True


def frame(number: int, moment: float | None = None, image: np.ndarray | None = None) -> Frame:
    picture = np.full((8, 8), number % 200 + 20, np.uint8) if image is None else image
    exposed = BEGIN + (0.1 * number if moment is None else moment)
    return Frame("top", f"top {number}", picture, frame_id=number, exposed=exposed, arrived=exposed - BEGIN)


def run(*connections: Roll | TemperError | OSError, **options: object) -> list[Item]:
    rest = list(connections)

    def open_camera() -> Camera:
        one = rest.pop(0)
        if isinstance(one, TemperError | OSError):
            raise one
        return one

    kept = KeptCamera("top", open_camera, backoff=QUICK, **options)  # type: ignore[arg-type]
    items: list[Item] = []
    beats: list[float] = []
    kept.run(items.append, threading.Event(), lambda: beats.append(time.monotonic()))
    assert beats
    return items


NOT_YET = "This program had no frame of it yet."


def gaps(items: list[Item]) -> list[Gap]:
    """The gaps that have ended, but for the one before a camera's very first frame."""
    return [item for item in items if isinstance(item, Gap) and item.until is not None and item.cause != NOT_YET]


def states(items: list[Item]) -> list[str]:
    return [item.state for item in items if isinstance(item, Notice)]


def test_a_loss_is_told_and_becomes_a_gap_of_known_length() -> None:
    first = Roll(frame(1), frame(2), CameraLost("The cable is out."))
    items = run(first, CameraUnavailable("Nobody answers."), Roll(frame(9), frame(10)), track=ByFrame(0.5))
    assert first.closed
    assert states(items) == ["connected", "waiting", "waiting", "connected"]
    (gap,) = gaps(items)
    assert (gap.frames, gap.cause) == (6, "The cable is out.")
    assert (gap.since, gap.until) == (pytest.approx(BEGIN + 0.2), pytest.approx(BEGIN + 0.9))
    assert (gap.position_m, gap.length_m) == (1.0, 3.5)


def test_a_camera_that_was_restarted_cannot_tell_what_was_missed() -> None:
    items = run(Roll(frame(500), frame(501), CameraLost("Off.")), Roll(frame(1, 51.0), frame(2, 51.1)))
    assert gaps(items)[0].frames is None


def test_a_count_that_wraps_goes_on() -> None:
    wrap = 65_535
    items = run(
        Roll(frame(65_533, 0.0), frame(65_534, 0.1), CameraLost("Off."), wrap=wrap),
        Roll(frame(3, 0.6), frame(4, 0.7), wrap=wrap),
    )
    assert gaps(items)[0].frames == 3
    ids = [item.frame_id for item in items if isinstance(item, Frame)]
    assert ids == [65_533, 65_534, 65_538, 65_539]


def test_a_restart_of_our_own_is_a_gap_too() -> None:
    last = LastSeen(100, BEGIN + 10.0, None, interval=0.1)
    (gap,) = gaps(run(Roll(frame(151, 15.1)), last_seen=last))
    assert gap.frames == 50
    assert gap.cause == "This program was not running."
    assert gap.since == BEGIN + 10.0


@pytest.mark.parametrize(("counted", "frames"), [((100 + 360_000 - 1) % 65_535 + 1, 359_999), (1, None)])
def test_an_hour_without_a_camera_of_sixteen_bits(counted: int, frames: int | None) -> None:
    last = LastSeen(100, BEGIN, 10.0, interval=0.01)
    items = run(Roll(frame(counted, 3600.0), wrap=65_535), last_seen=last, track=ByFrame(0.1))
    (gap,) = gaps(items)
    assert gap.frames == frames
    (came,) = (item for item in items if isinstance(item, Frame))
    if frames is None:
        assert (gap.length_m, came.frame_id) == (None, 1)
    else:
        assert gap.length_m == pytest.approx(36_000)
        assert (came.frame_id, came.position_m) == (360_100, pytest.approx(36_010))


def test_a_count_that_begins_anew_lets_the_strip_go_on_where_it_was() -> None:
    items = run(
        Roll(frame(500), frame(501), CameraLost("Off.")),
        Roll(frame(1, 51.0), frame(2, 51.1), CameraLost("Off.")),
        Roll(frame(4, 51.3)),
        track=ByFrame(0.1),
        ahead_m=5.0,
    )
    places = [item.position_m for item in items if isinstance(item, Frame)]
    assert places == pytest.approx([55.0, 55.1, 55.1, 55.2, 55.4])
    # how much passed in the first gap nobody counted
    assert [gap.length_m for gap in gaps(items)] == [None, pytest.approx(0.2)]


def test_a_camera_that_is_away_from_the_beginning_is_a_gap() -> None:
    begun = time.time()
    came = time.time() - BEGIN + 5.0
    items = run(CameraUnavailable("Nobody answers."), Roll(frame(1, came), frame(2, came + 0.1)))
    (gap,) = gaps(items)
    assert begun <= gap.since < gap.until == BEGIN + came  # type: ignore[operator]
    assert (gap.frames, gap.length_m, gap.cause) == (None, None, "Nobody answers.")


def test_the_time_until_the_first_frame_is_a_gap() -> None:
    begun = time.time()
    opened, connected, ended, first = run(Roll(frame(1, begun - BEGIN + 3.0)))
    assert isinstance(connected, Notice)
    assert isinstance(first, Frame)
    assert isinstance(opened, Gap)
    assert isinstance(ended, Gap)
    assert (opened.until, opened.ends, opened.cause) == (None, False, NOT_YET)
    assert begun <= opened.since == ended.since < begun + 3.0 == pytest.approx(ended.until)
    assert (ended.ends, ended.frames, ended.length_m) == (True, None, None)


def test_a_gap_is_told_as_it_begins_and_once() -> None:
    """Also of a camera that never comes back, and of one that is connected and lost again without a frame."""
    lost = CameraLost("The cable is out.")
    items = run(Roll(frame(1), lost), CameraUnavailable("Nobody answers."), Roll(lost), Roll())
    told = [item for item in items if isinstance(item, Gap)]
    assert [(gap.until is None, gap.ends) for gap in told] == [(True, False), (False, True), (True, False)]
    assert (told[-1].since, told[-1].cause) == (pytest.approx(BEGIN + 0.1), "The cable is out.")
    place = items.index(told[-1])
    assert [type(item) for item in items[place - 2 : place]] == [Frame, Notice]


def test_a_restart_of_our_own_is_told_before_the_camera_is_there() -> None:
    last = LastSeen(100, BEGIN + 10.0, 5.0, interval=0.1)
    (opened,) = (item for item in run(CameraUnavailable("Nobody."), Roll(), last_seen=last) if isinstance(item, Gap))
    assert opened == Gap("top", BEGIN + 10.0, None, None, 5.0, None, "This program was not running.")


def test_a_camera_that_falls_silent_counts_as_lost() -> None:
    items = run(Roll(frame(1), *[None] * 20), Roll(frame(2)), silence_seconds=0.2)
    assert "sent nothing for 0.2 s" in gaps(items)[0].cause


def test_a_camera_that_may_be_silent_is_waited_for() -> None:
    assert gaps(run(Roll(frame(1), *[None] * 20, frame(2)), silence_seconds=None)) == []


def test_what_cannot_be_mended_by_waiting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.deploy.cameras.kept.MISCONFIGURED_SECONDS", 0.02)
    wrong = CameraMisconfigured("There is no pixel format Mono9.")
    items = run(wrong, CameraMisconfigured("There is no pixel format Mono9."), Roll(frame(1)))
    assert states(items) == ["misconfigured", "connected"]


@pytest.mark.parametrize(
    ("error", "state", "sentence"),
    [
        (CameraMisconfigured("The folder may not be read."), "misconfigured", "The folder may not be read."),
        (TemperError("The clip is torn."), "waiting", "The clip is torn."),
        (OSError(5, "Input/output error", "/mnt/a.png"), "waiting", "Input/output error of /mnt/a.png."),
    ],
)
def test_whatever_goes_wrong_with_a_camera_it_is_opened_anew(
    error: TemperError | OSError, state: str, sentence: str
) -> None:
    class Stuck(Roll):
        def close(self) -> None:
            super().close()
            raise OSError(19, "No such device")

    first = Stuck(frame(1), error)
    items = run(first, OSError(13, "Permission denied"), Roll(frame(9)))
    assert first.closed
    assert states(items) == ["connected", state, "waiting", "connected"]
    (gap,) = gaps(items)
    assert gap.cause.endswith(sentence)
    assert [item.frame_id for item in items if isinstance(item, Frame)] == [1, 9]


def test_a_camera_that_opens_and_gives_nothing_is_asked_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def seconds(self: Backoff, so_many: int, chance: float) -> float:
        tries.append(so_many)
        return 0.0

    monkeypatch.setattr(Backoff, "seconds", seconds)
    lost = CameraLost("It is gone.")
    run(Roll(lost), Roll(lost), Roll(frame(1), lost), Roll(lost), Roll(frame(2)))
    assert tries == [1, 2, 1, 2]


def test_stop_ends_it_while_it_waits() -> None:
    def refuse() -> Camera:
        raise CameraUnavailable("Nobody answers.")

    stop = threading.Event()
    kept = KeptCamera("top", refuse, backoff=Backoff(60, 60))
    thread = threading.Thread(target=kept.run, args=([].append, stop, lambda: None))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_frames_that_show_no_strip_have_a_cause() -> None:
    black, white = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    same = np.full((8, 8), 90, np.uint8)
    checks = PictureChecks(CheckSettings(frozen_after=3))
    items = run(
        Roll(frame(0, image=black), frame(1, image=white), *(frame(n, image=same) for n in range(2, 6)), frame(6)),
        checks=checks,
    )
    frames = [item for item in items if isinstance(item, Frame)]
    assert [one.cause for one in frames] == [
        Cause.BLACK, Cause.OVEREXPOSED, None, None, Cause.FROZEN, Cause.FROZEN, None,
    ]  # fmt: skip
    assert all(one.image is None for one in frames if one.cause)
    assert frames[4].detail == "The same picture came 3 times in a row."


@given(st.integers(1, 60), st.floats(0, 1))
def test_waits_double_and_stay_within_bounds(tries: int, chance: float) -> None:
    seconds = Backoff(0.5, 10).seconds(tries, chance)
    step = min(10, 0.5 * 2 ** (tries - 1))
    assert 0.75 * step <= seconds <= step
