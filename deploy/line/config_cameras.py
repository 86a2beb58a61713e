"""The cameras of a line in ``line.yml``: a section each, of one of several types."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from ...core.passwords import ENCODED
from ...core.settings.section import Section

#: A name that fits into topics, file names and labels of metrics.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,60}$")]
Positive = Annotated[float, Field(gt=0, le=1e9)]
#: A name or an address, IPv6 in brackets, and a port.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]@]+)(?::[0-9]{1,5})?")
FeatureValue = Annotated[
    bool | int | float | str, Field(json_schema_extra={"takes": "a number, a text, true or false"})
]


class ScaleSection(Section):
    """Millimetres of the strip in a pixel."""

    across: Positive = Field(description="millimetres in a pixel across the strip, the picture's x")
    along: Positive = Field(description="millimetres in a pixel along the strip, the picture's y")


class LineScanSection(Section):
    """A line scan camera's lines as frames."""

    height: int = Field(1024, ge=16, le=16_384, description="lines in a frame")
    overlap: int = Field(
        64, ge=0, le=8_192, description="lines that a frame has in common with the one before; at most half of height"
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> LineScanSection:
        if self.overlap * 2 > self.height:
            raise ValueError(f"overlap ({self.overlap}) must be at most half of height ({self.height})")
        return self


class _Camera(Section):
    name: Name = Field(description="in messages, metrics and the store")
    mm_per_pixel: Positive | ScaleSection | None = Field(
        None,
        description="scale on the strip",
        json_schema_extra={"takes": "a number above 0, or a section with across and along"},
    )
    across_mm: float = Field(0.0, ge=-1e6, le=1e6, description="where its left edge lies on the strip, in millimetres")
    along_mm: float = Field(
        0.0, ge=-1e6, le=1e6, description="how far upstream of the first camera it looks, in millimetres"
    )
    side: Literal["top", "bottom"] = Field(
        "top", description="of the strip that it sees; defects of two sides are never joined"
    )
    line_scan: LineScanSection | None = Field(None, description="for a line scan camera: how lines become frames")
    silence_seconds: float | None = Field(
        10.0,
        ge=0.1,
        le=86_400,
        description="without a frame, then the connection is made anew; null where it is triggered",
    )
    reconnect_seconds: float = Field(10.0, ge=0.5, le=3600, description="at most, between two tries to connect")

    @property
    def has_scale(self) -> bool:
        """Whether sizes in millimetres are known."""
        return self.mm_per_pixel is not None

    @property
    def scale(self) -> tuple[float, float] | None:
        """Millimetres in a pixel across and along the strip; None if not known."""
        if self.mm_per_pixel is None:
            return None
        if isinstance(self.mm_per_pixel, ScaleSection):
            return self.mm_per_pixel.across, self.mm_per_pixel.along
        return self.mm_per_pixel, self.mm_per_pixel


class GenicamCamera(_Camera):
    """What GenICam cameras have in common."""

    pixel_format: str | None = Field(None, max_length=60, description="a GenICam name; as the camera is set")
    region: tuple[int, int, int, int] | None = Field(None, description="x, y, width and height in pixels; as it is set")
    exposure_us: Positive | None = Field(None, description="microseconds; as it is set")
    gain: float | None = Field(None, ge=-1000, le=1000, description="as it is set")
    frame_rate: Positive | None = Field(None, description="frames a second of a free-running camera; as it is set")
    trigger: Literal["free", "software", "hardware", "encoder"] = Field("free", description="what starts an exposure")
    trigger_source: str | None = Field(None, max_length=60, description="GenICam name of the input: Line1, Encoder0")
    trigger_hz: Positive | None = Field(None, description="rate of a software trigger, a second")
    features: dict[str, FeatureValue] = Field(default_factory=dict, description="any other GenICam features by name")
    buffers: int = Field(16, ge=2, le=1000, description="frames the driver may hold")


class AravisCamera(GenicamCamera):
    """A GigE Vision or USB3 Vision camera through Aravis."""

    type: Literal["aravis"]
    id: str | None = Field(None, max_length=200, description="as 'temper deploy cameras' lists it")
    address: str | None = Field(None, max_length=200, description="IP address or name, instead of the id")
    packet_bytes: int | None = Field(None, ge=576, le=65_500, description="of GigE Vision; jumbo frames take 8996")


class GentlCamera(GenicamCamera):
    """A camera of a GenTL producer, the .cti file of its maker."""

    type: Literal["gentl"]
    producer: str = Field(description="the .cti file")
    id: str | None = Field(None, max_length=200, description="the device's id or serial number; the first one")


class StreamCamera(_Camera):
    """An RTSP camera."""

    type: Literal["stream"]
    url: str = Field(
        min_length=1,
        max_length=2000,
        description="rtsp://user:${PASSWORD}@host/path; in a password write / as %2F, and so on",
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="how the pictures come")
    open_seconds: Positive = Field(5.0, description="that opening may take")
    read_seconds: Positive = Field(5.0, description="that a picture may take")

    @field_validator("url")
    @classmethod
    def _is_of_a_stream(cls, url: str) -> str:
        if not url.startswith(("rtsp://", "rtsps://")):
            raise ValueError("a stream's address begins with rtsp:// or rtsps://; a video file goes to --source")
        # as FFmpeg splits it: a raw / in a password would make the rest of it a path, the user a host
        authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
        if not _HOST.fullmatch(authority.rpartition("@")[2]) or " " in url:
            raise ValueError(f"that has no host, or a port that is no number; in a password {ENCODED}")
        return url


class V4l2Camera(_Camera):
    """A camera of Video4Linux."""

    type: Literal["v4l2"]
    device: str = Field("/dev/video0", max_length=200, description="the device file")
    size: tuple[int, int] | None = Field(None, description="width and height in pixels; as it is set")
    frame_rate: Positive | None = Field(None, description="frames a second; as it is set")
    pixel_format: str | None = Field(None, max_length=20, description="mjpeg, yuyv422, gray; as it is set")


class FolderCamera(_Camera):
    """A folder that another program writes pictures into."""

    type: Literal["folder"]
    path: str = Field(description="the folder")
    settle_seconds: Positive = Field(0.5, description="that a file must stand still until it is taken for whole")
    give_up_seconds: Positive = Field(10.0, description="after which a file that cannot be read is told as an error")
    afterwards: Literal["keep", "move", "delete"] = Field(
        "keep", description="what becomes of a file once its verdict is stored"
    )
    silence_seconds: float | None = Field(
        None, ge=0.1, le=86_400, description="without a file, then the folder is opened anew"
    )


def _kind(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


CameraSection = Annotated[
    Annotated[AravisCamera, Tag("aravis")]
    | Annotated[GentlCamera, Tag("gentl")]
    | Annotated[StreamCamera, Tag("stream")]
    | Annotated[V4l2Camera, Tag("v4l2")]
    | Annotated[FolderCamera, Tag("folder")],
    Discriminator(_kind),
]
