"""What is told beyond the device: one JSON object for each thing that happened, its fields, and its topic.

Every object carries ``schema`` (1), ``key`` (the same for ever: whoever has seen it already has seen this message),
``kind``, ``line`` and ``run``. Fields may be added within a schema; none is taken away or changes its meaning.
"""

from __future__ import annotations

import bisect
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...core.files import write_json
from ..frames import Cause
from ..results.message import Message, MessageKind

#: The last part of the topic of each kind of message, below ``temper/LINE/``.
TOPICS: dict[MessageKind, str] = {"frame": "verdict", "gap": "gap", "defect": "defect", "notice": "notice"}
#: Retained: whether the line's messages are coming at all. The broker itself says "offline" when the line is gone.
STATE_TOPIC = "state"
SCHEMA = 1

CauseName = Literal["dropped", "late", "frozen", "black", "overexposed", "lost", "error"]
assert set(CauseName.__args__) == {cause.value for cause in Cause}  # type: ignore[attr-defined]

Moment = str
Side = Literal["top", "bottom"]


class Told(BaseModel):
    """What every object has."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    version: Literal[1] = Field(alias="schema", description="of these fields")
    line: str = Field(description="name of the line in line.yml")


class Happened(Told):
    """What every message has; the state of a line has no key, as it is no event."""

    key: str = Field(description="the same for ever: a message with a key that was seen before is the same one again")
    run: str = Field(description="one start of the inspection on this line, a UUID")
    number: int = Field(ge=0, description="counts this kind within the run")


class Detection(BaseModel):
    """One detection on a frame; edges in pixels of the frame, continuous, from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    score: float = Field(ge=0, le=1)
    x1: float
    y1: float
    x2: float
    y2: float


class FrameMessage(Happened):
    """The verdict on one frame: ok, defect, or not inspected with its cause."""

    kind: Literal["frame"]
    camera: str = Field(description="name of the camera in line.yml")
    source: str = Field(description="a file, a video and the number in it, or a camera and its frame id")
    frame_id: int | None = Field(description="the camera's own count, going on where the camera's wraps")
    exposed: Moment | None = Field(description="when it was exposed, UTC, ISO 8601")
    time: Moment = Field(description="when the verdict was made, UTC, ISO 8601")
    timestamp_ms: float | None = Field(description="position in a video, milliseconds")
    position_m: float | None = Field(description="where its first row lies along the strip, metres")
    width: int | None = Field(description="pixels")
    height: int | None = Field(description="pixels")
    verdict: Literal["ok", "defect", "not_inspected"]
    cause: CauseName | None = Field(description="why it was not inspected; null if it was")
    detail: str | None = Field(description="the cause in a sentence")
    picture: str | None = Field(
        description="its picture with the defects drawn, relative to the folder of results on the device"
    )
    latency_ms: float | None = Field(description="from exposure to verdict, milliseconds")
    side: Side | None = Field(description="of the strip that the camera sees")
    stages_ms: dict[str, float] = Field(
        description="milliseconds by stage, with the stages of docs/reference/latency.md"
    )
    detections: list[Detection] = Field(description="what was found; of a late frame too")
    detections_left_out: int = Field(
        0, ge=0, description="of the lowest scores, where the message would be larger than the receiver takes"
    )


class GapMessage(Happened):
    """A stretch of time in which a camera was not connected, or Temper was not running: told when it begins and ends.

    The message of its beginning has the key of that of its end, and ``:open`` behind it.
    """

    kind: Literal["gap"]
    state: Literal["open", "closed"] = Field(
        description="open: it lasts, and its end will be told, perhaps in a later run; closed: all is known of it"
    )
    camera: str = Field(description="name of the camera in line.yml")
    since: Moment = Field(description="when it began: the exposure of the last frame before it, UTC, ISO 8601")
    until: Moment | None = Field(description="when the next frame came; null while it is open")
    frames: int | None = Field(description="how many frames the camera counted meanwhile; null if it cannot tell")
    position_m: float | None = Field(description="where along the strip it began, metres")
    length_m: float | None = Field(description="how much of the strip passed meanwhile, metres")
    cause: str = Field(description="one sentence")


