"""The table of devices: what their makers say of them, each figure with its source; users add their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ...core.errors import UsageError, nearest
from ...core.settings.file import SettingsSource
from ...core.settings.section import Section
from ...core.settings.yaml_text import parse_yaml

TABLE_NAME = "devices.yml"
Positive = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(gt=0, le=1)]
#: What a figure's source begins with where nobody has looked it up.
NOT_LOOKED_UP = "not looked up"
#: Figures that have to have a source.
SOURCED = ("tops", "bandwidth_gb_s", "memory_gb", "clock_mhz", "multiprocessors")


class ModeSection(Section):
    """A power mode."""

    name: str = Field(min_length=1, max_length=40, description="as the device calls it")
    watts: Positive | None = Field(None, description="that the maker says the mode allows")
    clock_share: Share = Field(1.0, description="of the device's clock")
    bandwidth_share: Share = Field(1.0, description="of its memory's bandwidth")
    multiprocessor_share: Share = Field(1.0, description="of its multiprocessors that are powered")


class TopsSection(Section):
    """Operations per second of matrix units, 10^12, dense: never with structured sparsity."""

    int8: Positive
    fp16: Positive
    fp32: Positive = Field(description="TF32 where the matrix units have it: runtimes use it by default")


class DeviceSection(Section):
    """A device."""

    name: str = Field(min_length=1, max_length=80)
    kind: Literal["gpu"] = "gpu"
    architecture: Literal["volta", "turing", "ampere", "ada", "hopper", "blackwell"]
    memory_gb: Positive
    shared_memory: bool = Field(description="whether the processor uses it too, as on a Jetson")
    bandwidth_gb_s: Positive
    tops: TopsSection
    multiprocessors: int = Field(ge=1, le=1000)
    clock_mhz: Positive = Field(description="that the TOPS are reached at")
    power_modes: tuple[ModeSection, ...] = Field(min_length=1, max_length=20, description="the first is the default")
    sources: dict[str, str]

    @field_validator("power_modes")
    @classmethod
    def _differ(cls, modes: tuple[ModeSection, ...]) -> tuple[ModeSection, ...]:
        names = [mode.name for mode in modes]
        if len(set(names)) < len(names):
            raise ValueError("two modes have one name; give each its own")
        return modes

    @model_validator(mode="after")
    def _every_figure_has_its_source(self) -> DeviceSection:
        without = [name for name in SOURCED if not self.sources.get(name, "").strip()]
        if without:
            raise ValueError(
                f"sources lacks {', '.join(without)}; say where each figure is from, such as the data sheet"
            )
        return self


class TableFile(Section):
    """A file of devices by their keys."""

    devices: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")], DeviceSection]


@dataclass(frozen=True)
class PowerMode:
    """How fast a device may run.

    Attributes:
        name: as the device calls it.
        watts: that the maker says it allows; None where that is not known.
        clock_share: of the device's clock, above 0 to 1.
        bandwidth_share: of its memory's bandwidth.
        multiprocessor_share: of its multiprocessors that are powered.
    """

    name: str
    watts: float | None
    clock_share: float = 1.0
    bandwidth_share: float = 1.0
    multiprocessor_share: float = 1.0


@dataclass(frozen=True)
class Device:
    """What a maker says of a device.

    Attributes:
        key: its name in the table.
        name: how people call it.
        kind: gpu; processors are measured, not estimated.
        architecture: of the GPU.
        memory_gb: in 10^9 bytes.
        shared_memory: whether the processor uses it too.
        bandwidth_gb_s: of the memory, 10^9 bytes a second.
        tops: 10^12 operations a second by precision, dense.
        multiprocessors: of the GPU.
        clock_mhz: that ``tops`` are reached at.
        power_modes: the first is the default.
        sources: of each figure.
    """

    key: str
    name: str
    kind: Literal["gpu"]
    architecture: str
    memory_gb: float
    shared_memory: bool
    bandwidth_gb_s: float
    tops: Mapping[str, float]
    multiprocessors: int
    clock_mhz: float
    power_modes: tuple[PowerMode, ...]
    sources: Mapping[str, str]

    def mode(self, name: str | None) -> PowerMode:
        """A power mode by its name; None gives the default.

        Raises:
            UsageError: if it has none of that name.
        """
        if name is None:
            return self.power_modes[0]
        found = next((mode for mode in self.power_modes if mode.name.lower() == name.lower()), None)
        if found is None:
            raise UsageError(
                f"The device {self.key} has no power mode '{name}'."
                f"{nearest(name, (mode.name for mode in self.power_modes))}"
            )
        return found

    @property
    def watts_of(self) -> Literal["module", "board"]:
        """What a power mode's watts are of: a Jetson's module, or a board without the PC around it."""
        return "module" if self.shared_memory else "board"

    @property
    def looked_up(self) -> bool:
        """Whether every figure was looked up."""
        return not any(source.startswith(NOT_LOOKED_UP) for source in self.sources.values())


def load_devices(own: Path | None = None) -> dict[str, Device]:
    """The devices that Temper knows, and those of a file of the user's, which take the place of others of their key.

    Args:
        own: a YAML file like the table.

    Raises:
        UsageError: naming file, line and field of every mistake.
    """
    text = resources.files(__package__).joinpath(TABLE_NAME).read_text(encoding="utf-8")
    document = parse_yaml(text, TABLE_NAME, "device table")
    devices = _devices(SettingsSource(TABLE_NAME, document.values, document.lines))
    if own is not None:
        hint = " 'temper estimate --write-devices FILE' writes one to start from."
        devices |= _devices(SettingsSource.read(own, "device table", hint))
    return devices


def table_text() -> str:
    """The table as it comes with Temper, as YAML."""
    return resources.files(__package__).joinpath(TABLE_NAME).read_text(encoding="utf-8")


def find_device(devices: Mapping[str, Device], key: str) -> Device:
    """A device by its key.

    Raises:
        UsageError: if it is not in the table, with the nearest name, and how to add one.
    """
    device = devices.get(key.lower())
    if device is None:
        raise UsageError(
            f"There is no device '{key}' in the table.{nearest(key.lower(), devices)} Or add it: "
            "'temper estimate --write-devices my.yml' writes a table to start from, and --devices my.yml reads it."
        )
    return device


def _devices(source: SettingsSource) -> dict[str, Device]:
    table = source.checked(TableFile, [])
    return {key: _device(key, section) for key, section in table.devices.items()}


def _device(key: str, section: DeviceSection) -> Device:
    plain = section.model_dump()
    modes = tuple(PowerMode(**mode) for mode in plain.pop("power_modes"))
    return Device(key=key, power_modes=modes, **plain)
