"""From the event log to one place beyond the device: in order, nothing lost, for as long as it takes."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ...core.errors import TemperError
from ...core.events import Event, Reporter, silent
from ..results.message import Log, Message
from .settings import Backoff

T = TypeVar("T")
#: How often a forwarder that waits looks up, in seconds; it beats each time.
LOOK_SECONDS = 0.25
#: How often messages that wait are counted, in seconds.
COUNT_SECONDS = 2.0


class SinkAway(TemperError):
    """The other side cannot be reached or does not answer; waiting can help.

    Args:
        message: one sentence.
        retry_after: the seconds that the other side asks to be left alone for; None if it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SinkRefused(TemperError):
    """The other side answers, and refuses; somebody has to mend something before trying again can help."""


class Sink(Protocol):
    """One place that messages go to. All calls come one after the other, but not all from one thread.

    Attributes:
        name: of its cursor in the event log; stays the same for ever.
        target: what it sends to, for messages; no secrets.
        batch: most messages it is given at once.
        patience: the longest, in seconds, that any of its calls may take; longer is a hang.
        linger: seconds to gather messages before the next batch; 0 where each should go out at once.
        undeliverable: messages that the other side can never take, so that those after them went on.
        complaint: why, in a sentence; None while there are none.
    """

    name: str
    target: str
    batch: int
    patience: float
    linger: float
    undeliverable: int
    complaint: str | None

    def open(self) -> None:
        """Connect; called again after ``close``.

        Raises:
            SinkAway: if it is not there.
            TemperError: if it refuses, or the settings are wrong.
        """

    def check(self) -> None:
        """Raise :class:`SinkAway` if the connection is lost, as far as that is known. Quick; called while idle."""

    def send(self, messages: Sequence[Message]) -> int:
        """Send messages in order.

        Args:
            messages: at least one.

        Returns:
            The ``event_id`` up to which everything was acknowledged; not that of the last if only a part was, and one
            before the first if there was no time for any.

        Raises:
            SinkAway: if none was acknowledged.
            TemperError: if the first of them is refused.
        """

    def close(self) -> None:
        """Let go of the connection. Raises nothing; harmless if there is none."""


@dataclass(frozen=True)
class Progress:
    """How far a forwarder is.

    Attributes:
        sink: its name.
        sent: messages acknowledged since the start of this process.
        retried: tries that failed since then.
        behind: messages that wait; counted every few seconds.
        trouble: why nothing goes out at present, in a sentence; None while it does.
        undeliverable: messages passed over since then, as the other side can never take them.
    """

    sink: str
    sent: int
    retried: int
    behind: int
    trouble: str | None
    undeliverable: int = 0


