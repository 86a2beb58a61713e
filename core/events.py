"""What a running stage tells the world, apart from how it is shown.

A stage calls a :data:`Reporter` with events; the command line turns them into a live display, plain
lines or JSON. Stages never print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal[
    "stage_started",  # {"index": int, "total": int}
    "stage_skipped",  # {"reason": str}: its result is already there
    "stage_done",  # {"seconds": float}
    # {"done": int, "total": int, "unit": str, optional "epoch", "epochs", "loss", "seconds_left", and what the loss is
    # made of: "losses" and "distillation", each {name: float}}
    "step",
    # {"epoch": int, "map": float | None, "figures": {name: points}, "final": bool}: points from 0 to 100; final are the
    # figures of the weights that are kept
    "evaluated",
    "note",  # {"message": str}
    "warning",  # {"message": str}
]


@dataclass(frozen=True)
class Event:
    """One thing that happened in a stage; ``data`` holds what :data:`EventKind` says for its kind.

    Where several machines are at work at once ``data`` also has ``host``, the name of the one it happened on.
    """

    kind: EventKind
    stage: str
    data: dict[str, Any] = field(default_factory=dict)


Reporter = Callable[[Event], None]


def silent(event: Event) -> None:
    """A reporter that tells nobody."""
