"""``plan.yml``: everything a plan rests on, in a file that can be run again when a new measurement arrives.

Options of ``temper plan`` have the same names and win over the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ...core.errors import UsageError
from ...core.settings.fields import FieldPath
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section
from .demand import Due
from .distribution import HOST_MS, TAIL
from .optics import LINKS, MOST_CAMERAS, Geometry, Link, Scan, Sensor
from .units import DISTANCE, LENGTH, POWER, SPEED, TIME, Dimension, parse_quantity, parse_share

#: The names in ``optics.LINKS``.
LinkName = Literal["GigE", "USB3", "5GigE", "CXP-6", "10GigE", "CXP-12", "CXP-6x4", "CXP-12x4"]
#: Without these there is no plan.
REQUIRED = ("bundle", "strip_width", "line_speed", "defect")
#: How the command line, where there is no file, is called in messages.
COMMAND_LINE = "temper plan"


def _text(value: Any) -> Any:
    """A bare number as the text it was: what it lacks is a unit, not quotes."""
    return f"{value:.10g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _check(dimension: Dimension) -> Callable[[str], str]:
    def check(text: str) -> str:
        parse_quantity(text, dimension)
        return text

    return check


def _check_share(text: str) -> str:
    parse_share(text)
    return text


def _takes(what: str) -> Any:
    return Field(max_length=60, json_schema_extra={"takes": what})


def _takes_quantity(dimension: Dimension) -> Any:
    return _takes(f"{dimension.noun}, such as {dimension.example}")


Length = Annotated[str, BeforeValidator(_text), AfterValidator(_check(LENGTH)), _takes_quantity(LENGTH)]
Distance = Annotated[str, BeforeValidator(_text), AfterValidator(_check(DISTANCE)), _takes_quantity(DISTANCE)]
Speed = Annotated[str, BeforeValidator(_text), AfterValidator(_check(SPEED)), _takes_quantity(SPEED)]
Time = Annotated[str, BeforeValidator(_text), AfterValidator(_check(TIME)), _takes_quantity(TIME)]
Power = Annotated[str, BeforeValidator(_text), AfterValidator(_check(POWER)), _takes_quantity(POWER)]
Share = Annotated[
    str, BeforeValidator(_text), AfterValidator(_check_share), _takes("a share from 0 % to below 100 %, such as 30%")
]


class PlanRecipe(Section):
    """What a plan rests on."""

    bundle: str = Field(description="the bundle that shall run")
    strip_width: Length = Field(description="width of the strip")
    line_speed: Speed = Field(description="speed of the strip")
    defect: Length = Field(description="the smallest defect that has to be found, its shorter side")
    pixels_per_defect: float = Field(
        4.0, ge=1, le=1000, description="pixels that the smallest defect covers in each direction"
    )
    resolution: Length | None = Field(
        None, description="length of a pixel on the strip; null: the coarsest that shows the defect"
    )
    scan: Scan = Field("line", description="kind of the cameras: line or area")
    cameras: int | Literal["auto"] = Field(
        "auto",
        description="cameras side by side; auto: the fewest",
        json_schema_extra={"takes": f"a whole number from 1 to {MOST_CAMERAS}, or auto"},
    )
    sensor: Annotated[str, BeforeValidator(_text)] | None = Field(
        None,
        description="pixels of a sensor, 8192 or 2448x2048; null: the smallest common one",
        json_schema_extra={"takes": "pixels across such as 8192, or of an area camera width and height: 2448x2048"},
    )
    link: LinkName | None = Field(None, description="that carries the pixels; null: the first that can")
    ports: int | None = Field(None, ge=1, le=1000, description="camera links that a device has; null: enough")
    lens_overlap: Length | None = Field(
        None, description="of the strip, that two neighbouring cameras both see; null: as wide as tile_overlap"
    )
    tile_overlap: int = Field(32, ge=0, le=8192, description="pixels that neighbouring tiles have in common")
    frame_height: int | None = Field(
        None, ge=16, le=16_384, description="lines in a frame of a line scan camera; null: a tile's height"
    )
    frame_overlap: int = Field(32, ge=0, le=8192, description="lines that a frame has in common with the one before")
    deadline: Time | None = Field(
        None, description="from a frame's arrival to when its result is due; null: the next frame's arrival"
    )
    reach: Distance | None = Field(
        None, description="instead of deadline: way from the camera to what acts on the result"
    )
    margin: Share = Field("30%", description="share of a device's time, and of the deadline, that stays free at p99")
    queue: int = Field(16, ge=1, le=10_000, description="frames that may wait in a device")
    measured: tuple[str, ...] = Field(
        (), description="folders of 'temper bench run' or 'bench remote': DIR, or DIR=DEVICE@MODE to name the device"
    )
    estimated: tuple[str, ...] = Field((), description="files of 'temper estimate --out'")
    estimate: tuple[str, ...] = Field((), description="devices to estimate now: DEVICE or DEVICE@MODE")
    precision: tuple[str, ...] = Field((), description="graphs to plan with, by precision or variant's name; none: all")
    batch: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1,), description="pictures per call of what is estimated now"
    )
    devices: str | None = Field(None, description="file of devices of your own, for estimate")
    tail: float = Field(TAIL, ge=1, le=100, description="p99 by median that estimates are given")
    host_ms: float = Field(
        HOST_MS,
        ge=0,
        le=1000,
        description="milliseconds per picture that estimates are given for the device's processor: preparing it, "
        "reading its answer",
    )
    max_power: Power | None = Field(None, description="power of all devices together; null: any")
    prices: str | None = Field(None, description="file of prices and watts by device")
    seed: int = Field(0, ge=0, le=2**31, description="seed of the simulation")

    @field_validator("cameras")
    @classmethod
    def _cameras_in_range(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= MOST_CAMERAS:
            raise ValueError(f"it takes a whole number from 1 to {MOST_CAMERAS}, or auto")
        return value

    @field_validator("sensor")
    @classmethod
    def _sensor_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            parse_sensor(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> PlanRecipe:
        if self.deadline is not None and self.reach is not None:
            raise ValueError("deadline and reach both say when a result is due; leave one out")
        if self.sensor is not None:
            area = parse_sensor(self.sensor).height is not None
            if area != (self.scan == "area"):
                wanted = (
                    "width and height, such as 2448x2048" if self.scan == "area" else "its pixels alone, such as 8192"
                )
                raise ValueError(f"sensor is '{self.sensor}', and a camera of scan {self.scan} has {wanted}")
        return self

    def geometry(self, bytes_per_pixel: int) -> Geometry:
        """What has to be seen, in the units of :class:`~.optics.Geometry`."""
        return Geometry(
            strip_mm=parse_quantity(self.strip_width, LENGTH),
            speed_m_s=parse_quantity(self.line_speed, SPEED),
            defect_mm=parse_quantity(self.defect, LENGTH),
            pixels_per_defect=self.pixels_per_defect,
            resolution_mm=_maybe(self.resolution, LENGTH),
            scan=self.scan,
            cameras=None if isinstance(self.cameras, str) else self.cameras,
            sensor=None if self.sensor is None else parse_sensor(self.sensor),
            link=self._link(),
            lens_overlap_mm=_maybe(self.lens_overlap, LENGTH),
            tile_overlap=self.tile_overlap,
            frame_height=self.frame_height,
            frame_overlap=self.frame_overlap,
            bytes_per_pixel=bytes_per_pixel,
        )

    @property
    def due(self) -> Due:
        """When a result is due."""
        return Due(_maybe(self.deadline, TIME), _maybe(self.reach, DISTANCE))

    @property
    def max_power_w(self) -> float | None:
        """Of all devices together, in watts."""
        return _maybe(self.max_power, POWER)

    def _link(self) -> Link | None:
        return next((link for link in LINKS if link.name == self.link), None)


class _PlanSource(SettingsSource):
    """A file of a plan under the options of a command line."""

    def place(self, path: FieldPath) -> str:
        """Where a field was written: the option, the line, or the file."""
        if path and path[:1] in self.overrides:
            return self.overrides[path[:1]]
        return super().place(path)


def read_recipe(path: Path | None, options: Mapping[str, Any]) -> PlanRecipe:
    """A plan's recipe from a file, options, or both.

    Args:
        path: of a ``plan.yml``; None if there are only options.
        options: by field; they win over the file.

    Raises:
        UsageError: naming every mistake with its line or option.
    """
    if path is None:
        source = _PlanSource(COMMAND_LINE, {})
    else:
        read = SettingsSource.read(path, "plan", " 'temper plan ... --write plan.yml' writes one.")
        source = _PlanSource(read.name, read.values, read.lines)
    for name, value in options.items():
        source.values[name] = value
        source.overrides[(name,)] = option_of(name)
    missing = [option_of(name) for name in REQUIRED if source.values.get(name) is None]
    if missing:
        raise UsageError(
            f"A plan needs {' and '.join([', '.join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)}, as "
            "options or as fields of a plan.yml."
        )
    return source.checked(PlanRecipe, [])


def option_of(field: str) -> str:
    """The option that sets a field."""
    return f"--{field.replace('_', '-')}"


def parse_sensor(text: str) -> Sensor:
    """Read ``8192`` or ``2448x2048``.

    Raises:
        ValueError: half a sentence.
    """
    matched = re.fullmatch(r"\s*(\d{2,5})\s*(?:[xX×]\s*(\d{2,5}))?\s*", text)
    if matched is None or min(int(side) for side in matched.groups() if side) < 16:
        raise ValueError("write pixels across, such as 8192, or of an area camera width and height: 2448x2048")
    return Sensor(int(matched[1]), int(matched[2]) if matched[2] else None)


def _maybe(text: str | None, dimension: Dimension) -> float | None:
    return None if text is None else parse_quantity(text, dimension)
