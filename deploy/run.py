"""The loop: read ahead, detect, judge, store, announce."""

from __future__ import annotations

import contextlib
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.emulation import is_emulated
from ..core.errors import TemperError
from ..core.events import Event, Reporter, silent
from ..detection.detections import Detections, Status
from ..detection.figure_names import USEFUL_AP
from .detector import BundleDetector, Outcome
from .frames import Cause, Frame
from .read_ahead import ReadAhead
from .results.pictures import PictureWriter
from .results.records import FrameResult, now
from .results.schema import STORE_NAME
from .results.store import Store
from .sources import Source
from .stages import StageTimes

Pictures = Literal["all", "defects", "none"]
EndedBy = Literal["source", "limit", "signal"]

#: A commit waits for the disk. So frames are committed together: this many, or as many as came within this time, or
#: fewer as soon as no other frame is waiting.
COMMIT_FRAMES = 16
COMMIT_SECONDS = 0.25
#: A frame without an answer is never drawn: without boxes it would look like one without defects.
_DRAWN: dict[Pictures, tuple[Outcome, ...]] = {
    "all": (Outcome.OK, Outcome.DEFECT),
    "defects": (Outcome.DEFECT,),
    "none": (),
}
#: How often the progress is told.
PROGRESS_SECONDS = 0.5
#: A 99th percentile of fewer frames would be hardly more than the maximum.
P99_FRAMES = 100
_EMULATED = "The processor is emulated, so no speed is told: it would not be that of the device."


@dataclass(frozen=True)
class RunSettings:
    """What a run leaves behind, and when it ends.

    Attributes:
        out: folder of the results.
        pictures: which annotated pictures are written.
        limit: frames after which the run ends; None: when the source ends.
    """

    out: Path
    pictures: Pictures = "defects"
    limit: int | None = None


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    Attributes:
        run: number of the run in the store.
        frames: how many were taken, the sum of the next three.
        ok: frames without a defect.
        defect: frames with at least one.
        not_inspected: frames without an answer.
        defects: how many defects of each class were found.
        causes: why frames were not inspected, and how many for each reason; the ten most frequent.
        seconds: from the first frame to the last verdict stored.
        frames_per_second: frames over ``seconds``; None without frames, and as the next two on an emulated processor.
        p50_ms: median time of an inspected frame, reading and decoding included.
        p99_ms: 99th percentile; None below 100 inspected frames.
        ended_by: what ended the run.
        warnings: what the user should know, a sentence each.
        store: the SQLite file.
    """

    run: int
    frames: int
    ok: int
    defect: int
    not_inspected: int
    defects: dict[str, int]
    causes: dict[str, int]
    seconds: float
    frames_per_second: float | None
    p50_ms: float | None
    p99_ms: float | None
    ended_by: EndedBy
    warnings: list[str]
    store: Path

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {**vars(self), "store": str(self.store)}


@dataclass
class _Tally:
    """What is counted while the loop runs, of stored frames only."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    defects: Counter[int] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    end_to_end_ms: array[float] = field(default_factory=lambda: array("d"))

    @property
    def frames(self) -> int:
        return self.outcomes.total()

    def add(self, result: FrameResult) -> None:
        self.outcomes[result.verdict.outcome] += 1
        self.defects.update(result.verdict.defects.labels.tolist())
        if result.detail is not None:
            self.causes[result.detail] += 1
        else:
            self.end_to_end_ms.append(result.times["end_to_end"])


def run_detector(
    detector: BundleDetector,
    source: Source,
    settings: RunSettings,
    *,
    report: Reporter = silent,
    announce: Callable[[FrameResult], None] = lambda result: None,
    stop: threading.Event | None = None,
) -> RunSummary:
    """Inspect every frame of a source.

    Args:
        detector: a bundle, loaded.
        source: opened.
        settings: where results go.
        report: is told warnings and, twice a second, the progress (``"step"`` with ``done``, ``total`` (0 if unknown),
            ``unit``, ``frames_per_second``, None on an emulated processor, and the counts of the three outcomes).
        announce: is called with every frame once it is stored.
        stop: set it to end the run after the frame in work.

    Returns:
        The summary.

    Raises:
        TemperError: if results cannot be stored, or the source gives no frame at all. What was stored before stays.
    """
    stop = stop or threading.Event()
    with Store(settings.out / STORE_NAME) as store:
        detector.warm_up()
        number = store.begin_run(detector, source.name).number
        with PictureWriter(settings.out, number, detector.bundle.manifest.labels) as pictures:
            return _Loop(detector, source, settings, store, pictures, report, announce).run(stop)


