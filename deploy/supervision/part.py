"""A part of a service: a process of its own, made by a factory, watched by the supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """What the supervisor has to know of a part.

    Attributes:
        name: in messages and in the state file.
        factory: ``package.module:function``, called in the part's own process with a :class:`Context` and
            ``arguments``. The part has ended when it returns.
        arguments: plain JSON values.
        beats: names on the board of the signs of life that it gives. Silence counts from ``ready`` on, also of one
            that is never given.
        pass_fds: file descriptors that it inherits.
        start_seconds: that it may take until it calls ``ready``; before that, silence is no hang.
        hang_seconds: without one of its signs of life, then it hangs.
        stop_seconds: that it may take to finish when it is asked to stop.
        memory_bytes: resident memory from which on it is started anew in good order; None: no limit.
        follows: name of a part; when that has ended by itself and well, this one is asked to stop, as it has nothing
            left to do.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    beats: tuple[str, ...] = ()
    pass_fds: tuple[int, ...] = ()
    start_seconds: float = 120.0
    hang_seconds: float = 10.0
    stop_seconds: float = 20.0
    memory_bytes: int | None = None
    follows: str | None = None


@dataclass(frozen=True)
class Context:
    """What a part is given.

    Attributes:
        stop: is set when it should finish what it has and return.
        beat: gives a sign of life, by name.
        rest: says, by name, that no further sign of life is due: what gave it has done its work.
        gauge: writes a number for others to read, by name.
        ready: says that it is at work; silence counts from then on.
    """

    stop: threading.Event
    beat: Callable[[str], None]
    rest: Callable[[str], None]
    gauge: Callable[[str, float], None]
    ready: Callable[[], None]


@dataclass(frozen=True)
class Limits:
    """How often a part is started anew.

    Attributes:
        restarts: within ``window_seconds`` at full speed; beyond, the part is given up: it is tried only every
            ``slow_seconds``. A line runs for months, so what hindered it may pass.
        window_seconds: in which restarts are counted.
        first_seconds: wait before the first restart; it doubles with each, up to ``most_seconds``.
        most_seconds: longest wait below the limit.
        slow_seconds: wait beyond the limit, and after a mistake in the configuration.
        for_ever: whether a part that was given up stays so until the service is started anew.
    """

    restarts: int = 10
    window_seconds: float = 600.0
    first_seconds: float = 0.2
    most_seconds: float = 10.0
    slow_seconds: float = 30.0
    for_ever: bool = False
