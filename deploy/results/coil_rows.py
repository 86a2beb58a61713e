"""The rows of the store that belong to a coil: by the order in which they were stored, which no clock upsets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.engine import Connection

from .coil import Coil
from .records import moment, seconds_of
from .schema import DefectTable, EventTable, FrameTable, GapTable, RunTable

#: What was exposed so long before a coil began, in seconds, and is stored only afterwards, is on its way still.
_ON_THE_WAY_SECONDS = 5.0
#: Among so many events after a coil's beginning are the frames that were on their way; of so many before it, the last
#: exposures are known.
_ON_THE_WAY = 2_000
_COLUMNS = ("run_id", "number", "camera", "verdict", "cause", "position_m", "length_m", "exposed", "side")


def frames_of(connection: Connection, coil: Coil) -> list[Any]:
    """The frames of a coil, in order: those stored between its beginning and its end, but for what was on its way then.

    A frame that was exposed before a coil began, and stored only a moment later, belongs to the coil before it.
    """
    event = EventTable
    spans = select(event.run_id, func.min(event.number), func.max(event.number)).where(
        event.kind == "frame", event.id > coil.started_event, _until(coil)
    )
    before = _on_the_way(connection, coil.started_event, coil.started)
    after: dict[tuple[str, int], Any] = {}
    if coil.ended is not None and coil.ended_event is not None:
        after = _on_the_way(connection, coil.ended_event, coil.ended)
    rows: dict[tuple[str, int], Any] = {}
    for run_id, first, last in connection.execute(spans.group_by(event.run_id)).all():
        query = _frames().where(FrameTable.run_id == run_id, FrameTable.number.between(first, last))
        rows |= {(row.run_id, row.number): row for row in connection.execute(query).all()}
    # of a coil that came and went while nothing was stored, all is still on its way at its end
    chosen = {key: row for key, row in (rows | after).items() if key not in before}
    numbers = {run.id: run.number for run in connection.execute(select(RunTable.id, RunTable.number)).all()}
    # in the order of the runs, whatever the clock says: a count of the strip that begins anew does so with one
    return [chosen[key] for key in sorted(chosen, key=lambda key: (numbers[key[0]], key[1]))]


def gaps_of(connection: Connection, coil: Coil) -> list[dict[str, Any]]:
    """The gaps that reach into a coil; one that was not told when it began is placed by its moments."""
    gap = GapTable
    query = select(gap.__table__).where(or_(gap.closed_event.is_(None), gap.closed_event > coil.started_event))
    if coil.ended is not None:
        began = and_(gap.opened_event.is_(None), gap.since < coil.ended)
        query = query.where(or_(gap.opened_event <= coil.ended_event, began, gap.closed_event <= coil.ended_event))
    return [dict(row) for row in connection.execute(query.order_by(gap.since)).mappings()]


def defects_of(connection: Connection, frames: set[tuple[str, int]]) -> list[dict[str, Any]]:
    """The defects that begin in one of these frames; they are finished, and stored, some time later."""
    found = []
    for run_id in {run_id for run_id, _ in frames}:
        numbers = [number for run, number in frames if run == run_id]
        among = DefectTable.first_frame.between(min(numbers), max(numbers))
        query = select(DefectTable.__table__).where(DefectTable.run_id == run_id, among)
        found += [dict(row) for row in connection.execute(query).mappings() if (run_id, row["first_frame"]) in frames]
    return found


def cameras_of(connection: Connection, coil: Coil, runs: set[str]) -> list[str]:
    """The cameras that should have seen the coil: those of the runs within it, and of the one before its end."""
    query = select(RunTable.id, RunTable.cameras).order_by(RunTable.started)
    if coil.ended is not None:
        query = query.where(RunTable.started < coil.ended)
    rows = connection.execute(query).all()
    named = [row.cameras for row in rows if row.id in runs] or [row.cameras for row in rows[-1:]]
    return list(dict.fromkeys(camera for names in named for camera in names.split(",") if camera))


def _frames() -> Any:
    return select(*(FrameTable.__table__.c[name] for name in _COLUMNS))


def _until(coil: Coil) -> Any:
    return EventTable.id <= coil.ended_event if coil.ended_event is not None else EventTable.id >= 0


def _on_the_way(connection: Connection, newest: int, when: str) -> dict[tuple[str, int], Row[Any]]:
    """The frames that were exposed but not stored yet at a moment.

    They follow the newest event of that moment, in the same run, and each camera's begin with the first one: later
    exposures, or earlier ones than before, are those of a clock that was set.

    Args:
        connection: to the store.
        newest: event that was stored then.
        when: UTC in ISO 8601.
    """
    event = EventTable
    frames = _frames().join(
        event,
        and_(event.kind == "frame", event.run_id == FrameTable.run_id, event.number == FrameTable.number),
    )
    earlier = connection.execute(
        frames.where(event.id.between(newest - _ON_THE_WAY, newest)).order_by(event.id.desc())
    ).all()
    if not earlier:
        return {}
    since = moment(max(0.0, seconds_of(when) - _ON_THE_WAY_SECONDS))
    run_id = earlier[0].run_id
    last: dict[str, str] = {}
    for row in earlier:
        if row.exposed is not None and row.run_id == run_id:
            last.setdefault(row.camera, row.exposed)
    later = frames.where(event.id.between(newest + 1, newest + _ON_THE_WAY), FrameTable.run_id == run_id)
    found: dict[tuple[str, int], Row[Any]] = {}
    past: set[str] = set()
    for row in connection.execute(later.order_by(event.id)).all():
        on_the_way = row.exposed is not None and max(since, last.get(row.camera, since)) <= row.exposed < when
        if row.camera not in past and on_the_way:
            found[row.run_id, row.number] = row
        else:
            past.add(row.camera)
    return found
