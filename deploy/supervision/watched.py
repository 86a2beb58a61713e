"""A part and what its supervisor knows of it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from .part import Limits, Part
from .process import PartProcess
from .state import utc_now

PartState = Literal["waiting", "starting", "running", "stopping", "misconfigured", "given_up", "ended", "stopped"]
#: Doublings of the wait after which it is certainly at its longest.
_MOST_DOUBLINGS = 30


@dataclass
class Ending:
    """A part that should end.

    Attributes:
        reason: why it is started anew then; None: it is not.
        until: ``time.monotonic()`` at which patience ends.
        pressed: whether its stacks were asked for already.
        killed_at: when it was killed; None if it was not.
        stuck: whether not even that ended it.
    """

    reason: str | None
    until: float
    pressed: bool = False
    killed_at: float | None = None
    stuck: bool = False


@dataclass
class Watched:
    """A part and what is known of it.

    Attributes:
        part: what runs.
        process: in which it does; None between two of them.
        state: how it is.
        reason: why it is not running, in a sentence.
        ending: set while it should end.
        restarts: since the service began.
        due: ``time.monotonic()`` of the next start; None: never.
        since: moment of the last start or end.
        last_failure: why it was started anew the last time, and the moment.
        recent: ``time.monotonic()`` of failures within the window.
    """

    part: Part
    process: PartProcess | None = None
    state: PartState = "waiting"
    reason: str | None = None
    ending: Ending | None = None
    restarts: int = 0
    due: float | None = 0.0
    since: str | None = None
    last_failure: dict[str, str] | None = None
    recent: deque[float] = field(default_factory=deque)

    @property
    def goes_on(self) -> bool:
        """Whether there is anything to wait for."""
        return self.process is not None or (self.state != "ended" and self.due is not None)

    def is_due(self, now: float) -> bool:
        """Whether it is to be started."""
        return self.state != "ended" and self.due is not None and now >= self.due

    def mark_time(self) -> None:
        """Something of it began now."""
        self.since = utc_now()

    def forgive(self, seconds: float) -> None:
        """Time passed in which the supervisor did not run: what it waits for gets that much longer."""
        if self.process is not None:
            self.process.started += seconds
        if self.ending is not None:
            self.ending.until += seconds

    def failed(self, reason: str, now: float, limits: Limits, misconfigured: bool) -> float | None:
        """Count a failure and plan the next start.

        Returns:
            Seconds until then; None: never.
        """
        self.reason, self.restarts = reason, self.restarts + 1
        self.last_failure = {"time": utc_now(), "reason": reason}
        self.mark_time()
        self.recent.append(now)
        while now - self.recent[0] > limits.window_seconds:
            self.recent.popleft()
        often = len(self.recent)
        given_up = often > limits.restarts
        self.state = "misconfigured" if misconfigured else "given_up" if given_up else "waiting"
        if self.state == "given_up" and limits.for_ever:
            self.due = None
            return None
        doubled = limits.first_seconds * 2.0 ** min(often - 1, _MOST_DOUBLINGS)
        wait = limits.slow_seconds if misconfigured or given_up else min(limits.most_seconds, doubled)
        # not all at once, where several lines lost the same thing
        wait *= random.uniform(0.75, 1.0)
        self.due = now + wait
        return wait

    def to_dict(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        return {
            "state": self.state,
            "pid": self.process.pid if self.process is not None else None,
            "since": self.since,
            "restarts": self.restarts,
            "reason": self.reason,
            "last_failure": self.last_failure,
        }
