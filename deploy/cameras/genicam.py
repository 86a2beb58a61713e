"""What is asked of a GenICam camera, whichever library it is reached through."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .encoder import ENCODER_BITS

FeatureValue = bool | int | float | str


@dataclass(frozen=True)
class GenicamSettings:
    """What is set before acquisition begins; None leaves the camera as it is.

    Attributes:
        pixel_format: a name of GenICam's.
        region: x, y, width and height in pixels.
        exposure_us: microseconds.
        gain: in the camera's unit.
        frame_rate: frames a second, of a free-running camera.
        trigger: what starts an exposure.
        trigger_source: GenICam name of the input of a hardware or encoder trigger: ``Line1``.
        trigger_hz: rate of a software trigger, a second.
        packet_bytes: of GigE Vision.
        buffers: frames the driver may hold.
        encoder_feature: name of the count of the strip's encoder, read as each frame is fetched; None if there is none.
        encoder_chunk: name of that count among each frame's chunk data, which is that of its exposure; None if there is
            none.
        encoder_bits: of the counter.
        features: any others by name, set last and in their order.
    """

    pixel_format: str | None = None
    region: tuple[int, int, int, int] | None = None
    exposure_us: float | None = None
    gain: float | None = None
    frame_rate: float | None = None
    trigger: Literal["free", "software", "hardware", "encoder"] = "free"
    trigger_source: str | None = None
    trigger_hz: float | None = None
    packet_bytes: int | None = None
    buffers: int = 16
    encoder_feature: str | None = None
    encoder_chunk: str | None = None
    encoder_bits: int = ENCODER_BITS
    features: Mapping[str, FeatureValue] = field(default_factory=dict)


def nearest_feature(name: str, known: Collection[str]) -> str:
    """What to say of a feature that a camera has not: the nearest it has. Cameras have hundreds, so no list."""
    close = difflib.get_close_matches(name, known, 1)
    return f" Did you mean '{close[0]}'?" if close else f" It has {len(known)} others."


def chunk_selector(chunk: str) -> str:
    """The entry of GenICam's ``ChunkSelector`` for a value of the chunk data: ``EncoderValue`` for
    ``ChunkEncoderValue``."""
    return chunk.removeprefix("Chunk")
