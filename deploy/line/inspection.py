"""The part of the service that inspects: cameras, engine and store, in one process."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...bundle.loader import open_bundle
from ...core.errors import TemperError
from ...core.events import Event
from ..detector import Outcome, open_detector
from ..frames import Notice
from ..publish.plant import PlantSink
from ..results.pictures import PictureWriter
from ..results.retention import Limits, Retention
from ..results.schema import STORE_NAME
from ..results.store import Store
from ..supervision.part import Context
from .build import make_cameras, make_files, make_judge, require_fitting
from .config import LineConfig
from .inspector import Inspector
from .intake import Intake
from .judge import Judged
from .keeping import StoreKeeper
from .loop import STAGES, LineLoop, Result

#: Longest side of a thumbnail, in pixels.
THUMBNAIL_SIDE = 800
#: Pictures that may wait to be written; verdicts do not wait for pictures.
WAITING_PICTURES = 32
#: Numbers that this part shows to others on the board.
GAUGES = ("frames", "frames ok", "frames defect", "frames not inspected", "frames waiting", "store failing")
#: How long a thread may run before another one gets its turn: the engine's answers should not wait for Python's
#: default of 5 ms.
_SWITCH_SECONDS = 0.0005

log = logging.getLogger("temper.inspection")


def beats_of(config: LineConfig) -> tuple[str, ...]:
    """The signs of life that this part gives."""
    return (*STAGES, *(f"camera {camera.name}" for camera in config.cameras))


def run(context: Context, config: dict[str, Any], bundle: str, public_key: str | None, wake: int | None) -> None:
    """Inspect until it is asked to stop.

    Args:
        context: of the supervisor.
        config: a :class:`LineConfig` as plain values.
        bundle: path of the bundle.
        public_key: path of the key that must have signed it; None asks for no signature.
        wake: file descriptor by which the publishing part is woken; None wakes nobody.

    Raises:
        TemperError: if the bundle, the runtime or the store cannot be used.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    line = LineConfig.model_validate_json(json.dumps(config))
    folder = Path(line.results.folder)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_bundle(Path(bundle), Path(public_key) if public_key else None))
        require_fitting(line, list(opened.manifest.labels))
        engine = line.engine
        detector = open_detector(opened, engine.variant, engine.runtime, engine.threads, _report)
        stack.callback(detector.runtime.close)
        inspector = Inspector(detector, line.tiles.sides, line.tiles.overlap, engine.batch)
        store = stack.enter_context(Store(folder / STORE_NAME, wake))
        keep = Limits(**line.results.keep.model_dump())
        coils_to = () if line.plant is None else (PlantSink.name,)
        retention = stack.enter_context(Retention(store.path, folder, keep, coils_to=coils_to))
        retention.remove_strays()
        cameras = [camera.name for camera in line.cameras]
        last = {name: seen for name in cameras if (seen := store.last_seen(name)) is not None}
        files = make_files(line, store)
        started = store.begin_run(detector, ", ".join(cameras), line.line, cameras)
        inspector.warm_up([], line.overload.queue)
        _introduce(started.number, inspector)
        pictures = stack.enter_context(
            PictureWriter(
                folder,
                started.number,
                opened.manifest.labels,
                side=THUMBNAIL_SIDE,
                room=retention.room_for,
                most_waiting=WAITING_PICTURES,
            )
        )
        intake = Intake(line.overload.queue, line.overload.policy)
        told = _Told(context, intake, retention)
        loop = LineLoop(
            make_cameras(line, opened.manifest.input.channels, last, files),
            intake,
            inspector,
            make_judge(line, detector),
            StoreKeeper(store, pictures, line.results.pictures, line.results.full_frames, files),
            beat=context.beat,
            rest=context.rest,
            stored=told.stored,
            trouble=told.trouble,
        )
        context.ready()
        _to_the_end(loop, context, store)


def _to_the_end(loop: LineLoop, context: Context, store: Store) -> None:
    ended_by = "error"
    try:
        loop.run(context.stop)
        ended_by = "signal" if context.stop.is_set() else "source"
    finally:
        try:
            store.end_run(ended_by)
        except TemperError as error:
            log.error("the end of the run cannot be stored: %s", error)


def _introduce(run: int, inspector: Inspector) -> None:
    detector = inspector.detector
    sizes = " or ".join(map(str, inspector.batch_sizes))
    what = f"{detector.bundle.manifest.name} {detector.variant.name}"
    on = f"{detector.runtime.name} {detector.runtime.version}"
    log.info("run %d: %s on %s, calls of %s pictures", run, what, on, sizes)


class _Told:
    """What others hear of what was stored: gauges, and lines in the log."""

    def __init__(self, context: Context, intake: Intake, retention: Retention) -> None:
        self._context, self._intake, self._retention = context, intake, retention
        self._counts = dict.fromkeys(Outcome, 0)

    def stored(self, results: Sequence[Result]) -> None:
        for result in results:
            if isinstance(result, Judged):
                self._counts[result.verdict.outcome] += 1
            elif isinstance(result, Notice):
                (log.info if result.state == "connected" else log.warning)("%s", result.message)
        gauge = self._context.gauge
        gauge("frames", sum(self._counts.values()))
        gauge("frames ok", self._counts[Outcome.OK])
        gauge("frames defect", self._counts[Outcome.DEFECT])
        gauge("frames not inspected", self._counts[Outcome.NOT_INSPECTED])
        gauge("frames waiting", self._intake.waiting)
        try:
            self._retention.tidy()
        except TemperError as error:
            log.warning("old pictures cannot be taken away: %s", error)

    def trouble(self, message: str | None) -> None:
        self._context.gauge("store failing", float(message is not None))
        if message is not None:
            log.error("verdicts wait, as they cannot be stored: %s", message)
        else:
            log.info("verdicts are stored again")


def _report(event: Event) -> None:
    if event.kind in ("note", "warning"):
        log.warning("%s", event.data["message"])
