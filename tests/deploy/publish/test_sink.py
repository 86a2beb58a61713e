"""The forwarder on a sink that fails as it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outgoing import MemoryLog, Running, eventually, frame, running
from temper.core.errors import UsageError
from temper.deploy.publish.mqtt import MqttSink
from temper.deploy.publish.settings import (
    Backoff,
    MqttSettings,
    PlantSettings,
    PublishSettings,
    Secret,
    WebhookSettings,
)
from temper.deploy.publish.sink import SinkAway, SinkRefused
from temper.deploy.publish.sinks import make_sinks
from temper.deploy.results.message import Message


class Scripted:
    """Each call of ``send`` does the next of ``script``: takes that many messages, or raises; then it takes all."""

    name, target, batch, patience, linger = "scripted", "The other side", 10, 5.0, 0.0
    undeliverable, complaint = 0, None

    def __init__(self, *script: int | Exception) -> None:
        self.script = list(script)
        self.taken: list[Message] = []
        self.opened: list[float] = []
        self.closed = 0
        self.held = threading.Event()
        self.held.set()

    def open(self) -> None:
        self.opened.append(time.monotonic())

    def check(self) -> None:
        pass

    def send(self, messages: Sequence[Message]) -> int:
        self.held.wait(30)
        step = self.script.pop(0) if self.script else len(messages)
        if isinstance(step, Exception):
            raise step
        part = messages[: max(1, step)]
        self.taken.extend(part)
        return part[-1].event_id

    def close(self) -> None:
        self.closed += 1


STEPS = st.one_of(st.integers(1, 10), st.builds(SinkAway, st.just("gone")), st.builds(SinkRefused, st.just("no")))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, max_size=12), st.integers(0, 60))
def test_whatever_the_other_side_does_each_comes_once_and_in_order(script: list[int | Exception], count: int) -> None:
    sink, log = Scripted(*script), MemoryLog()
    log.add(*map(frame, range(count)))
    with running(sink, log, Backoff(first=0.001, most=0.002, slow=0.002)) as work:
        eventually(lambda: log.behind("scripted") == 0)
    assert [message.payload["number"] for message in sink.taken] == list(range(count))
    assert work.forwarder.progress.sent == count


def test_the_waits_grow_and_shrink_again() -> None:
    sink, log = Scripted(*[SinkAway("gone")] * 5, 1, SinkAway("gone")), MemoryLog()
    log.add(frame(0), frame(1))
    with running(sink, log, Backoff(first=0.05, most=0.4, slow=9)):
        eventually(lambda: log.behind("scripted") == 0)
    waits = [after - before for before, after in zip(sink.opened, sink.opened[1:], strict=False)]
    for wait, most in zip(waits, (0.05, 0.1, 0.2, 0.4, 0.4, 0.05), strict=True):
        assert 0.75 * most <= wait < most + 0.3
    assert sink.closed == 7


def test_the_other_side_may_say_how_long_to_wait() -> None:
    sink, log = Scripted(SinkAway("busy", retry_after=0.5), SinkAway("busy", retry_after=1e6)), MemoryLog()
    log.add(frame(0))
    with running(sink, log, Backoff(first=0.01, most=0.02, slow=0.6)):
        eventually(lambda: log.behind("scripted") == 0)
    first, second = (after - before for before, after in zip(sink.opened, sink.opened[1:], strict=False))
    assert 0.37 < first < 0.8
    assert 0.45 < second < 0.9


def test_a_call_that_takes_long_is_no_hang_until_it_takes_too_long() -> None:
    sink, log = Scripted(), MemoryLog()
    sink.patience = 1.5
    sink.held.clear()
    log.add(frame(0))
    with running(sink, log) as work:
        started = time.monotonic()
        eventually(lambda: time.monotonic() - work.beats[-1] > 1)
        assert 1 < work.beats[-1] - started < 1.6
        sink.held.set()
        eventually(lambda: time.monotonic() - work.beats[-1] < 0.5)
        eventually(lambda: work.forwarder.progress.sent == 1)


def test_the_stop_sends_what_waits_and_gives_up_in_time() -> None:
    sink, log = Scripted(), MemoryLog()
    work = Running(sink, log)
    log.add(*map(frame, range(95)))
    work.end()
    assert log.behind("scripted") == 0
    sink.held.clear()
    work = Running(sink, log, drain_seconds=0.5)
    log.add(frame(95))
    eventually(lambda: len(sink.opened) == 2)
    started = time.monotonic()
    work.end(3)
    assert time.monotonic() - started < 2
    sink.held.set()
    assert log.behind("scripted") == 1


def test_the_stop_ends_a_long_wait() -> None:
    sink, log = Scripted(SinkRefused("no")), MemoryLog()
    log.add(frame(0))
    work = Running(sink, log, Backoff(slow=60))
    eventually(lambda: work.warnings() == ["no"])
    work.end(2)


def test_what_is_no_trouble_of_the_other_side_is_a_bug_and_ends_it() -> None:
    sink, log = Scripted(ZeroDivisionError("a bug")), MemoryLog()
    log.add(frame(0))
    work = Running(sink, log)
    eventually(lambda: work.error is not None)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        work.end()
    assert sink.closed == 1


def test_a_secret_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("molten\n")
    monkeypatch.setenv("TEMPER_TEST_KEY", "molten")
    for secret in (Secret(file=tmp_path / "key"), Secret(variable="TEMPER_TEST_KEY")):
        assert secret.read("The key") == "molten"
        assert "molten" not in repr(secret)
    assert Secret().read("The key") is None
    (tmp_path / "key").write_text("\n")
    with pytest.raises(UsageError, match=r"The key is not in the file .*key: there is nothing in it"):
        Secret(file=tmp_path / "key").read("The key")


def test_every_sink_is_made_from_settings(tmp_path: Path) -> None:
    assert make_sinks(PublishSettings("mill-2"), tmp_path / "results.sqlite") == []
    everything = PublishSettings(
        "mill-2", MqttSettings(), WebhookSettings("https://plant.example/"), PlantSettings("postgresql://u@h/d")
    )
    sinks = make_sinks(everything, tmp_path / "results.sqlite")
    assert [sink.name for sink in sinks] == ["mqtt", "webhook", "plant"]
    assert isinstance(sinks[0], MqttSink)
