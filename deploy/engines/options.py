"""How an engine is to be built: the sizes it is tuned for, memory, compatibility, DLA."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...core.errors import UsageError

HardwareCompatibility = Literal["none", "same_compute_capability", "ampere_plus"]
Count = Annotated[int, Field(ge=1, le=65536)]
_MOST_PROFILES = 16


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Span(_Model):
    """The smallest, the most usual and the largest value of one dimension."""

    least: Count
    usual: Count
    most: Count

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if not self.least <= self.usual <= self.most:
            raise ValueError(f"{self} does not grow from least to most")
        return self

    def __contains__(self, value: int) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"{self.least}:{self.usual}:{self.most}"

    @property
    def fixed(self) -> bool:
        """Whether only one value is possible."""
        return self.least == self.most

    @property
    def corners(self) -> tuple[int, int, int]:
        """Least, usual, most."""
        return self.least, self.usual, self.most


class Profile(_Model):
    """One optimisation profile: the shapes that an engine takes, and the one it is tuned for.

    ``height`` and ``width`` are of the graph's input in pixels.
    """

    batch: Span
    height: Span
    width: Span

    def shapes(self, declared: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The least, usual and largest shape of the graph's input.

        Args:
            declared: the input's shape in the network, [B, H, W] or [B, H, W, 3]; -1 is a dimension that may vary.

        Raises:
            UsageError: if the graph fixes a dimension at another value than the profile.
        """
        spans = (self.batch, self.height, self.width)
        for name, length, span in zip(("batch", "height", "width"), declared, spans, strict=False):
            if length != -1 and span.corners != (length, length, length):
                raise UsageError(
                    f"The graph's {name} is fixed at {length}, so an engine cannot have {name} {span}. "
                    f"Leave it out, or export the graph with a {name} that may vary."
                )
        rest = declared[3:]
        least, usual, most = (tuple(span.corners[corner] for span in spans) + rest for corner in range(3))
        return least, usual, most


class BuildOptions(_Model):
    """What an engine is built for; two engines of one graph are alike if their options are.

    Attributes:
        profiles: the shapes, one optimisation profile each.
        workspace_mib: the most memory a layer may use while it works; None is all the GPU has.
        optimization_level: how long the builder searches, 0 to 5; None is TensorRT's own choice.
        version_compatible: whether later TensorRTs of the same major version may load it.
        hardware_compatibility: which other GPUs may load it.
        dla_core: the deep learning accelerator that runs what it can (Jetson); None is the GPU alone.
        tf32: whether fp32 convolutions may round their inputs to TF32.
    """

    profiles: tuple[Profile, ...] = Field(min_length=1, max_length=_MOST_PROFILES)
    workspace_mib: int | None = Field(default=None, ge=1, le=1 << 20)
    optimization_level: int | None = Field(default=None, ge=0, le=5)
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"
    dla_core: int | None = Field(default=None, ge=0, le=15)
    tf32: bool = False

    @model_validator(mode="after")
    def _dla_knows_one_shape(self) -> BuildOptions:
        spans = [span for profile in self.profiles for span in (profile.batch, profile.height, profile.width)]
        if self.dla_core is not None and not all(span.fixed for span in spans):
            raise ValueError("a DLA takes one shape only: give it --batch 1")
        return self

    def profile_for(self, batch: int, height: int, width: int) -> int | None:
        """The index of the narrowest profile that takes a shape; None if none does."""
        fitting = [
            (profile.batch.most - profile.batch.least, profile.batch.most, index)
            for index, profile in enumerate(self.profiles)
            if batch in profile.batch and height in profile.height and width in profile.width
        ]
        return min(fitting)[2] if fitting else None

    @property
    def largest_batch(self) -> int:
        """The most pictures one call takes."""
        return max(profile.batch.most for profile in self.profiles)


#: The most that TensorRT's TopK takes, for the best places and for the detections of a picture alike.
MOST_TOPK = 3840
#: Tuned for one picture at a time, the line's case, and good for up to eight.
DEFAULT_BATCH = Span(least=1, usual=1, most=8)


def fixed_span(value: int) -> Span:
    """A dimension that has one value only."""
    return Span(least=value, usual=value, most=value)


def build_options(
    size: tuple[int, int],
    *,
    batches: tuple[Span, ...] = (),
    sizes: tuple[tuple[Span, Span], ...] = (),
    **others: Any,
) -> BuildOptions:
    """Options for a bundle whose input is ``size`` (width, height), with a profile for every batch at every size.

    Raises:
        UsageError: naming the first that does not fit.
    """
    try:
        return BuildOptions(profiles=make_profiles(batches, sizes, size), **others)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        message = fault["msg"].removeprefix("Value error, ")
        place = f" ({fault['loc'][0]})" if fault["loc"] else ""
        raise UsageError(f"No engine can be built like that: {message}{place}.") from error


def make_profiles(
    batches: tuple[Span, ...], sizes: tuple[tuple[Span, Span], ...], size: tuple[int, int]
) -> tuple[Profile, ...]:
    """A profile for every batch span at every size.

    Args:
        batches: none given is :data:`DEFAULT_BATCH`.
        sizes: width and height, for graphs whose size may vary; none given is ``size``.
        size: width and height of the bundle's input in pixels.
    """
    chosen = sizes or ((fixed_span(size[0]), fixed_span(size[1])),)
    return tuple(
        Profile(batch=batch, height=height, width=width)
        for width, height in chosen
        for batch in batches or (DEFAULT_BATCH,)
    )


def parse_batch(text: str) -> Span:
    """``"4"`` (exactly four), ``"1:8"`` (tuned for eight) or ``"1:2:8"`` (tuned for two).

    Raises:
        UsageError: if it is none of these.
    """
    numbers = _numbers(text, r"\d{1,5}")
    if numbers is None:
        raise UsageError(
            f"A batch is a number, LEAST:MOST or LEAST:USUAL:MOST, as in 1:1:8; '{text}' is none of these."
        )
    return _span(text, [int(number) for number in numbers])


def parse_size(text: str) -> tuple[Span, Span]:
    """Width and height: ``"200x200"``, or two or three of them from least to most, as in ``"200x200:4096x1024"``.

    Raises:
        UsageError: if it is none of these.
    """
    sizes = _numbers(text, r"\d{1,5}x\d{1,5}")
    if sizes is None:
        raise UsageError(
            f"A size is WIDTHxHEIGHT, or LEAST:MOST or LEAST:USUAL:MOST of them, as in 200x200:4096x1024; "
            f"'{text}' is none of these."
        )
    widths, heights = zip(*([int(side) for side in size.split("x")] for size in sizes), strict=True)
    return _span(text, list(widths)), _span(text, list(heights))


def _numbers(text: str, pattern: str) -> list[str] | None:
    parts = text.strip().lower().split(":")
    return parts if len(parts) <= 3 and all(re.fullmatch(pattern, part) for part in parts) else None


def _span(text: str, values: list[int]) -> Span:
    least, most = values[0], values[-1]
    usual = values[1] if len(values) == 3 else most
    if not 1 <= least <= usual <= most:
        raise UsageError(f"'{text}' does not grow from 1 or more to its largest value.")
    if most > 65536:
        raise UsageError(f"'{text}' goes beyond 65,536, the most that is taken.")
    return Span(least=least, usual=usual, most=most)
