"""Frames on their way to the engine: a bounded queue that gives frames up by a written rule, and never in silence."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ..frames import Cause, Frame, Gap, Notice

Policy = Literal["drop-oldest", "drop-newest", "block"]
Item = Frame | Gap | Notice

#: Frames without an image that may wait one by one; more become a gap, so that a stalled line fills no memory.
MOST_RECORDS = 20_000
#: How often a waiting side looks whether it should stop.
_POLL_SECONDS = 0.1


@dataclass
class _Entry:
    item: Item


class Intake:
    """A queue of frames, gaps and notices of all cameras, in the order in which they came.

    A frame that is given up stays in its place, without its image, as one that was not inspected: dropped. Frames
    without an image, gaps and notices take no place from frames that can be inspected.

    Args:
        capacity: frames with an image that may wait, of all cameras together.
        policy: which one is given up where another comes; ``block`` lets whoever puts it wait.
        most_records: frames without an image that may wait.
    """

    def __init__(self, capacity: int, policy: Policy, most_records: int = MOST_RECORDS) -> None:
        self._capacity, self._policy, self._most_records = capacity, policy, most_records
        self._entries: deque[_Entry] = deque()
        self._images: deque[_Entry] = deque()
        self._merged: dict[str, Gap] = {}
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Frames with an image that wait."""
        return len(self._images)

    @property
    def _records(self) -> int:
        return len(self._entries) - len(self._images)

    def put(self, item: Item, stop: threading.Event | None = None, beat: Callable[[], None] | None = None) -> bool:
        """Add what came from a camera.

        Args:
            item: a frame, a gap or a notice.
            stop: ends the waiting of ``block``.
            beat: is called while it waits.

        Returns:
            False if it was not taken, as ``stop`` was set or the queue is closed.
        """
        inspectable = isinstance(item, Frame) and item.cause is None
        with self._changed:
            while inspectable and self._policy == "block" and self.waiting >= self._capacity and not self._closed:
                if stop is not None and stop.is_set():
                    return False
                if beat is not None:
                    beat()
                self._changed.wait(_POLL_SECONDS)
            if self._closed:
                return False
            if not inspectable:
                self._add_record(item)
            else:
                self._add_frame(item)  # type: ignore[arg-type]
            self._changed.notify_all()
        return True

    def take(self, most: int, timeout: float) -> list[Item]:
        """The oldest entries, up to and with the ``most``-th frame that has an image.

        Args:
            most: frames with an image, at least 1.
            timeout: seconds to wait for the first entry.

        Returns:
            In order; empty if nothing came.
        """
        with self._changed:
            until = time.monotonic() + timeout
            while not self._entries and not self._merged and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            taken: list[Item] = []
            images = 0
            while self._entries and images < most:
                entry = self._entries.popleft()
                if self._images and entry is self._images[0]:
                    self._images.popleft()
                    images += 1
                taken.append(entry.item)
            if not self._entries:
                taken += self._merged.values()
                self._merged.clear()
            self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Take nothing more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def exhausted(self) -> bool:
        """Whether it is closed and everything was taken."""
        return self._closed and not self._entries and not self._merged

    def _add_frame(self, frame: Frame) -> None:
        if self.waiting >= self._capacity:
            if self._policy == "drop-newest" or self._records >= self._most_records:
                self._add_record(self._given_up(frame))
                return
            oldest = self._images.popleft()
            oldest.item = self._given_up(oldest.item)
        entry = _Entry(frame)
        self._entries.append(entry)
        self._images.append(entry)

    def _given_up(self, frame: Item) -> Frame:
        assert isinstance(frame, Frame)
        self.dropped += 1
        detail = f"The line was overloaded: {self._capacity} frames waited already."
        return replace(frame, image=None, cause=Cause.DROPPED, detail=detail)

    def _add_record(self, item: Item) -> None:
        """A record of its own, or, where too many wait, part of a gap."""
        if self._records < self._most_records or not isinstance(item, Frame):
            self._entries.append(_Entry(item))
            return
        gap = self._merged.get(item.camera)
        if gap is None:
            gap = Gap(
                camera=item.camera,
                since=item.exposed,
                until=item.exposed,
                frames=0,
                position_m=item.position_m,
                length_m=None,
                cause="The results could not be stored for so long that frames were no longer kept one by one.",
            )
        length = None
        if gap.position_m is not None and item.position_m is not None:
            length = max(item.position_m - gap.position_m, 0.0)
        self._merged[item.camera] = replace(gap, until=item.exposed, frames=(gap.frames or 0) + 1, length_m=length)
