"""Reading pictures in a thread, ahead of the detector."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from .frames import Frame
from .sources import Source

#: Frames that may wait for the detector. When the queue is full the reader waits: files and videos do not run away,
#: so nothing is ever dropped.
DEPTH = 4
#: How often either side looks whether it should stop.
_POLL_SECONDS = 0.1


class ReadAhead:
    """The frames of a source, read by a thread of its own; use it as a context manager.

    Args:
        source: its ``frames()`` are read once.
        depth: how many frames may wait.
    """

    def __init__(self, source: Source, depth: int = DEPTH) -> None:
        self._source = source
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(depth)
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._abandoned.set()
        self._thread.join(timeout=5)

    @property
    def empty(self) -> bool:
        """Whether the next frame would have to be waited for."""
        return self._queue.empty()

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """The frames in order, until the source ends or ``stop`` is set.

        Raises:
            BaseException: whatever the source raised.
        """
        while not stop.is_set():
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read(self) -> None:
        try:
            with contextlib.closing(self._source.frames()) as frames:
                for frame in frames:
                    if not self._put(frame):
                        return
            self._put(None)
        except BaseException as error:  # it is raised again where the frames are used
            self._put(error)

    def _put(self, item: Frame | BaseException | None) -> bool:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_SECONDS)
                return True
        return False
