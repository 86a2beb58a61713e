"""The history on disk: one SQLite file that keeps every benchmark, and that any SQLite client reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sqlalchemy import ForeignKey, Index, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ...core.database import Database, DatabaseKind
from ...core.errors import TemperError
from ...core.events import Event, Reporter
from ...core.files import sha256_json
from ..measurement import Measurements, to_plain
from .figures import entries_of, machine_key, machine_title

#: The file's name in the folder of all runs, and the variable that names another one, or ``none``.
HISTORY_NAME = "history.sqlite3"
HISTORY_VARIABLE = "TEMPER_HISTORY"
#: Marks the file as a history (PRAGMA application_id, "TMPH") and its tables' version (PRAGMA user_version).
APPLICATION_ID = 0x544D5048
SCHEMA_VERSION = 2


class _Base(DeclarativeBase):
    pass


class BenchmarkTable(_Base):
    """One benchmark; times are UTC in ISO 8601. ``fingerprint`` keeps one from being added twice."""

    __tablename__ = "benchmark"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    started: Mapped[str]
    finished: Mapped[str]
    temper: Mapped[str]
    data: Mapped[str]
    data_sha256: Mapped[str]
    images: Mapped[int]
    machine: Mapped[str]
    machine_title: Mapped[str]
    warnings: Mapped[int]


class EntryTable(_Base):
    """One candidate of a benchmark; ``threads`` is NULL where the runtime chose."""

    __tablename__ = "entry"
    __table_args__ = (Index("entry_model", "model"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    model: Mapped[str]
    role: Mapped[str]
    manifest_sha256: Mapped[str]
    graph_sha256: Mapped[str]
    variant: Mapped[str]
    precision: Mapped[str]
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    batch: Mapped[int]
    threads: Mapped[int | None]
    scenario: Mapped[str]


class FigureTable(_Base):
    """One figure of a candidate with its 95 % interval, which is NULL where one benchmark does not tell."""

    __tablename__ = "figure"
    __table_args__ = (Index("figure_name", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id"), index=True)
    name: Mapped[str]
    value: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    conditions: Mapped[str]


_KIND = DatabaseKind(
    _Base.metadata, APPLICATION_ID, SCHEMA_VERSION, "a history", "another file with --history or TEMPER_HISTORY"
)


@dataclass(frozen=True)
class Point:
    """One figure of one candidate of one benchmark, with all that it is told apart by."""

    figure: str
    value: float
    low: float | None
    high: float | None
    model: str
    variant: str
    precision: str
    runtime: str
    batch: int
    threads: int | None
    scenario: str
    conditions: str
    graph_sha256: str
    runtime_version: str
    machine: str
    machine_title: str
    data: str
    data_sha256: str
    started: str
    temper: str
    warnings: int


class History:
    """A history opened for reading and writing; use it as a context manager.

    Args:
        path: the SQLite file; it is made if it is missing, unless it is only read.
        read_only: whether nothing is added; then no right to write is needed.

    Raises:
        TemperError: if the file is no history of this version, is locked, or cannot be written.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path = path
        self._database = Database(path, _KIND, read_only)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, measured: Measurements) -> bool:
        """Add a benchmark, all of it or nothing; False if it is in the history already.

        Raises:
            TemperError: if the benchmark was cut off or has no latencies, or the file cannot be written.
        """
        benchmark = measured.benchmark
        if benchmark.machine_before.emulated:
            raise TemperError(
                f"The benchmark of {benchmark.started_at} ran on an emulated processor and has no latencies, so it is "
                "not kept in the history; measure with 'temper bench run' on the device."
            )
        if benchmark.incomplete is not None:
            raise TemperError(
                f"The benchmark of {benchmark.started_at} was cut off ({benchmark.incomplete}), so its figures are not "
                "kept. Measure again with 'temper bench run'."
            )
        fingerprint = sha256_json(to_plain(benchmark))
        with self._database.transaction() as connection:
            known = select(BenchmarkTable.id).where(BenchmarkTable.fingerprint == fingerprint)
            if connection.execute(known).first() is not None:
                return False
            row = {
                "fingerprint": fingerprint,
                "started": benchmark.started_at,
                "finished": benchmark.finished_at,
                "temper": benchmark.temper,
                "data": benchmark.data,
                "data_sha256": benchmark.data_sha256,
                "images": benchmark.images,
                "machine": machine_key(benchmark.machine_before),
                "machine_title": machine_title(benchmark.machine_before),
                "warnings": benchmark.timing_warnings,
            }
            statement = insert(BenchmarkTable).values(**row).returning(BenchmarkTable.id)
            number = int(connection.execute(statement).scalar_one())
            for entry in entries_of(measured):
                values = {name: value for name, value in vars(entry).items() if name != "figures"}
                one = insert(EntryTable).values(benchmark_id=number, **values).returning(EntryTable.id)
                place = int(connection.execute(one).scalar_one())
                figures = [{"entry_id": place, **vars(figure)} for figure in entry.figures]
                if figures:
                    connection.execute(insert(FigureTable), figures)
        return True

    def points(self, figures: Sequence[str], models: Sequence[str] = ()) -> list[Point]:
        """The values of figures, the oldest first.

        Args:
            figures: names of :data:`temper.benchmarks.history.figures.FIGURES`.
            models: names of bundles; none given means all.
        """
        columns = [
            FigureTable.name.label("figure"),
            *(getattr(FigureTable, name) for name in ("value", "low", "high", "conditions")),
            *(
                getattr(EntryTable, name)
                for name in (
                    "model", "variant", "precision", "runtime", "batch", "threads", "scenario", "graph_sha256",
                    "runtime_version",
                )
            ),
            *(
                getattr(BenchmarkTable, name)
                for name in ("machine", "machine_title", "data", "data_sha256", "started", "temper", "warnings")
            ),
        ]  # fmt: skip
        query = (
            select(*columns)
            .join(EntryTable, FigureTable.entry_id == EntryTable.id)
            .join(BenchmarkTable, EntryTable.benchmark_id == BenchmarkTable.id)
            .where(FigureTable.name.in_(figures))
            .order_by(BenchmarkTable.started, BenchmarkTable.id, EntryTable.id)
        )
        if models:
            query = query.where(EntryTable.model.in_(models))
        with self._database.transaction() as connection:
            return [Point(**row) for row in connection.execute(query).mappings()]

    def models(self) -> list[str]:
        """The names of the bundles that were ever measured."""
        with self._database.transaction() as connection:
            return list(connection.execute(select(EntryTable.model).distinct().order_by(EntryTable.model)).scalars())


def history_path(runs: Path) -> Path | None:
    """Where the history lies: in the folder of all runs, or where ``TEMPER_HISTORY`` says; None for ``none``."""
    said = os.environ.get(HISTORY_VARIABLE, "")
    return parse_history(said) if said else runs / HISTORY_NAME


def parse_history(text: str) -> Path | None:
    """A path, or None for the word ``none``."""
    return None if text == "none" else Path(text)


def remember(measured: Measurements, path: Path | None, folder: Path, report: Reporter, stage: str) -> None:
    """Add a benchmark to the history; where that fails, say so and go on, as the measurements stand all the same.

    One of an emulated processor has no latencies and is left out; its own warning says why.

    Args:
        measured: the benchmark.
        path: of the history; None keeps none.
        folder: that the measurements lie in, for the message.
        report: hears of a failure.
        stage: under which name.
    """
    if path is None or measured.benchmark.machine_before.emulated:
        return
    try:
        with History(path) as history:
            history.add(measured)
    except TemperError as error:
        message = f"The history was not written: {error} 'temper bench history --add {folder}' adds it later."
        report(Event("warning", stage, {"message": message}))
