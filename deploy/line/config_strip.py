"""The strip, its tiles and the judging of what is found on it, in ``line.yml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ...core.settings.section import Fraction, Section

Positive = Annotated[float, Field(gt=0, le=1e9)]
Millimetres = Annotated[float, Field(ge=0, le=1e9)]
Point = tuple[float, float]
Severity = Literal["minor", "major", "critical"]


class StripSection(Section):
    """How the strip moves, and how defects on it are followed."""

    by: Literal["nothing", "speed", "frame", "encoder"] = Field(
        "nothing", description="what tells the position: a constant speed, a fixed length for each frame, or an encoder"
    )
    metres_per_second: Positive | None = Field(None, description="the speed, with by: speed")
    metres_per_frame: Positive | None = Field(None, description="the strip's way between two exposures, with by: frame")
    encoder_feature: str | None = Field(
        None,
        max_length=60,
        description="GenICam name of the count, with by: encoder; it is asked for as each frame is fetched; a line "
        "scan camera's lines count by themselves",
    )
    encoder_chunk: str | None = Field(
        None,
        max_length=60,
        description="the same for a count that comes with each frame, as chunk data: ChunkEncoderValue; that of the "
        "exposure itself",
    )
    metres_per_count: Positive | None = Field(None, description="the strip's way in a count, with by: encoder")
    encoder_bits: int = Field(32, ge=8, le=64, description="of the encoder's counter, after which it begins at 0 again")
    merge_mm: float = Field(
        10.0,
        ge=0,
        le=10_000,
        description="the most that may lie between two parts of one defect, on both sides of a frame's edge",
    )
    longest_m: Positive = Field(50.0, description="a longer defect is told in pieces of this length")
    repeats_from_m: Positive = Field(0.3, description="smallest circumference of a roll")
    repeats_to_m: Positive = Field(8.0, description="largest circumference of a roll")
    repeats_tolerance_mm: Positive = Field(15.0, description="how far a repeated defect may be off")
    repeats_times: int = Field(
        4, ge=3, le=100, description="how often a defect has to come before it counts as periodic"
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> StripSection:
        needed: dict[str, tuple[str, ...]] = {
            "speed": ("metres_per_second",),
            "frame": ("metres_per_frame",),
            "encoder": ("metres_per_count",),
        }
        missing = [name for name in needed.get(self.by, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"'by: {self.by}' needs {' and '.join(missing)}")
        if self.encoder_feature is not None and self.encoder_chunk is not None:
            raise ValueError("encoder_feature and encoder_chunk are two ways to one count; give one of them")
        if self.repeats_from_m >= self.repeats_to_m:
            raise ValueError("repeats_from_m must be below repeats_to_m")
        return self

    @property
    def camera_counts(self) -> bool:
        """Whether GenICam cameras tell an encoder's count."""
        return self.encoder_feature is not None or self.encoder_chunk is not None


class TilesSection(Section):
    """How wide pictures are cut before the graph sees them."""

    size: int | tuple[int, int] | None = Field(
        None,
        description="of a tile in the camera's pixels; null inspects each frame whole",
        json_schema_extra={"takes": "a whole number from 16 to 16384, a list of two (width, height)"},
    )
    overlap: int = Field(32, ge=0, le=8_192, description="pixels that neighbouring tiles have in common")

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> TilesSection:
        if self.size is None:
            return self
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if not all(16 <= side <= 16_384 for side in sides):
            raise ValueError("size must be from 16 to 16384")
        if self.overlap * 2 > min(sides):
            raise ValueError("overlap must be at most half of size")
        return self

    @property
    def sides(self) -> tuple[int, int] | None:
        """Width and height of a tile in pixels; None without tiles."""
        if self.size is None:
            return None
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)


class ChecksSection(Section):
    """When a picture is no picture of the strip."""

    black_below: float = Field(8.0, ge=0, le=255, description="grey value; a frame that is darker throughout is black")
    overexposed_above: float = Field(250.0, ge=0, le=255, description="grey value; brighter throughout is overexposed")
    share: Fraction = Field(0.99, description="of the pixels that must be so dark or so bright")
    frozen_after: int = Field(3, ge=0, le=10_000, description="identical frames in a row that are frozen; 0: never")


class ZoneSection(Section):
    """Where nothing counts: a part of a camera's picture, or of the strip's width. A defect's middle decides."""

    camera: str | None = Field(None, max_length=61, description="with points: whose pixels they are in")
    points: tuple[Point, ...] | None = Field(
        None, min_length=2, max_length=100, description="two opposite corners of a box, or the corners of a polygon"
    )
    across_mm: tuple[float, float] | None = Field(
        None, description="from and to, across the strip, instead of a camera's points"
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ZoneSection:
        if (self.camera is None) != (self.points is None) or (self.points is None) == (self.across_mm is None):
            raise ValueError("a zone has either camera and points, or across_mm")
        return self


class SizesSection(Section):
    """From which longest side on, in millimetres, a defect is more severe than minor."""

    major: float | None = Field(None, ge=0, le=1e9, description="from so many mm on; null: never")
    critical: float | None = Field(None, ge=0, le=1e9, description="from so many mm on; null: never")

    @model_validator(mode="after")
    def _ascends(self) -> SizesSection:
        if self.major is not None and self.critical is not None and self.major > self.critical:
            raise ValueError("major must not be above critical")
        return self


_SIZES = "a section with major and critical, ascending, the mm from which on it is that"
SeverityOfClass = Annotated[
    Severity | SizesSection, Field(json_schema_extra={"takes": f"minor, major or critical, or {_SIZES}"})
]


class JudgingSection(Section):
    """What counts as a defect; scores are judged by the bundle's thresholds."""

    smallest_mm: float = Field(0.0, ge=0, le=1e9, description="a defect whose longest side is shorter does not count")
    smallest_mm_by_class: dict[str, Millimetres] = Field(
        default_factory=dict, description="the same for single classes, instead of smallest_mm"
    )
    ignore: tuple[ZoneSection, ...] = Field((), max_length=1000, description="zones of the strip or of a camera")
    severity: dict[str, SeverityOfClass] = Field(
        default_factory=dict, description="by class: one for all, or by size; major where nothing is said"
    )

    @property
    def needs_scale(self) -> bool:
        """Whether it can only be applied where millimetres are known."""
        smallest = (self.smallest_mm, *self.smallest_mm_by_class.values())
        by_size = any(isinstance(one, SizesSection) for one in self.severity.values())
        on_strip = any(zone.across_mm is not None for zone in self.ignore)
        return any(size > 0 for size in smallest) or by_size or on_strip
