"""Frames on their way to the engine: nothing disappears, whatever the policy."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.frames import Cause, Frame, Gap, Notice
from temper.deploy.line.intake import Intake, Policy

PICTURE = np.zeros((4, 4), np.uint8)


def frame(number: int, cause: Cause | None = None) -> Frame:
    if cause is not None:
        return Frame("top", f"top {number}", None, cause, "why", frame_id=number, exposed=float(number))
    return Frame("top", f"top {number}", PICTURE, frame_id=number, exposed=float(number))


def ids(items: list[Frame | Gap | Notice]) -> list[int | None]:
    return [item.frame_id for item in items if isinstance(item, Frame)]


def dropped(items: list[Frame | Gap | Notice]) -> list[int | None]:
    return [item.frame_id for item in items if isinstance(item, Frame) and item.cause is Cause.DROPPED]


@pytest.mark.parametrize(("policy", "given_up"), [("drop-oldest", [0, 1]), ("drop-newest", [3, 4])])
def test_what_is_given_up_stays_in_its_place(policy: Policy, given_up: list[int]) -> None:
    intake = Intake(3, policy)
    for number in range(5):
        assert intake.put(frame(number))
    taken = intake.take(10, 0)
    assert ids(taken) == [0, 1, 2, 3, 4]
    assert dropped(taken) == given_up
    assert all(item.image is None for item in taken if isinstance(item, Frame) and item.cause)
    assert intake.dropped == 2


def test_frames_without_a_picture_take_no_place() -> None:
    intake = Intake(1, "drop-oldest")
    intake.put(frame(0))
    for number in range(1, 50):
        intake.put(frame(number, Cause.LOST))
    assert dropped(intake.take(1, 0)) == []
    assert ids(intake.take(1, 0)) == list(range(1, 50))


def test_only_so_many_pictures_are_taken_at_once() -> None:
    intake = Intake(10, "block")
    for number in range(6):
        intake.put(frame(number, Cause.BLACK if number % 2 else None))
    assert ids(intake.take(2, 0)) == [0, 1, 2]
    assert ids(intake.take(2, 0)) == [3, 4, 5]


def test_block_waits_for_room_and_ends_with_stop() -> None:
    intake, stop, put = Intake(1, "block"), threading.Event(), []
    intake.put(frame(0))
    beats: list[float] = []

    def fill() -> None:
        put.append(intake.put(frame(1), stop, lambda: beats.append(0)))
        put.append(intake.put(frame(2), stop, lambda: beats.append(0)))

    thread = threading.Thread(target=fill)
    thread.start()
    deadline = time.monotonic() + 10
    while not beats and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ids(intake.take(1, 1)) == [0]
    while len(put) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    assert put == [True, False]
    assert beats


def test_a_closed_intake_gives_out_what_waits() -> None:
    intake = Intake(2, "drop-oldest")
    intake.put(frame(0))
    intake.close()
    assert not intake.put(frame(1))
    assert not intake.exhausted
    assert ids(intake.take(5, 0)) == [0]
    assert intake.exhausted
    assert intake.take(5, 0) == []


def test_a_stalled_line_fills_no_memory() -> None:
    intake = Intake(2, "drop-oldest", most_records=10)
    for number in range(1000):
        intake.put(frame(number))
    taken = intake.take(10_000, 0)
    gaps = [item for item in taken if isinstance(item, Gap)]
    assert len(ids(taken)) <= 12
    assert len(gaps) == 1
    assert len(ids(taken)) + (gaps[0].frames or 0) == 1000


@given(
    st.lists(st.sampled_from(["picture", "lost", "gap", "take"]), max_size=60),
    st.integers(1, 5),
    st.sampled_from(["drop-oldest", "drop-newest"]),
)
def test_everything_put_comes_out_once_and_in_order(actions: list[str], capacity: int, policy: Policy) -> None:
    intake = Intake(capacity, policy)
    put: list[int] = []
    out: list[int | None] = []
    for number, action in enumerate(actions):
        if action == "take":
            taken = intake.take(1, 0)
        else:
            if action == "gap":
                intake.put(Gap("top", float(number), None, number, None, None, "away"))
            else:
                intake.put(frame(number, Cause.LOST if action == "lost" else None))
            put.append(number)
            taken = []
        out += [
            item.frames if isinstance(item, Gap) else item.frame_id for item in taken if not isinstance(item, Notice)
        ]
        assert intake.waiting <= capacity
    intake.close()
    while not intake.exhausted:
        out += [i.frames if isinstance(i, Gap) else i.frame_id for i in intake.take(3, 0) if not isinstance(i, Notice)]
    assert out == put
