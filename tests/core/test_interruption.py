from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest
from temper.core.interruption import (
    Terminated,
    held_back,
    ignore_further,
    listening,
    raise_if_interrupted,
    received,
)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_raised_and_noted(number: signal.Signals, kind: type[KeyboardInterrupt]) -> None:
    before = signal.getsignal(number)
    with listening():
        with pytest.raises(kind):
            send(number)
        assert type(received()) is kind
    assert received() is None
    assert signal.getsignal(number) == before


def test_one_that_was_swallowed_is_raised_again() -> None:
    with listening():
        with contextlib.suppress(KeyboardInterrupt):
            send(signal.SIGTERM)
        with pytest.raises(Terminated):
            raise_if_interrupted()
    raise_if_interrupted()


def test_it_waits_for_the_end_of_a_block_that_holds_it_back() -> None:
    reached = []

    def work() -> None:
        with held_back():
            with held_back():
                send(signal.SIGTERM)
                reached.append("inner")
            reached.append("outer")
        reached.append("after")

    with listening(), pytest.raises(Terminated):
        work()
    assert reached == ["inner", "outer"]


def test_an_error_in_such_a_block_is_not_hidden() -> None:
    def both() -> None:
        with held_back():
            send(signal.SIGINT)
            raise ValueError("mine")

    with listening():
        with pytest.raises(ValueError, match="mine"):
            both()
        assert received() is not None


def test_on_the_way_out_nothing_breaks_in() -> None:
    with listening():
        ignore_further()
        send(signal.SIGINT)
        send(signal.SIGTERM)


def test_what_a_shell_has_silenced_stays_silent() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening():
            send(signal.SIGINT)
            assert received() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_handlers_alone() -> None:
    seen = []

    def listen() -> None:
        with listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [before]