class DefectMessage(Happened):
    """One defect of the strip, whole: over the seams of tiles and the edges of frames."""

    kind: Literal["defect"]
    label: str
    score: float = Field(ge=0, le=1, description="the highest of its detections")
    severity: Literal["minor", "major", "critical"]
    position_m: float | None = Field(description="of its first edge along the strip, metres")
    across_mm: float | None = Field(description="of its left edge across the strip, millimetres")
    length_mm: float | None = Field(description="along the strip, millimetres")
    width_mm: float | None = Field(description="across the strip, millimetres")
    first_frame: int = Field(description="number of the first frame that shows it")
    last_frame: int = Field(description="number of the last frame that shows it")
    cut: bool = Field(description="whether it ends where nothing was seen: at a gap or a frame that was not inspected")
    repeat_m: float | None = Field(description="distance at which it comes again and again, metres; a damaged roll")
    side: Side | None = Field(description="of the strip")
    time: Moment = Field(description="when it was complete, UTC, ISO 8601")


class NoticeMessage(Happened):
    """What happened to a camera."""

    kind: Literal["notice"]
    camera: str = Field(description="name of the camera in line.yml")
    state: Literal["connected", "waiting", "misconfigured"] = Field(description="what it is now")
    message: str = Field(description="one sentence")
    time: Moment = Field(description="UTC, ISO 8601")


class StateMessage(Told):
    """Whether the line's messages are coming (MQTT, retained). No state of the inspection: that is in /health."""

    state: Literal["online", "offline"]


class Batch(BaseModel):
    """The body of a webhook's request: messages in order."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    version: Literal[1] = Field(alias="schema")
    line: str
    messages: list[FrameMessage | GapMessage | DefectMessage | NoticeMessage]


#: The model of each kind of message.
MODELS: dict[MessageKind, type[Happened]] = {
    "frame": FrameMessage,
    "gap": GapMessage,
    "defect": DefectMessage,
    "notice": NoticeMessage,
}


def describe(message: Message, line: str) -> dict[str, Any]:
    """The object that is told of ``message``: its payload, and what says what it is and whose."""
    head = {"schema": SCHEMA, "key": message.key, "kind": message.kind, "line": line}
    return head | message.payload | ({"detections_left_out": 0} if message.kind == "frame" else {})


def shortened(told: dict[str, Any], largest: int) -> bytes | None:
    """The body of a message, of a frame with as many detections as fit, the highest scores first to stay.

    Args:
        told: as :func:`describe` gives it.
        largest: most bytes.

    Returns:
        The JSON; None if it is too large without any detection.
    """
    body = encode(told)
    if len(body) <= largest or not told.get("detections"):
        return body if len(body) <= largest else None
    every = told["detections"]
    by_score = sorted(range(len(every)), key=lambda place: -every[place]["score"])

    def with_best(count: int) -> bytes:
        kept = [every[place] for place in sorted(by_score[:count])]
        return encode(told | {"detections": kept, "detections_left_out": len(every) - count})

    # the size grows with the count: the first count that is too large is sought
    count = bisect.bisect_left(range(len(every)), True, key=lambda count: len(with_best(count)) > largest)
    return with_best(count - 1) if count else None


def encode(value: Any) -> bytes:
    """JSON in UTF-8 without white space.

    Raises:
        ValueError: if a number in it is not finite.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def state(line: str, now: Literal["online", "offline"]) -> bytes:
    """The body of the retained state of a line."""
    return encode({"schema": SCHEMA, "line": line, "state": now})


def topic(prefix: str, line: str, kind: MessageKind) -> str:
    """Where a message is published, such as ``temper/mill-2/verdict``."""
    return f"{prefix}/{line}/{TOPICS[kind]}"


def state_topic(prefix: str, line: str) -> str:
    """Where the state of a line is retained, such as ``temper/mill-2/state``."""
    return f"{prefix}/{line}/{STATE_TOPIC}"


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of everything that is told, by file name in ``docs/reference/messages/``."""
    models: dict[str, type[BaseModel]] = {STATE_TOPIC: StateMessage, "webhook": Batch}
    models |= {TOPICS[kind]: model for kind, model in MODELS.items()}
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {f"{name}.schema.json": draft | model.model_json_schema() for name, model in models.items()}


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of everything that is told to ``folder``, one file each."""
    for name, schema in json_schemas().items():
        write_json(folder / name, schema)
