"""What a camera gives: frames, each with an answer to come or the reason why there can be none, and the gaps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray


class Cause(str, Enum):
    """Why a frame was not inspected. Every frame that is neither ok nor defect has exactly one of these."""

    DROPPED = "dropped"
    """The line was overloaded, and its policy gave this frame up."""
    LATE = "late"
    """The verdict came after the deadline, or could not have come before it."""
    FROZEN = "frozen"
    """The camera sent the same picture again and again."""
    BLACK = "black"
    """There was no light in it."""
    OVEREXPOSED = "overexposed"
    """There was nothing but light in it."""
    LOST = "lost"
    """The camera counted it, and it did not arrive, or not whole."""
    ERROR = "error"
    """It could not be decoded, or the runtime failed on it."""


@dataclass(frozen=True)
class FileState:
    """A file of a watched folder, by what tells it from another one that had or will have its name.

    Attributes:
        name: in the folder.
        size: in bytes.
        modified_ns: time of its last change, nanoseconds since 1970, as the file system has it.
    """

    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture on its way to a verdict.

    Attributes:
        camera: name of the camera in ``line.yml``.
        source: what people know it by: a file below a folder, a video and the number in it, a camera and its frame id.
        image: uint8 [H, W] or [H, W, 3] RGB, as the bundle's channels say; None if there is none. Must not change any
            more once the frame has been handed on.
        cause: why it will not be inspected; None if it can be. A frame without an image always has one.
        detail: the cause in a sentence; None without a cause.
        frame_id: the camera's own count, made to go on for ever where the camera's wraps; None if it counts nothing.
        exposed: when it was exposed, seconds of UTC since 1970, by the camera's clock mapped to the host's; by its
            arrival where the camera tells no time.
        arrived: ``time.monotonic()`` when it was whole in this process's memory.
        travel_ms: from exposure to arrival, milliseconds; 0 where the camera tells no time. With ``arrived`` it gives
            durations, and the way of the strip, that no setting of a clock disturbs.
        decode_ms: time spent on decoding or unpacking, milliseconds.
        timestamp_ms: position in a video; None elsewhere.
        encoder: count of the strip's encoder at the exposure; None if there is none.
        position_m: where its first row lies along the strip, in metres; None if the line's speed is not known.
        files: of a watched folder, that have their verdict with this frame; they are remembered together with it, and
            put away only then.
    """

    camera: str
    source: str
    image: NDArray[np.uint8] | None
    cause: Cause | None = None
    detail: str | None = None
    frame_id: int | None = None
    exposed: float = 0.0
    arrived: float = 0.0
    travel_ms: float = 0.0
    decode_ms: float = 0.0
    timestamp_ms: float | None = None
    encoder: int | None = None
    position_m: float | None = None
    files: tuple[FileState, ...] = ()

    def __post_init__(self) -> None:
        if self.image is None and self.cause is None:
            raise ValueError(f"the frame {self.source} has no image and no cause")
        if (self.cause is None) != (self.detail is None):
            raise ValueError(f"the frame {self.source} must have a cause and a detail, or neither")


@dataclass(frozen=True)
class Gap:
    """A stretch of time in which a camera was not connected, or this program was not running.

    It is told when it begins, without an end, and again when it ends.

    Attributes:
        camera: name of the camera in ``line.yml``.
        since: when it began, seconds of UTC since 1970: the exposure of the last frame before it.
        until: when the next frame came; None while it lasts.
        frames: how many frames the camera counted meanwhile; None if it cannot tell (it was restarted itself).
        position_m: where along the strip it began; None if not known.
        length_m: how much of the strip passed meanwhile; None if not known.
        cause: one sentence.
        ends: whether it is the end of one that was told when it began, in this run or an earlier one.
    """

    camera: str
    since: float
    until: float | None
    frames: int | None
    position_m: float | None
    length_m: float | None
    cause: str
    ends: bool = False


@dataclass(frozen=True)
class Notice:
    """What happened to a camera and is worth telling at once.

    Attributes:
        camera: name of the camera in ``line.yml``.
        state: what it is now.
        message: one sentence.
    """

    camera: str
    state: Literal["connected", "waiting", "misconfigured"]
    message: str


@dataclass(frozen=True)
class LastSeen:
    """The last frame of a camera that was stored.

    Attributes:
        frame_id: the camera's own count, made to go on for ever; None if it counts nothing.
        exposed: seconds of UTC since 1970; None if not known.
        position_m: along the strip; None if not known.
        interval: seconds between its frames, the median of the last ones; None if not known.
    """

    frame_id: int | None
    exposed: float | None
    position_m: float | None
    interval: float | None = None
