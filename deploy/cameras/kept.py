"""A camera that is kept connected: opened, watched, opened anew; every time without it is a gap, told as it begins."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from ...core.errors import TemperError
from ..frames import Frame, Gap, LastSeen, Notice
from .base import Camera, CameraEnded, CameraLost, CameraMisconfigured
from .checks import PictureChecks
from .frame_ids import steps_counted
from .track import ByFrame, Track

#: How long a single wait for a frame may be: whoever watches this camera wants a sign of life more often.
_GRAB_SECONDS = 0.5
#: Intervals between frames that tell the camera's rate.
_INTERVALS = 50
#: A strip that is further back than this after a gap, in metres, did not run back: its count began anew.
_BACK_M = 1.0
#: What a camera refuses will be refused again; still, somebody may have set it right by hand.
MISCONFIGURED_SECONDS = 30.0


@dataclass(frozen=True)
class Backoff:
    """Waits between tries: doubling, with jitter so that many lines do not call one camera or switch in step.

    Attributes:
        first: seconds before the second try.
        most: seconds.
    """

    first: float = 0.5
    most: float = 10.0

    def seconds(self, tries: int, chance: float) -> float:
        """The wait after so many failed tries.

        Args:
            tries: at least 1.
            chance: from 0 to 1, drawn by the caller.

        Returns:
            Between three quarters of the step and all of it.
        """
        step = min(self.most, self.first * 2.0 ** min(tries - 1, 30))
        return step * (0.75 + 0.25 * chance)


Item = Frame | Gap | Notice
HandOn = Callable[[Item], object]


class KeptCamera:
    """Keeps one camera connected for as long as it is asked to.

    Args:
        name: of the camera.
        open_camera: opens it; raises ``base``'s errors.
        checks: look at its pictures; None takes them all.
        track: tells positions; None if nothing does.
        backoff: waits between tries.
        last_seen: of an earlier process, so that the time until now becomes a gap too.
        ahead_m: how far upstream of the line's origin the camera looks.
        silence_seconds: without a frame, then the connection counts as lost; None for a camera that may be silent.
    """

    def __init__(
        self,
        name: str,
        open_camera: Callable[[], Camera],
        *,
        checks: PictureChecks | None = None,
        track: Track | None = None,
        backoff: Backoff | None = None,
        last_seen: LastSeen | None = None,
        ahead_m: float = 0.0,
        silence_seconds: float | None = 10.0,
    ) -> None:
        self.name = name
        self._open = open_camera
        self._checks = checks
        self._track, self._ahead_m = track, ahead_m
        self._backoff = backoff or Backoff()
        self._last = last_seen
        self._silence = silence_seconds
        self._why = ""
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._shift = 0
        self._wrap: int | None = None
        self._gave = False
        self._watched = False
        self._since: float | None = None

    def run(self, hand_on: HandOn, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Hand on frames, gaps and notices until ``stop`` is set or a finite source has ended.

        Whatever goes wrong with the camera is told, and the camera is opened anew: other cameras go on meanwhile. A
        gap is handed on when it begins and when it ends; the first one begins before the camera is opened, with the
        last frame of an earlier process or with this one.

        Args:
            hand_on: takes them, in order; may block.
            stop: ends it within a second.
            beat: is called at least once a second.
        """
        tries = 0
        told: str | None = None
        seen = self._last is not None and self._last.exposed is not None
        self._lose("This program was not running." if seen else "This program had no frame of it yet.", hand_on)
        while not stop.is_set():
            beat()
            try:
                camera = self._open()
            except (TemperError, OSError) as error:
                tries += 1
                told = self._tell(error, told, hand_on)
                self._never_seen(told)
                self._pause(self._wait(error, tries), stop, beat)
                continue
            self._gave = False
            try:
                self._watch(camera, hand_on, stop, beat)
                told = None
            except CameraEnded:
                return
            except (TemperError, OSError) as error:
                # one that gives nothing however often it is opened is asked ever less often
                tries = 1 if self._gave else tries + 1
                told = self._tell(error, None, hand_on)
                self._never_seen(told)
                self._lose(told, hand_on)
                seconds = self._wait(None if self._gave else error, tries)
            finally:
                # what is lost already cannot be freed in good order
                with contextlib.suppress(TemperError, OSError):
                    camera.close()
            if not stop.is_set():
                self._pause(seconds, stop, beat)

    def _tell(self, error: TemperError | OSError, told: str | None, hand_on: HandOn) -> str:
        """Tell of an error, unless it was what was told last; gives its sentence."""
        sentence = self._sentence(error)
        if sentence != told:
            state: Literal["waiting", "misconfigured"] = "waiting"
            if isinstance(error, CameraMisconfigured):
                state = "misconfigured"
            hand_on(Notice(self.name, state, sentence))
        return sentence

    def _wait(self, error: TemperError | OSError | None, tries: int) -> float:
        """Seconds until the next try."""
        if isinstance(error, CameraMisconfigured):
            return MISCONFIGURED_SECONDS
        return self._backoff.seconds(tries, random.random())

    def _sentence(self, error: TemperError | OSError) -> str:
        """What is told of an error; of one of the operating system with the file, where it names one."""
        if isinstance(error, TemperError):
            return str(error)
        of = f" of {error.filename}" if error.filename else ""
        return f"The camera {self.name} failed: {error.strerror or error}{of}."

    def _never_seen(self, why: str) -> None:
        """Of a camera that never gave a frame, and fails: that is why there is none."""
        if self._last is None or self._last.exposed is None:
            self._why = why

    def _lose(self, why: str, hand_on: HandOn) -> None:
        """Tell of a gap that begins with the last frame there was, unless it has begun already."""
        if self._since is not None:
            return
        last = self._last
        self._since, self._why = (time.time() if last is None or last.exposed is None else last.exposed), why
        hand_on(Gap(self.name, self._since, None, None, None if last is None else last.position_m, None, why))

    def _watch(self, camera: Camera, hand_on: HandOn, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Hand on the frames of one connection."""
        facts = ", ".join(f"{name} {value}" for name, value in camera.facts.items() if value)
        hand_on(Notice(self.name, "connected", f"The camera {self.name} is connected ({facts})."))
        self._wrap = getattr(camera, "wrap", None)
        if self._checks is not None:
            self._checks.forget()
        first = True
        heard = time.monotonic()
        while not stop.is_set():
            beat()
            frame = camera.grab(_GRAB_SECONDS)
            now = time.monotonic()
            if frame is None:
                if self._silence is not None and now - heard > self._silence:
                    raise CameraLost(f"The camera {self.name} sent nothing for {self._silence:g} s.")
                continue
            heard = now
            self._gave = True
            if first:
                frame = self._close_gap(frame, hand_on)
                first = False
            hand_on(self._placed(frame))

    def _placed(self, frame: Frame) -> Frame:
        """The frame with its position, and with a cause where its picture is none of the strip."""
        if self._shift and frame.frame_id is not None:
            frame = replace(frame, frame_id=frame.frame_id + self._shift)
        position = self._position(frame)
        found = self._checks.look(frame.image) if self._checks is not None and frame.image is not None else None
        if found is not None:
            frame = replace(frame, image=None, cause=found[0], detail=found[1], position_m=position)
        elif position != frame.position_m:
            frame = replace(frame, position_m=position)
        before = None if self._last is None else self._last.exposed
        if before is not None and frame.exposed > before:
            self._intervals.append(frame.exposed - before)
        self._last, self._watched = LastSeen(frame.frame_id, frame.exposed, position), True
        return frame

    def _position(self, frame: Frame) -> float | None:
        if self._track is None:
            return frame.position_m
        position = self._track.position(frame)
        return None if position is None else position + self._ahead_m

    def _close_gap(self, frame: Frame, hand_on: HandOn) -> Frame:
        """Tell of the time without the camera, now that it is back; its count goes on where it can."""
        last, self._shift = self._last, 0
        if last is None or last.exposed is None:
            since = frame.exposed if self._since is None else self._since
            hand_on(Gap(self.name, since, max(since, frame.exposed), None, None, None, self._why, ends=True))
            self._since = None
            return frame
        missed = self._missed(last, frame.exposed - last.exposed, frame)
        if missed is not None and frame.frame_id is not None and last.frame_id is not None:
            self._shift = last.frame_id + missed + 1 - frame.frame_id
        length = self._passed(last, replace(frame, frame_id=_shifted(frame, self._shift)), missed)
        hand_on(Gap(self.name, last.exposed, frame.exposed, missed, last.position_m, length, self._why, ends=True))
        self._last = self._since = None
        return frame

    def _passed(self, last: LastSeen, frame: Frame, missed: int | None) -> float | None:
        """How much of the strip passed meanwhile; where that count began anew, positions go on from the last one."""
        position = self._position(frame)
        if position is None or last.position_m is None:
            return None
        ids_alone = isinstance(self._track, ByFrame)
        if (missed is None) if ids_alone else (position < last.position_m - _BACK_M):
            # those of an earlier process are its own: reports put runs one after the other
            if self._watched:
                self._ahead_m += last.position_m - position
            return None
        tells = self._track is None or self._track.tells_gaps
        return position - last.position_m if tells and position >= last.position_m else None

    def _missed(self, last: LastSeen, elapsed: float, frame: Frame) -> int | None:
        """How many frames the camera counted meanwhile; None if its count says nothing of that."""
        if last.frame_id is None or frame.frame_id is None or elapsed < 0:
            return None
        interval = median(self._intervals) if self._intervals else last.interval
        expected = None if interval is None else elapsed / interval
        step = steps_counted(last.frame_id, frame.frame_id, expected, self._wrap)
        return None if step is None else step - 1

    def _pause(self, seconds: float, stop: threading.Event, beat: Callable[[], None]) -> None:
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            beat()
            stop.wait(min(left, _GRAB_SECONDS))


def _shifted(frame: Frame, shift: int) -> int | None:
    return None if frame.frame_id is None else frame.frame_id + shift
