"""Verdicts on disk: one SQLite file that any SQLite client reads, also after a power cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ..core.database import Database, DatabaseKind
from .detector import BundleDetector, Verdict
from .stages import StageTimes

#: The file's name in the folder of results.
STORE_NAME = "results.sqlite"
#: Marks the file as ours (PRAGMA application_id, "TMPR") and its tables' version (PRAGMA user_version).
APPLICATION_ID = 0x544D5052
SCHEMA_VERSION = 2


class _Base(DeclarativeBase):
    pass


class Run(_Base):
    """One call of ``temper deploy run``. Times are UTC in ISO 8601.

    ``ended_by`` is ``source`` (its end), ``limit``, ``signal`` or ``error``; NULL while it runs and if it was killed.
    """

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True)
    bundle: Mapped[str]
    manifest_sha256: Mapped[str]
    variant: Mapped[str]
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    source: Mapped[str]
    started: Mapped[str]
    finished: Mapped[str | None]
    ended_by: Mapped[str | None]


class FrameRow(_Base):
    """One picture and its verdict: ``ok``, ``defect`` or ``not_inspected`` (then ``cause`` says why)."""

    __tablename__ = "frame"
    __table_args__ = (UniqueConstraint("run_id", "frame_index"), Index("frame_verdict", "run_id", "verdict"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    frame_index: Mapped[int]
    source: Mapped[str]
    time: Mapped[str]
    timestamp_ms: Mapped[float | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    verdict: Mapped[str]
    cause: Mapped[str | None]
    picture: Mapped[str | None]
    decode_ms: Mapped[float | None]
    preprocess_ms: Mapped[float | None]
    host_to_device_ms: Mapped[float | None]
    compute_ms: Mapped[float | None]
    device_to_host_ms: Mapped[float | None]
    postprocess_ms: Mapped[float | None]
    end_to_end_ms: Mapped[float | None]


class DetectionRow(_Base):
    """One defect; the box is in pixels of the picture, continuous edges from 0."""

    __tablename__ = "detection"

    id: Mapped[int] = mapped_column(primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), index=True)
    label: Mapped[str]
    score: Mapped[float]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]


_KIND = DatabaseKind(_Base.metadata, APPLICATION_ID, SCHEMA_VERSION, "results", "another folder with --out")


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What became of one frame.

    Attributes:
        index: of the frame in its source.
        source: name of the frame.
        time: when the verdict was made, UTC in ISO 8601 with milliseconds.
        verdict: ok, defect or not inspected, with the defects.
        cause: why it was not inspected; None if it was.
        times: milliseconds by stage (see ``stages.py``); ``end_to_end`` includes reading and decoding,
            not the wait in the queue.
        timestamp_ms: position in the video; None for files.
        picture: the annotated picture, relative to the folder of results; None if there is none.
    """

    index: int
    source: str
    time: str
    verdict: Verdict
    cause: str | None
    times: StageTimes
    timestamp_ms: float | None = None
    picture: str | None = None


class Store:
    """A store opened for writing; use it as a context manager.

    Args:
        path: the SQLite file; it is made if it is missing, otherwise the runs in it stay and another is added.

    Raises:
        TemperError: if the file is not a store of this version, is locked, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, _KIND)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def begin_run(self, detector: BundleDetector, source: str) -> int:
        """Note that ``detector`` begins to work on ``source``.

        Returns:
            The run's number in this store.
        """
        row = {
            "bundle": detector.bundle.manifest.name,
            "manifest_sha256": detector.bundle.manifest_sha256,
            "variant": detector.variant.name,
            "runtime": detector.runtime.name,
            "runtime_version": detector.runtime.version,
            "source": source,
            "started": now(),
        }
        with self._database.transaction() as connection:
            return int(connection.execute(insert(Run).values(**row).returning(Run.id)).scalar_one())

    def add_frames(self, run_id: int, results: Sequence[FrameResult], labels: Sequence[str]) -> None:
        """Store frames and their defects, all or none; they survive a power cut once this returns."""
        with self._database.transaction() as connection:
            for result in results:
                statement = insert(FrameRow).values(**_frame_values(run_id, result)).returning(FrameRow.id)
                frame_id = int(connection.execute(statement).scalar_one())
                if detections := _detection_values(frame_id, result.verdict, labels):
                    connection.execute(insert(DetectionRow), detections)

    def end_run(self, run_id: int, ended_by: str) -> None:
        """Note when and why a run ended."""
        with self._database.transaction() as connection:
            connection.execute(update(Run).where(Run.id == run_id).values(finished=now(), ended_by=ended_by))


def now() -> str:
    """The present moment, UTC, in ISO 8601 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _frame_values(run_id: int, result: FrameResult) -> dict[str, Any]:
    width, height = result.verdict.defects.image_size
    return {
        "run_id": run_id,
        "frame_index": result.index,
        "source": result.source,
        "time": result.time,
        "timestamp_ms": result.timestamp_ms,
        "width": width or None,
        "height": height or None,
        "verdict": result.verdict.outcome.value,
        "cause": result.cause,
        "picture": result.picture,
        **{f"{stage}_ms": round(duration, 4) for stage, duration in result.times.items()},
    }


def _detection_values(frame_id: int, verdict: Verdict, labels: Sequence[str]) -> list[dict[str, Any]]:
    defects = verdict.defects
    return [
        {"frame_id": frame_id, "label": labels[label], "score": round(score, 6)}
        | {edge: round(value, 3) for edge, value in zip(("x1", "y1", "x2", "y2"), box, strict=True)}
        for box, score, label in zip(
            defects.boxes.tolist(), defects.scores.tolist(), defects.labels.tolist(), strict=True
        )
    ]
