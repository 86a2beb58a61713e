"""Verdicts on disk: one SQLite file that any SQLite client reads, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from sqlalchemy import Table, bindparam, delete, func, insert, select, update

from ...core.database import Database, DatabaseKind
from ..detector import BundleDetector
from ..frames import FileState, LastSeen
from .batch import Batch, OpenGap, open_gaps
from .message import MessageKind
from .migrate import upgrade_file
from .records import Item, inspected_rows, now, seconds_of
from .schema import APPLICATION_ID, SCHEMA_VERSION, Base, FrameTable, InspectedTable, RunTable

#: What a file of results is.
KIND = DatabaseKind(
    Base.metadata, APPLICATION_ID, SCHEMA_VERSION, "results", "another folder with --out", upgrade=upgrade_file
)

#: Of so many frames a camera's last one is looked for: more than are stored while one of some cameras is away for long.
MOST_LOOKED_AT = 1_000_000
#: Of so many of a camera's last frames the interval is told.
_FRAMES_OF_INTERVAL = 20


@dataclass
class StoredRun:
    """A run that is at work.

    Attributes:
        id: the same everywhere, a UUID.
        number: of the run in its file, from 1; what people are shown.
        labels: the bundle's.
    """

    id: str
    number: int
    labels: tuple[str, ...]
    _counts: Counter[MessageKind] = field(default_factory=Counter)
    #: The gap that each camera has now, told by this run or an earlier one.
    _open_gaps: dict[str, OpenGap] = field(default_factory=dict)


class Store:
    """A store opened for writing; use it as a context manager.

    Args:
        path: the SQLite file; it is made if it is missing. Runs in it stay, and another is added. A file that an older
            Temper wrote is brought up to date in its place.
        wake: file descriptor that a byte is written to after every transaction, for :class:`~.events.EventLog` at the
            other end of the pipe; it must not block. None tells nobody.

    Raises:
        TemperError: if the file is no store, or one of a newer Temper, is locked, or cannot be written.
    """

    def __init__(self, path: Path, wake: int | None = None) -> None:
        self.path = path
        self._wake = wake
        self._run: StoredRun | None = None
        self._adding = threading.Lock()
        self._database = Database(path, KIND)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def database(self) -> Database:
        """The file, for what else belongs to it: coils, retention."""
        return self._database

    @property
    def run(self) -> StoredRun:
        """The run at work.

        Raises:
            ValueError: if none was begun.
        """
        if self._run is None:
            raise ValueError("no run has been begun in this store")
        return self._run

    def begin_run(
        self, detector: BundleDetector, source: str, line: str | None = None, cameras: Sequence[str] | None = None
    ) -> StoredRun:
        """Note that ``detector`` begins to work on ``source``; what is added from now on belongs to this run.

        Gaps that earlier runs left open go on until their camera gives a frame; of a camera that the line has no more
        they end here.

        Args:
            detector: a bundle, loaded.
            source: what it looks at, in words.
            line: name of the line; None for a single run over pictures.
            cameras: their names, also of those that may never give a frame: a coil's report misses those. None leaves
                it to the frames to say which there are.
        """
        manifest = detector.bundle.manifest
        row = {
            "id": str(uuid.uuid4()),
            "line": line,
            "bundle": manifest.name,
            "manifest_sha256": detector.bundle.manifest_sha256,
            "variant": detector.variant.name,
            "runtime": detector.runtime.name,
            "runtime_version": detector.runtime.version,
            "source": source,
            "cameras": ",".join(cameras or ()),
            "started": now(),
        }
        with self._database.transaction() as connection:
            number = 1 + (connection.execute(select(func.max(RunTable.number))).scalar_one() or 0)
            connection.execute(insert(RunTable), [{**row, "number": number}])
            left_open = {} if cameras is None else open_gaps(connection)
            batch = Batch(str(row["id"]), tuple(manifest.labels), Counter(), now(), left_open)
            for camera in left_open.keys() - set(cameras or ()):
                batch.end_gap(camera)
            batch.write(connection)
        self._run = StoredRun(batch.run_id, number, batch.labels, _open_gaps=batch.open_gaps)
        self._tell()
        return self._run

    def add(self, items: Sequence[Item]) -> None:
        """Store what happened, in order, all or nothing; it survives a power cut once this returns.

        Gaps, defects and notices are numbered here, each kind from 0 in its run; frames bring their numbers. A camera
        has one open gap at most: another one that has no end is the same, and an end is that of the open one.

        Raises:
            TemperError: if it cannot be stored; what was stored before stays, and the same items may be given again.
        """
        with self._adding:  # numbers are given here, so two threads must not do it at once
            batch = Batch(self.run.id, self.run.labels, Counter(self.run._counts), now(), dict(self.run._open_gaps))
            for item in items:
                batch.add(item)
            with self._database.transaction() as connection:
                batch.write(connection)
            self.run._counts, self.run._open_gaps = batch.counts, batch.open_gaps
        self._tell()

    def end_run(self, ended_by: str) -> None:
        """Note when and why the run ended."""
        with self._database.transaction() as connection:
            statement = update(RunTable).where(RunTable.id == self.run.id)
            connection.execute(statement.values(finished=now(), ended_by=ended_by))

    def last_seen(self, camera: str) -> LastSeen | None:
        """The last frame of a camera that was stored, of whichever run that had this camera.

        Returns:
            It; None if there is none among the last :data:`MOST_LOOKED_AT` frames, as a line must start in time.
        """
        columns = (FrameTable.frame_id, FrameTable.exposed, FrameTable.position_m)
        left = MOST_LOOKED_AT
        with self._database.reading() as connection:
            runs = connection.execute(select(RunTable.id, RunTable.cameras).order_by(RunTable.number.desc())).all()
            for run_id, cameras in runs:
                if cameras and camera not in cameras.split(","):
                    continue
                of_run = FrameTable.run_id == run_id
                newest = connection.execute(select(func.max(FrameTable.number)).where(of_run)).scalar()
                if newest is None:
                    continue
                query = select(*columns).where(of_run, FrameTable.number > newest - left, FrameTable.camera == camera)
                rows = connection.execute(query.order_by(FrameTable.number.desc()).limit(_FRAMES_OF_INTERVAL)).all()
                if rows:
                    moments = [None if row.exposed is None else seconds_of(row.exposed) for row in rows]
                    return LastSeen(rows[0].frame_id, moments[0], rows[0].position_m, _interval(moments))
                left -= newest + 1
                if left <= 0:
                    break
        return None

    def inspected(self, camera: str) -> list[FileState]:
        """The files of a camera's folder that have a verdict and were not forgotten, of all runs."""
        columns = (InspectedTable.name, InspectedTable.size, InspectedTable.modified_ns)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).where(InspectedTable.camera == camera)).all()
        return [FileState(os.fsdecode(name), size, modified_ns) for name, size, modified_ns in rows]

    def forget_files(self, camera: str, files: Sequence[FileState]) -> None:
        """Forget files that are gone; one of the same name that has its verdict meanwhile stays. For any thread.

        Raises:
            TemperError: if the store cannot be written.
        """
        table = InspectedTable.__table__
        assert isinstance(table, Table)
        rows = [{f"_{name}": value for name, value in row.items()} for row in inspected_rows(camera, files)]
        if rows:
            same = [column == bindparam(f"_{column.name}") for column in table.c]
            with self._database.transaction() as connection:
                connection.execute(delete(table).where(*same), rows)

    def _tell(self) -> None:
        if self._wake is not None:
            # a full pipe has told already; where nobody listens any more, nobody is to be told
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._wake, b"\0")


def _interval(moments: Sequence[float | None]) -> float | None:
    """The median of the seconds between moments, the newest first; None without two."""
    pairs = zip(moments, moments[1:], strict=False)
    steps = [new - old for new, old in pairs if new is not None and old is not None and new > old]
    return median(steps) if steps else None
