"""What leaves the device: one message for each thing that happened, in the order in which it was stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

MessageKind = Literal["frame", "gap", "defect", "notice"]
#: The state of a gap that lasts, and the end of the key of the message that tells of it.
OPEN = "open"


@dataclass(frozen=True)
class Message:
    """One thing to be told.

    Attributes:
        event_id: its place in the store's event log; grows, with holes.
        key: the same for ever and everywhere, so that whoever hears it twice can tell.
        kind: what it is about.
        payload: plain JSON values, as ``deploy/publish/messages.py`` describes them for each kind.
    """

    event_id: int
    key: str
    kind: MessageKind
    payload: dict[str, Any]


class Log(Protocol):
    """The event log as a sink sees it; every sink has a cursor of its own in it, which survives restarts."""

    def pending(self, sink: str, limit: int) -> list[Message]:
        """The oldest messages that the sink has not delivered, in order; none if there is nothing new."""

    def delivered(self, sink: str, event_id: int) -> None:
        """Note that the sink has delivered everything up to and with ``event_id``."""

    def behind(self, sink: str) -> int:
        """How many messages the sink has not delivered."""

    def wait(self, seconds: float) -> None:
        """Return as soon as something new is stored, or after ``seconds``."""


def last_of(messages: Sequence[Message]) -> int:
    """The highest ``event_id`` of messages in order.

    Raises:
        ValueError: if there is none.
    """
    if not messages:
        raise ValueError("there is no last message of none")
    return messages[-1].event_id