class Forwarder:
    """Keeps one sink supplied from the log.

    The cursor moves only after the other side has acknowledged. So a message can arrive twice, if this process or the
    other side goes at the wrong moment, and is then known by its key; it is never lost, and the first arrivals are in
    order.

    Args:
        sink: where to.
        log: where from.
        backoff: how long to wait between tries.
        report: is told when the sink fails and when it works again.
        drain_seconds: how long to go on after the stop, to send what waits.
    """

    def __init__(
        self,
        sink: Sink,
        log: Log,
        backoff: Backoff | None = None,
        report: Reporter = silent,
        drain_seconds: float = 5.0,
    ) -> None:
        self._sink, self._log, self._report = sink, log, report
        self._backoff, self._drain_seconds = backoff or Backoff(), drain_seconds
        self._open = False
        self._sent = self._retried = self._behind = self._failures = 0
        self._counted = float("-inf")
        self._trouble: str | None = None
        self._complaint: str | None = None
        self._stop = threading.Event()
        self._deadline: float | None = None
        self._beat: Callable[[], None] = _nothing

    @property
    def progress(self) -> Progress:
        """How far it is; may be asked by any thread."""
        told = (self._sent, self._retried, self._behind, self._trouble, self._sink.undeliverable)
        return Progress(self._sink.name, *told)

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Forward until ``stop``, and then what still waits, for ``drain_seconds`` at most.

        Args:
            stop: ends it.
            beat: called at least once a second, unless the sink takes longer than it may.
        """
        self._stop, self._beat, self._deadline = stop, beat, None
        try:
            while not self._over():
                beat()
                try:
                    if not self._step():
                        break
                except _Abandoned:
                    return
                except TemperError as error:
                    if not self._failed(error):
                        break
        finally:
            self._close()

    def _step(self) -> bool:
        """Open the sink, or send one batch, or wait for one; False when stopped and there is no more to send."""
        if not self._open:
            self._watched(self._sink.open)
            self._open = True
        self._count()
        messages = self._log.pending(self._sink.name, self._sink.batch)
        if not messages:
            self._well()
            if self._stop.is_set():
                return False
            self._sink.check()
            self._log.wait(LOOK_SECONDS)
            return True
        last = self._watched(lambda: self._sink.send(messages))
        self._log.delivered(self._sink.name, last)
        if self._sink.complaint is not None and self._sink.complaint != self._complaint:
            self._complaint = self._sink.complaint
            self._report(Event("warning", self._sink.name, {"message": self._complaint}))
        self._sent += sum(message.event_id <= last for message in messages)
        self._well()
        if len(messages) < self._sink.batch:  # else there is more already
            self._wait(self._sink.linger)
        return True

    def _failed(self, error: TemperError) -> bool:
        """Say why, let go, and wait for the next try; False when stopped: the rest goes out after the next start."""
        self._retried += 1
        self._failures += 1
        self._close()
        if self._trouble != str(error):
            self._trouble = str(error)
            self._report(Event("warning", self._sink.name, {"message": str(error)}))
        self._count()
        if self._stop.is_set():
            return False
        if isinstance(error, SinkAway):
            seconds = min(self._backoff.most, self._backoff.first * 2 ** min(self._failures - 1, 30))
            seconds = max(seconds, min(error.retry_after or 0.0, self._backoff.slow))
        else:
            seconds = self._backoff.slow
        # by chance, so that the lines of a plant do not all come back in one instant
        self._wait(seconds * random.uniform(0.75, 1.0))
        return True

    def _well(self) -> None:
        if self._trouble is not None:
            message = f"{self._sink.target} takes messages again; {self._behind} had to wait."
            self._report(Event("note", self._sink.name, {"message": message}))
        self._trouble, self._failures = None, 0

    def _close(self) -> None:
        """Close the sink, if it is open or half open."""
        self._open = False
        with contextlib.suppress(_Abandoned):
            self._watched(self._sink.close)

    def _count(self) -> None:
        """Count what waits, now and then: over a long outage that is no small query."""
        if (now := time.monotonic()) - self._counted >= COUNT_SECONDS:
            self._counted = now
            self._behind = self._log.behind(self._sink.name)

    def _over(self) -> bool:
        """Whether the stop has come and the time after it has passed."""
        if not self._stop.is_set():
            return False
        if self._deadline is None:
            self._deadline = time.monotonic() + self._drain_seconds
        return time.monotonic() >= self._deadline

    def _wait(self, seconds: float) -> None:
        """Wait, beating; the stop ends it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop.wait(min(left, LOOK_SECONDS)):
            self._beat()

    def _watched(self, work: Callable[[], T]) -> T:
        """Do something that may block, in a thread of its own, beating for as long as it may take.

        Raises:
            _Abandoned: if it is not done by the end of the time after the stop.
        """
        result: Future[T] = Future()
        done = threading.Event()

        def call() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # handed over to the thread that waits for it
                result.set_exception(error)
            done.set()

        threading.Thread(target=call, name=f"{self._sink.name}-call", daemon=True).start()
        started = time.monotonic()
        while not done.wait(LOOK_SECONDS):
            if time.monotonic() - started < self._sink.patience:
                self._beat()
            if self._over():
                raise _Abandoned
        return result.result()


class _Abandoned(Exception):
    """The time after the stop has passed while a call of the sink was under way; what it sent is sent again later."""


def _nothing() -> None:
    pass