@dataclass
class _Loop:
    """One run: its parts, and the results that wait to be committed, with the lengths of their pictures."""

    detector: BundleDetector
    source: Source
    settings: RunSettings
    store: Store
    pictures: PictureWriter
    report: Reporter
    announce: Callable[[FrameResult], None]
    tally: _Tally = field(default_factory=_Tally)
    waiting: list[FrameResult] = field(default_factory=list)
    waiting_since: float = 0.0
    written: dict[str, int] = field(default_factory=dict)
    started: float = 0.0
    told_at: float = 0.0

    @property
    def labels(self) -> list[str]:
        return self.detector.bundle.manifest.labels

    @property
    def doubts(self) -> list[str]:
        """Why the verdicts are worth little, as far as the bundle says so, and why no speed is told."""
        variant, emulated = self.detector.variant, [_EMULATED] if is_emulated() else []
        if variant.accuracy is None or variant.accuracy.ap is None or variant.accuracy.ap >= USEFUL_AP:
            return emulated
        return [
            *emulated,
            f"The {variant.name} graph of this bundle reached {variant.accuracy.ap:.1f} mAP of 100 when it was "
            "exported, so its verdicts mean nothing. Train it for longer.",
        ]

    def run(self, stop: threading.Event) -> RunSummary:
        known = len(self.source.warnings)
        self.started = time.perf_counter()
        try:
            self._warn([*self.doubts, *self.source.warnings])
            ended_by = self._inspect(stop)
        except BaseException:
            with contextlib.suppress(TemperError):  # as far as the disk still takes it
                self._rescue()
            raise
        seconds = time.perf_counter() - self.started
        self._tell_progress()
        self._warn(self.source.warnings[known:])
        self.store.end_run(ended_by)
        if not self.tally.frames and ended_by == "source":
            raise TemperError(f"No frame could be read from {self.source.name}.")
        return self._summary(seconds, ended_by)

    def _inspect(self, stop: threading.Event) -> EndedBy:
        ended_by: EndedBy = "source"
        taken = 0
        with ReadAhead(self.source) as ahead:
            for frame in ahead.frames(stop):
                self._wait_for_commit(self._judge(taken, frame))
                taken += 1
                waited = time.perf_counter() - self.waiting_since
                if len(self.waiting) >= COMMIT_FRAMES or waited >= COMMIT_SECONDS or ahead.empty:
                    self._commit()
                if taken == self.settings.limit:
                    ended_by = "limit"
                    break
            else:
                ended_by = "signal" if stop.is_set() else "source"
        self._commit()
        return ended_by

    def _judge(self, number: int, frame: Frame) -> FrameResult:
        """The verdict of one frame. A frame without an answer is not inspected, never ok."""
        times: StageTimes = {}
        cause, detail = frame.cause, frame.detail
        if frame.image is None:
            found = Detections.none((0, 0), frame.source, Status.ERROR)
        else:
            try:
                found = self.detector.detect(frame.image, frame.source, times)
            except TemperError as error:
                cause, detail = Cause.ERROR, str(error)
                size = (frame.image.shape[1], frame.image.shape[0])
                found = Detections.none(size, frame.source, Status.ERROR)
        times = {"decode": frame.decode_ms, **times, "end_to_end": frame.decode_ms + times.get("end_to_end", 0.0)}
        verdict = self.detector.verdict(found)
        picture = None
        if frame.image is not None and verdict.outcome in _DRAWN[self.settings.pictures]:
            picture = self.pictures.write(number, frame.source, frame.image, verdict.defects)
        return FrameResult(
            number,
            frame.source,
            now(),
            verdict,
            cause,
            detail,
            times,
            timestamp_ms=frame.timestamp_ms,
            camera=frame.camera,
            exposed=frame.exposed,
            picture=picture,
        )

    def _wait_for_commit(self, result: FrameResult) -> None:
        if not self.waiting:
            self.waiting_since = time.perf_counter()
        self.waiting.append(result)

    def _rescue(self) -> None:
        """After an error: keep the verdicts that were made, without the pictures that were not."""
        with contextlib.suppress(TemperError):
            self.pictures.flush()
        for name in filter(None, (result.picture for result in self.waiting)):
            with contextlib.suppress(OSError):
                self.written[name] = (self.settings.out / name).stat().st_size
        try:
            self._commit()
        except TemperError:
            # on a full disk a verdict is worth more than its picture: these make room for the rows
            for name in self.written:
                (self.settings.out / name).unlink(missing_ok=True)
            self.written = {}
            self._commit()
        self.store.end_run("error")

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            self.report(Event("warning", "deploy", {"message": warning}))

    def _commit(self) -> None:
        if not self.waiting:
            return
        self.written |= self.pictures.flush()  # first, so that no row names a picture that is not there
        self.store.add(stored := [result.as_written(self.written) for result in self.waiting])
        self.waiting, self.written = [], {}
        for result in stored:
            self.tally.add(result)
            self.announce(result)
        if time.perf_counter() - self.told_at >= PROGRESS_SECONDS:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self.told_at = time.perf_counter()
        total = self.source.total or 0
        if self.settings.limit is not None:
            total = min(total or self.settings.limit, self.settings.limit)
        done = self.tally.frames
        counts = {outcome.value: self.tally.outcomes[outcome] for outcome in Outcome}
        rate = None if is_emulated() else done / (self.told_at - self.started)
        data = {"done": done, "total": total, "unit": "frames", "frames_per_second": rate, **counts}
        self.report(Event("step", "deploy", data))

    def _summary(self, seconds: float, ended_by: EndedBy) -> RunSummary:
        tally = self.tally
        # an emulator's speed is not that of the processor it stands for
        emulated = is_emulated()
        inspected = np.array([] if emulated else tally.end_to_end_ms)
        return RunSummary(
            run=self.store.run.number,
            frames=tally.frames,
            ok=tally.outcomes[Outcome.OK],
            defect=tally.outcomes[Outcome.DEFECT],
            not_inspected=tally.outcomes[Outcome.NOT_INSPECTED],
            defects={label: tally.defects[index] for index, label in enumerate(self.labels) if tally.defects[index]},
            causes=dict(tally.causes.most_common(10)),
            seconds=seconds,
            frames_per_second=tally.frames / seconds if tally.frames and not emulated else None,
            p50_ms=float(np.median(inspected)) if len(inspected) else None,
            p99_ms=float(np.percentile(inspected, 99)) if len(inspected) >= P99_FRAMES else None,
            ended_by=ended_by,
            warnings=[*self.doubts, *self.source.warnings],
            store=self.store.path,
        )
