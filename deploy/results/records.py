"""What is stored, and the rows that it becomes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ..detector import Verdict
from ..frames import Cause, FileState, Gap, Notice
from ..stages import StageTimes
from ..strip.defect import StripDefect

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What became of one frame.

    Attributes:
        number: of the frame in its run, from 0.
        source: name of the frame.
        time: when the verdict was made, UTC in ISO 8601 with milliseconds.
        verdict: ok, defect or not inspected, with the defects; those of a late frame are kept.
        cause: why it was not inspected; None if it was.
        detail: the cause in a sentence; None if it was inspected.
        times: milliseconds by stage (see ``stages.py``); ``end_to_end`` includes reading and decoding,
            not the wait in the queue, which is ``queue``; ``transfer`` is from exposure to this process's memory.
        timestamp_ms: position in the video; None elsewhere.
        camera: name of the camera.
        frame_id: the camera's own count; None if it counts nothing.
        exposed: seconds of UTC since 1970; None or 0 if not known.
        position_m: where its first row lies along the strip; None if not known.
        length_m: how much of the strip it shows; None if not known.
        latency_ms: from exposure to verdict; None if the exposure is not known.
        picture: the picture with the defects drawn, relative to the folder of results; None if there is none.
        full_picture: the picture as the camera gave it, likewise.
        picture_bytes: length of both files.
        files: of a watched folder, that have their verdict with it.
        side: of the strip that the camera sees; None where no line says it.
    """

    number: int
    source: str
    time: str
    verdict: Verdict
    cause: Cause | None
    detail: str | None
    times: StageTimes
    timestamp_ms: float | None = None
    camera: str = "files"
    frame_id: int | None = None
    exposed: float | None = None
    position_m: float | None = None
    length_m: float | None = None
    latency_ms: float | None = None
    picture: str | None = None
    full_picture: str | None = None
    picture_bytes: int | None = None
    files: tuple[FileState, ...] = ()
    side: str | None = None

    def as_written(self, lengths: Mapping[str, int]) -> FrameResult:
        """The same with those of its pictures that are there, by what :meth:`~.pictures.PictureWriter.flush` says."""
        names = [name if name in lengths else None for name in (self.picture, self.full_picture)]
        total = sum(lengths[name] for name in names if name is not None)
        return replace(self, picture=names[0], full_picture=names[1], picture_bytes=total or None)


Item = FrameResult | Gap | StripDefect | Notice


def now() -> str:
    """The present moment, UTC, in ISO 8601 with milliseconds."""
    return _text(datetime.fromtimestamp(time.time(), timezone.utc), "milliseconds")


def moment(seconds: float) -> str:
    """Seconds of UTC since 1970 in ISO 8601 with microseconds."""
    return _text(datetime.fromtimestamp(seconds, timezone.utc), "microseconds")


def seconds_of(text: str) -> float:
    """Seconds of UTC since 1970 of a moment in ISO 8601.

    Raises:
        ValueError: if it is none.
    """
    read = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    return (read if read.tzinfo else read.replace(tzinfo=timezone.utc)).timestamp()


def frame_row(run_id: str, result: FrameResult) -> Row:
    """The row of a frame."""
    width, height = result.verdict.defects.image_size
    times = {f"{stage}_ms": None for stage in _STAGE_COLUMNS}
    for stage, duration in result.times.items():
        times[f"{stage}_ms"] = round(duration, 4)  # type: ignore[assignment]
    return {
        "run_id": run_id,
        "number": result.number,
        "camera": result.camera,
        "source": result.source,
        "frame_id": result.frame_id,
        "exposed": moment(result.exposed) if result.exposed else None,
        "time": result.time,
        "timestamp_ms": result.timestamp_ms,
        "position_m": result.position_m,
        "length_m": result.length_m,
        "width": width or None,
        "height": height or None,
        "verdict": result.verdict.outcome.value,
        "cause": None if result.cause is None else result.cause.value,
        "detail": result.detail,
        "picture": result.picture,
        "full_picture": result.full_picture,
        "picture_bytes": result.picture_bytes,
        "latency_ms": None if result.latency_ms is None else round(result.latency_ms, 4),
        "side": result.side,
        **times,
    }


def inspected_rows(camera: str, files: Sequence[FileState]) -> list[Row]:
    """The rows of files that have their verdict; a name may be any bytes, which no text of a database takes."""
    return [
        {"camera": camera, "name": os.fsencode(file.name), "size": file.size, "modified_ns": file.modified_ns}
        for file in files
    ]


def detection_rows(run_id: str, result: FrameResult, labels: Sequence[str]) -> list[Row]:
    """The rows of what was found in a frame, the highest score first as the detector gives them."""
    defects = result.verdict.defects
    return [
        {
            "run_id": run_id,
            "frame_number": result.number,
            "number": number,
            "label": labels[label],
            "score": round(score, 6),
            "x1": round(box[0], 3),
            "y1": round(box[1], 3),
            "x2": round(box[2], 3),
            "y2": round(box[3], 3),
        }
        for number, (box, score, label) in enumerate(
            zip(defects.boxes.tolist(), defects.scores.tolist(), defects.labels.tolist(), strict=True)
        )
    ]


def gap_row(run_id: str, number: int, gap: Gap) -> Row:
    """The row of a gap; none ends before it begins, whatever set a clock back, or the time of a file."""
    until = None if gap.until is None else moment(max(gap.since, gap.until))
    row = {"run_id": run_id, "number": number, **vars(gap), "since": moment(gap.since), "until": until}
    del row["ends"]
    return row


def defect_row(run_id: str, number: int, time: str, defect: StripDefect, labels: Sequence[str]) -> Row:
    """The row of a defect of the strip."""
    row = {"run_id": run_id, "number": number, "time": time, **vars(defect), "label": labels[defect.label]}
    row["first_frame"], row["last_frame"] = row.pop("frames")
    row["side"] = defect.side or None
    return row


def notice_body(notice: Notice) -> str:
    """What the log keeps of a notice."""
    return json.dumps(vars(notice), ensure_ascii=False)


_STAGE_COLUMNS = (
    "transfer",
    "queue",
    "decode",
    "preprocess",
    "host_to_device",
    "compute",
    "device_to_host",
    "postprocess",
    "end_to_end",
)


def _text(when: datetime, precision: str) -> str:
    return when.isoformat(timespec=precision).replace("+00:00", "Z")
