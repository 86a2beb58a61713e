"""What a camera sent against what was stored: every frame has a verdict, or lies in a gap that was told.

And every defect that a frame shows is one of the strip, once.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..cameras.frame_ids import GIGE_VISION_WRAP
from ..results.records import seconds_of
from .gige_camera import SentFrame

#: By how much a frame's exposure, as the line has it, may be off the moment at which the camera wrote it down: an id
#: comes again after 65,535 frames, so this need not be narrow.
_TOLERANCE_SECONDS = 1.0
#: By how much a gap's edge may be off: it is the exposure of a frame that was stored.
_EDGE_SECONDS = 0.1
#: What was sent this long before the line was asked to end must be accounted for; later frames may still have been
#: on their way to it.
_LAST_SECONDS = 2.0
#: Of a run that did not end in good order, defects that were seen within this before its last frame may have been open:
#: they are given out once they are whole, and die with the process until then.
_OPEN_SECONDS = 2.0
#: By how much a defect of the strip may miss the place of what a frame shows of it, in millimetres.
_PLACE_MM = 1.0
_SHOWN = 5


@dataclass
class Audit:
    """What became of a camera's frames.

    Attributes:
        sent: frames that the camera sent until the last one that was stored, or until the line was asked to end.
        judged: those of them with a verdict of any kind.
        verdicts: how many of each verdict, with its cause.
        in_gaps: those that lie in a gap.
        gaps: how many gaps there are.
        problems: a sentence for each thing that is not as it must be.
    """

    sent: int = 0
    judged: int = 0
    in_gaps: int = 0
    gaps: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def audit_frames(sent: Sequence[SentFrame], store: Path, ended: float, by_time: bool = True) -> Audit:
    """Hold a camera's frames against a store.

    Args:
        sent: by a camera that counts, in order.
        store: the SQLite file.
        ended: when the line was asked to end, seconds of UTC by the camera's clock.
        by_time: whether the moments of both can be compared; not where the line's clock was tampered with.
    """
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT frame_id, exposed, verdict, cause FROM frame JOIN run ON run.id = run_id "
            "ORDER BY run.number, frame.number"
        ).fetchall()
        gaps = connection.execute('SELECT since, "until" FROM gap').fetchall()
    audit = Audit(gaps=len(gaps))
    audit.verdicts = dict(Counter(verdict if cause is None else f"{verdict}, {cause}" for *_, verdict, cause in rows))
    stored: dict[int, list[float]] = {}
    for frame_id, exposed, _, _ in rows:
        if frame_id is not None and exposed is not None:
            stored.setdefault((frame_id - 1) % GIGE_VISION_WRAP + 1, []).append(seconds_of(exposed))
    spans = [(seconds_of(since), math.inf if until is None else seconds_of(until)) for since, until in gaps]
    unaccounted: list[int] = []
    nobodys = 0
    for frame in sent:
        audit.sent += 1
        nobodys += frame.time > ended - _LAST_SECONDS
        moments = stored.get(frame.frame_id, [])
        match = next((m for m in moments if not by_time or abs(m - frame.time) < _TOLERANCE_SECONDS), None)
        if match is not None:
            moments.remove(match)
            audit.judged += 1
            nobodys = 0
            continue
        in_gap = any(since - _EDGE_SECONDS <= frame.time <= until + _EDGE_SECONDS for since, until in spans)
        audit.in_gaps += in_gap
        if not in_gap:
            unaccounted.append(audit.sent)
    # what was sent after the line was ended is nobody's
    audit.sent -= nobodys
    unaccounted = [sent[place - 1].frame_id for place in unaccounted if place <= audit.sent]
    if unaccounted:
        shown = ", ".join(map(str, unaccounted[:_SHOWN]))
        audit.problems.append(f"{len(unaccounted)} frames have neither a verdict nor a gap (the first are {shown}).")
    extra = sum(len(moments) for moments in stored.values())
    if extra and by_time:
        audit.problems.append(f"{extra} stored frames were never sent, or have two verdicts.")
    return audit


def audit_defects(store: Path) -> list[str]:
    """Whether each detection of a frame that has a place is part of a defect of the strip, and none came twice.

    Returns:
        A sentence for each thing that is not as it must be.
    """
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        runs = {run: (ended_by, last) for run, ended_by, last in connection.execute(_RUNS)}
        seen = connection.execute(_SEEN).fetchall()
        rows = connection.execute(
            "SELECT run_id, label, first_frame, last_frame, position_m, length_mm, across_mm FROM defect"
        ).fetchall()
    of_frame: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for run, label, first, last, position_m, length_mm, _ in rows:
        for number in range(first, last + 1):
            of_frame.setdefault((run, label, number), []).append((1000 * position_m, 1000 * position_m + length_mm))
    missing = []
    for run, number, exposed, label, begin_mm, end_mm in seen:
        ended_by, newest = runs[run]
        if ended_by not in ("signal", "source") and seconds_of(exposed) > seconds_of(newest) - _OPEN_SECONDS:
            continue
        spans = of_frame.get((run, label, number), [])
        if not any(begin <= end_mm + _PLACE_MM and end >= begin_mm - _PLACE_MM for begin, end in spans):
            missing.append(number)
    problems = []
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        problems.append(f"{len(missing)} defects of frames are in none of the strip (the first are in frames {shown}).")
    if twice := len(rows) - len(set(rows)):
        problems.append(f"{twice} defects of the strip were given out twice.")
    return problems


_RUNS = "SELECT run.id, ended_by, max(exposed) FROM run JOIN frame ON run.id = run_id GROUP BY run.id"
#: What frames show, with its place along the strip in millimetres: a frame's first row lies at its position.
_SEEN = """
SELECT frame.run_id, frame.number, exposed, label, 1000 * (position_m + y1 * length_m / height),
    1000 * (position_m + y2 * length_m / height)
FROM frame JOIN detection ON detection.run_id = frame.run_id AND frame_number = frame.number
WHERE verdict = 'defect' AND position_m IS NOT NULL AND length_m IS NOT NULL
ORDER BY frame.run_id, frame.number
"""


def audit_events(store: Path, sinks: Sequence[str]) -> list[str]:
    """Whether every sink has delivered all that was stored, a sentence for each that has not."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        newest = connection.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
        cursors = dict(connection.execute("SELECT sink, event_id FROM cursor").fetchall())
    return [
        f"{sink} has delivered up to event {cursors.get(sink, 0)} of {newest}."
        for sink in sinks
        if cursors.get(sink, 0) < newest
    ]
