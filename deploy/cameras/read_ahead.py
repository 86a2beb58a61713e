"""Cameras whose calls block for as long as they like, so that whoever watches them need not."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Protocol, TypeVar

from ...core.errors import TemperError
from ..frames import Frame
from .base import Camera, CameraEnded, CameraLost, CameraUnavailable

#: How often the thread looks whether it is still wanted, in seconds.
_LOOK_SECONDS = 0.2
#: Frames that wait to be fetched; the driver has its own.
_WAITING = 2


class _Closable(Protocol):
    def close(self) -> object: ...


Opened = TypeVar("Opened", bound=_Closable)


def opened_within(seconds: float, opening: Callable[[], Opened], too_late: str) -> Opened:
    """What ``opening`` returns or raises, if it does so in time; what it opens later is closed at once.

    Args:
        seconds: that it may take.
        opening: may block for longer; it is not stopped then, but nobody waits for it.
        too_late: one sentence.

    Raises:
        CameraUnavailable: with ``too_late``.
    """
    result: Future[Opened] = Future()

    def call() -> None:
        try:
            result.set_result(opening())
        except BaseException as error:  # handed over to the thread that waits for it
            result.set_exception(error)

    threading.Thread(target=call, name="camera-opening", daemon=True).start()
    wait((result,), seconds)
    if result.done():
        return result.result()
    result.add_done_callback(lambda late: None if late.exception() else late.result().close())
    raise CameraUnavailable(too_late)


class ReadAhead:
    """A camera read by a thread of its own; see ``base.Camera``. ``grab`` keeps to its time, whatever the camera does.

    A call of the camera that blocks for ever cannot be ended. It is left to itself then, and closes the camera when it
    comes back.

    Args:
        name: of the camera, for the thread.
        open_camera: opens it; may block.
        patience: seconds to wait for it to open; a camera that waits for its trigger may need longer, and counts as
            open meanwhile.

    Raises:
        TemperError: what ``open_camera`` raised in that time.
    """

    wrap: int | None = None

    def __init__(self, name: str, open_camera: Callable[[], Camera], patience: float) -> None:
        self._open = open_camera
        self._camera: Camera | None = None
        self._items: queue.Queue[Frame | BaseException] = queue.Queue(_WAITING)
        self._unwanted = threading.Event()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name=f"{name}-reader", daemon=True)
        self._thread.start()
        wait((self._opened,), patience)
        if self._opened.done():
            self._opened.result()

    @property
    def facts(self) -> dict[str, str]:
        """The camera's own; nothing while it opens."""
        return {} if self._camera is None else self._camera.facts

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        try:
            item = self._items.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(item, Frame):
            return item
        if isinstance(item, TemperError) and not isinstance(item, CameraLost | CameraEnded):
            raise CameraLost(str(item)) from item  # it was opened so late that it counted as open
        raise item

    def close(self) -> None:
        """Free the camera; if a call of it still blocks, as soon as that comes back."""
        self._unwanted.set()
        self._thread.join(2 * _LOOK_SECONDS)

    def _work(self) -> None:
        try:
            camera = self._camera = self._open()
        except BaseException as error:  # handed over to whoever opens or grabs
            self._opened.set_exception(error)
            self._put(error)
            return
        self._opened.set_result(None)
        try:
            while not self._unwanted.is_set():
                if (frame := camera.grab(_LOOK_SECONDS)) is not None:
                    self._put(frame)
        except BaseException as error:  # handed over to whoever grabs
            self._put(error)
        finally:
            camera.close()

    def _put(self, item: Frame | BaseException) -> None:
        while not self._unwanted.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=_LOOK_SECONDS)
                return
