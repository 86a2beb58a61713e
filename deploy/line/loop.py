"""The loop of a line: acquire, prepare, infer, judge, store. A thread each, with bounded queues between them.

Cameras put their frames into the intake, the only place where anything is given up, and there by the line's rule.
Behind it nothing is lost: every queue lets the one before it wait. Frames are judged in the order in which they came,
and told of only once they are stored.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ...core.errors import TemperError
from ...detection.detections import Detections
from ..cameras.kept import KeptCamera
from ..frames import Cause, Frame, Gap, Notice
from ..strip.defect import StripDefect
from .inspector import Inspector, Work
from .intake import Intake, Item
from .judge import Judge, Judged

Result = Judged | Gap | Notice | StripDefect
Beat = Callable[[str], None]
T = TypeVar("T")

#: The stages that give signs of life, beside the cameras.
STAGES = ("prepare", "infer", "judge", "store")
#: Rounds in a row that the runtime fails on, after which it is started anew with the whole process.
MOST_FAILURES = 5
#: A commit waits for the disk: so results are stored together, this many or what came within this time.
COMMIT_RESULTS = 64
COMMIT_SECONDS = 0.1
#: Results that may wait for the disk; then the engine waits, and the intake gives up frames.
WAITING_RESULTS = 512
_POLL_SECONDS = 0.1


class Keeper(Protocol):
    """Where results are kept."""

    def keep(self, results: Sequence[Result]) -> None:
        """Store results, all or none; durable once this returns.

        Raises:
            TemperError: if they cannot be stored now; they will be offered again.
        """


@dataclass(eq=False)
class _Round:
    """What is taken from the intake at once: items in order, and the work for those with an image."""

    items: list[Item]
    work: Work | None
    started: float


class _End:
    """Nothing comes after it."""


class _Stage(Generic[T]):
    """A queue to the next thread that lets the one before wait, and gives signs of life while either waits."""

    def __init__(self, depth: int) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)

    def put(self, item: T | _End, beat: Callable[[], None], given_up: threading.Event) -> None:
        while not given_up.is_set():
            beat()
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_SECONDS)
                return

    def get(self, beat: Callable[[], None], given_up: threading.Event) -> T | _End:
        while not given_up.is_set():
            beat()
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=_POLL_SECONDS)
        return _End()

    @property
    def empty(self) -> bool:
        return self._queue.empty()


class LineLoop:
    """One line at work.

    Args:
        cameras: kept connected.
        intake: between them and the engine.
        inspector: warmed up.
        judge: the line's rules.
        keeper: where results are kept.
        beat: is called with the name of a stage or camera at least once a second.
        rest: is called with the name of one that has done its work, and beats no more.
        stored: hears of results once they are stored.
        trouble: hears why results cannot be stored, and None once they can be again.
    """

    def __init__(
        self,
        cameras: Sequence[KeptCamera],
        intake: Intake,
        inspector: Inspector,
        judge: Judge,
        keeper: Keeper,
        *,
        beat: Beat = lambda name: None,
        rest: Beat = lambda name: None,
        stored: Callable[[Sequence[Result]], None] = lambda results: None,
        trouble: Callable[[str | None], None] = lambda message: None,
    ) -> None:
        self._cameras, self._intake, self._inspector = cameras, intake, inspector
        self._judge, self._keeper = judge, keeper
        self._beat, self._rest, self._stored, self._trouble = beat, rest, stored, trouble
        self._rounds: _Stage[_Round] = _Stage(1)
        self._answered: _Stage[_Round] = _Stage(1)
        self._results: _Stage[Result] = _Stage(WAITING_RESULTS)
        self._given_up = threading.Event()
        self._failure: BaseException | None = None
        self._failures = 0
        self._number = 0

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, or all cameras have ended; then finish what was taken.

        Raises:
            BaseException: what a stage failed with; whoever runs this starts it anew.
        """
        cameras = [self._start(f"camera {camera.name}", self._acquire, camera, stop) for camera in self._cameras]
        work = {"prepare": self._prepare, "infer": self._infer, "judge": self._judge_all, "store": self._store}
        stages = [self._start(name, work[name]) for name in STAGES]
        while any(thread.is_alive() for thread in cameras) and not self._given_up.is_set():
            for thread in cameras:
                thread.join(_POLL_SECONDS / len(cameras))
        self._intake.close()
        for thread in stages:
            thread.join()
        stop.set()
        for thread in cameras:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _start(self, name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(name, work, *arguments), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
            # a source that has ended is no hang, while others go on
            self._rest(name)
        except BaseException as error:  # it is raised again where the loop was started
            self._failure = self._failure or error
            self._given_up.set()

    def _acquire(self, camera: KeptCamera, stop: threading.Event) -> None:
        def beat() -> None:
            self._beat(f"camera {camera.name}")
            if self._given_up.is_set():
                stop.set()

        camera.run(lambda item: self._intake.put(item, stop, beat), stop, beat)

    def _prepare(self) -> None:
        size: tuple[int, int] | None = None
        while not self._intake.exhausted and not self._given_up.is_set():
            self._beat("prepare")
            most = self._inspector.frames_at_once(size) if size is not None else 1
            items = [self._in_time(item) for item in self._intake.take(most, _POLL_SECONDS)]
            started = time.monotonic()
            frames = [item for item in items if isinstance(item, Frame) and item.image is not None]
            if frames and frames[-1].image is not None:
                size = (frames[-1].image.shape[1], frames[-1].image.shape[0])
            if items:
                work = self._inspector.prepare(frames) if frames else None
                self._rounds.put(_Round(items, work, started), lambda: self._beat("prepare"), self._given_up)
        self._rounds.put(_End(), lambda: self._beat("prepare"), self._given_up)

    def _in_time(self, item: Item) -> Item:
        late = isinstance(item, Frame) and item.cause is None and self._judge.is_late(item)
        return self._judge.too_late(item) if late and isinstance(item, Frame) else item

    def _infer(self) -> None:
        def beat() -> None:
            self._beat("infer")

        while not isinstance(one := self._rounds.get(beat, self._given_up), _End):
            if one.work is not None:
                self._inspector.infer(one.work)
                self._failures = self._failures + 1 if one.work.error else 0
                if self._failures >= MOST_FAILURES:
                    raise TemperError(f"The runtime failed {MOST_FAILURES} times in a row: {one.work.error}")
            self._answered.put(one, beat, self._given_up)
        self._answered.put(_End(), beat, self._given_up)

    def _judge_round(self, one: _Round) -> list[Result]:
        found: list[Detections] = []
        if one.work is not None and one.work.error is None:
            found = self._inspector.finish(one.work)
        answers: Iterator[Detections] = iter(found)
        results: list[Result] = []
        for item in one.items:
            if isinstance(item, Frame):
                results += self._judge_frame(item, one, answers)
                self._number += 1
            else:
                results += self._judge.heard(item)
                results.append(item)
        return results

    def _judge_frame(self, frame: Frame, one: _Round, answers: Iterator[Detections]) -> list[Result]:
        work, queued_ms = one.work, 1000 * (one.started - frame.arrived)
        if frame.cause is not None or frame.image is None:
            cause, detail = frame.cause or Cause.ERROR, frame.detail or "It has no picture."
            judged, whole = self._judge.without_answer(frame, self._number, cause, detail)
            return [judged, *whole]
        if work is None or work.error is not None:
            why = work.error if work is not None and work.error else "It was not inspected."
            judged, whole = self._judge.without_answer(frame, self._number, Cause.ERROR, why)
            return [judged, *whole]
        # what a call of several frames takes, each of them takes: none has its verdict before
        times = {"transfer": frame.travel_ms, "decode": frame.decode_ms, "queue": queued_ms, **work.times}
        judged, whole = self._judge.judge(frame, self._number, next(answers), times)
        return [judged, *whole]

    def _judge_all(self) -> None:
        def beat() -> None:
            self._beat("judge")

        while not isinstance(one := self._answered.get(beat, self._given_up), _End):
            for result in self._judge_round(one):
                self._results.put(result, beat, self._given_up)
        for defect in self._judge.finish():
            self._results.put(defect, beat, self._given_up)
        self._results.put(_End(), beat, self._given_up)

    def _store(self) -> None:
        waiting: list[Result] = []
        since = 0.0
        ended = False
        while not ended:
            item = self._results.get(lambda: self._beat("store"), self._given_up)
            if isinstance(item, _End):
                ended = True
            else:
                since = since if waiting else time.monotonic()
                waiting.append(item)
            due = len(waiting) >= COMMIT_RESULTS or time.monotonic() - since >= COMMIT_SECONDS
            if waiting and (due or ended or self._results.empty):
                self._commit(waiting)
                waiting = []

    def _commit(self, results: list[Result]) -> None:
        """Store results; where that fails, again and again: a verdict that was made is not thrown away."""
        tries = 0
        while True:
            self._beat("store")
            try:
                self._keeper.keep(results)
            except TemperError as error:
                tries += 1
                if tries == 1:
                    self._trouble(str(error))
                if self._given_up.is_set():
                    raise
                time.sleep(min(0.1 * 2 ** min(tries, 10), 1.0) / 2)
                continue
            if tries:
                self._trouble(None)
            self._stored(results)
            return
