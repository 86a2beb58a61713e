"""Which pictures of a stream are believed after packets of it were lost or damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.deploy.cameras.losses import PictureLosses
from temper.deploy.frames import Cause

STEP, GROUP = 0.04, 10


def follow(losses: PictureLosses, numbers: list[int], harmed: set[int] = frozenset()) -> list[tuple[int, Cause | None]]:  # type: ignore[assignment]
    """Pictures by their number, every tenth a key picture; what is missing before each, and why it is not believed."""
    told = []
    for number in numbers:
        losses.packet(number * STEP, number in harmed)
        missing, why = losses.picture(number * STEP, number * STEP, number % GROUP == 0, False)
        told.append((missing, why[0] if why else None))
    return told


def test_a_whole_stream_is_believed() -> None:
    assert follow(PictureLosses(), list(range(40))) == [(0, None)] * 40


@given(st.sets(st.integers(3, 38), max_size=6))
def test_what_never_came_is_counted_and_what_builds_on_it_is_not_believed(gone: set[int]) -> None:
    numbers = [number for number in range(40) if number not in gone]
    told = follow(PictureLosses(), numbers)
    assert sum(missing for missing, _ in told) == len(gone)
    for number, (_, cause) in zip(numbers, told, strict=True):
        since_key = range(number // GROUP * GROUP, number)
        assert (cause is Cause.LOST) == bool(gone & set(since_key))


def test_a_hole_in_the_transport_lasts_until_a_key_picture_that_it_cannot_be_in() -> None:
    told = follow(PictureLosses(), list(range(40)), {14, 29})
    assert [number for number, (_, cause) in enumerate(told) if cause] == [*range(14, 20), *range(29, 40)]


def test_a_damaged_key_picture_is_none_to_begin_anew_with() -> None:
    losses = PictureLosses()
    follow(losses, list(range(10)))
    assert losses.picture(10 * STEP, 0.0, True, True)[1] is not None
    assert losses.picture(11 * STEP, 0.0, False, False)[1] is not None
    assert losses.picture(12 * STEP, 0.0, True, False)[1] is None


def test_a_packet_without_a_picture_stands_for_one_and_harms_those_after_it() -> None:
    losses = PictureLosses()
    follow(losses, list(range(10)))
    losses.undecodable(10 * STEP, 0.0)
    missing, why = losses.picture(11 * STEP, 0.0, False, False)
    assert missing == 0
    assert why == (Cause.ERROR, "It builds on a picture that cannot be decoded.")


def test_without_a_steady_rate_nothing_is_missing_by_the_times() -> None:
    losses = PictureLosses(paced=False)
    assert [losses.picture(at, at, False, False)[0] for at in (0, 1, 2, 3, 7, 8)] == [0] * 6


@pytest.mark.parametrize(("seconds", "arrived", "was_set"), [(1.04, 5.04, False), (31.0, 5.04, True), (1.04, 60, True)])
def test_a_clock_that_was_set_is_told_from_a_pause(seconds: float, arrived: float, was_set: bool) -> None:
    losses = PictureLosses()
    assert not losses.clock_was_set(1.0, 5.0)
    losses.picture(1.0, 5.0, True, False)
    assert losses.clock_was_set(seconds, arrived) == was_set
    assert not losses.clock_was_set(None, arrived)
    assert not losses.clock_was_set(21.0, 25.0)
