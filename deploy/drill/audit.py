"""What a camera sent against what was stored: every frame has a verdict, or lies in a gap that was told."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..cameras.frame_ids import GIGE_VISION_WRAP
from ..results.records import seconds_of
from .gige_camera import SentFrame

#: By how much a frame's exposure, as the line has it, may be off the moment at which the camera wrote it down: an id comes again
#: after 65,535 frames, so this need not be narrow.
_TOLERANCE_SECONDS = 1.0
#: By how much a gap's edge may be off: it is the exposure of a frame that was stored.
_EDGE_SECONDS = 0.1
_SHOWN = 5


@dataclass
class Audit:
    """What became of a camera's frames.

    Attributes:
        sent: frames that the camera sent until the last one that was stored.
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


def audit_frames(sent: Sequence[SentFrame], store: Path, by_time: bool = True) -> Audit:
    """Hold a camera's frames against a store.

    Args:
        sent: by a camera that counts, in order.
        store: the SQLite file.
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
    spans = [(seconds_of(since), seconds_of(until)) for since, until in gaps if until is not None]
    unaccounted: list[int] = []
    since_match = 0
    for frame in sent:
        audit.sent += 1
        since_match += 1
        moments = stored.get(frame.frame_id, [])
        match = next((m for m in moments if not by_time or abs(m - frame.time) < _TOLERANCE_SECONDS), None)
        if match is not None:
            moments.remove(match)
            audit.judged += 1
            since_match = 0
            continue
        in_gap = any(since - _EDGE_SECONDS <= frame.time <= until + _EDGE_SECONDS for since, until in spans)
        audit.in_gaps += in_gap
        if not in_gap:
            unaccounted.append(audit.sent)
    # what was sent after the line was ended is nobody's
    audit.sent -= since_match
    unaccounted = [sent[place - 1].frame_id for place in unaccounted if place <= audit.sent]
    if unaccounted:
        shown = ", ".join(map(str, unaccounted[:_SHOWN]))
        audit.problems.append(f"{len(unaccounted)} frames have neither a verdict nor a gap (the first are {shown}).")
    extra = sum(len(moments) for moments in stored.values())
    if extra and by_time:
        audit.problems.append(f"{extra} stored frames were never sent, or have two verdicts.")
    return audit


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
