"""The processor's sensors, as Linux shows them: RAPL's energy counters, temperatures, clocks, throttling.

RAPL (Running Average Power Limit) counts the energy of each package in microjoules, on Intel processors and, since
Linux 5.8, on AMD's; ``/sys/class/powercap/intel-rapl:N`` shows it for both. The counters of ``psys`` (the platform) and
of ``core`` and ``uncore`` (parts of a package) are left out, as they count the same energy again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import TemperError
from .integrate import WrappingCounter
from .rows import SensorInfo
from .sensor import Reading

SYS = Path("/sys")
#: A counter loses nothing between two readings; temperatures and clocks change slowly.
INTERVAL_SECONDS = 0.5
#: Of hwmon: drivers that tell a processor's temperature.
_THERMOMETERS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "scpi_sensors")
#: Of thermal zones, where hwmon has none of them.
_ZONE_TYPES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal")
_COUNTED = ("package", "dram")


@dataclass
class _Zone:
    name: str
    file: Path
    counter: WrappingCounter


class ProcessorSensor:
    """Energy of the processor's packages, its hottest temperature, mean clock and thermal throttling.

    Args:
        sys: where sysfs is mounted; None is :data:`SYS`.

    Raises:
        TemperError: if it tells nothing of all that, or RAPL is there and may not be read.
    """

    interval_seconds = INTERVAL_SECONDS

    def __init__(self, sys: Path | None = None) -> None:
        sys = SYS if sys is None else sys
        self._zones = _zones(sys)
        self._throttle_files = sorted(sys.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"))
        self._throttle_count = _total(self._throttle_files)
        self._clock_files = sorted(sys.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._temperature_files = _temperature_files(sys)
        names = [zone.name for zone in self._zones]
        self.info = SensorInfo(
            name="rapl" if names else "processor",
            device=", ".join(names) or "processor",
            covers=_covers(names),
            part="processor",
            method="counter" if names else None,
        )
        if not self.read().tells:
            raise TemperError(
                f"{sys}/class/powercap has no counter of RAPL, and nothing else tells the processor's heat: a virtual "
                "machine, a container without it, or a processor that has none."
            )

    def read(self) -> Reading:
        """Counters, temperature, clock and throttling now.

        Raises:
            TemperError: if a counter is gone.
        """
        joules = None
        if self._zones:
            joules = sum(zone.counter.advance(_counter(zone.file)) for zone in self._zones) / 1e6
        at = time.monotonic()
        temperatures = [value for file in self._temperature_files if (value := _number(file)) is not None]
        clocks = [value for file in self._clock_files if (value := _number(file)) is not None]
        return Reading(
            at=at,
            joules=joules,
            temperature_c=max(temperatures) / 1000 if temperatures else None,
            clock_mhz=sum(clocks) / len(clocks) / 1000 if clocks else None,
            throttle=self._throttle(),
        )

    def close(self) -> None:
        """There is nothing to let go of."""

    def _throttle(self) -> frozenset[str] | None:
        """Intel processors count how often they were too hot; others do not tell."""
        if not self._throttle_files:
            return None
        count, before = _total(self._throttle_files), self._throttle_count
        self._throttle_count = count
        return frozenset({"temperature"}) if count > before else frozenset()


def _zones(sys: Path) -> list[_Zone]:
    zones = []
    for folder in sorted(sys.glob("class/powercap/intel-rapl:*")):
        name = _text(folder / "name") or ""
        file, full = folder / "energy_uj", _number(folder / "max_energy_range_uj")
        if name.startswith(_COUNTED) and file.exists() and full is not None:
            owner = _text(folder.parent / folder.name.rpartition(":")[0] / "name") if name == "dram" else None
            zones.append(_Zone(f"{owner} {name}" if owner else name, file, WrappingCounter(full, _counter(file))))
    return zones


def _covers(names: Iterable[str]) -> str:
    if not names:
        return "the processor's heat and clock, no power"
    memory = any(name.endswith("dram") for name in names)
    return f"processor packages{' and their memory' if memory else ''}; no board, no GPU card, no power supply"


def _counter(file: Path) -> int:
    """What a counter shows, in microjoules.

    Raises:
        TemperError: if it may not be read, or is gone.
    """
    try:
        return int(file.read_text(encoding="ascii"))
    except PermissionError as error:
        raise TemperError(
            f"{file} may be read by root alone; 'sudo chmod a+r {file.parent.parent}/intel-rapl:*/energy_uj' opens it "
            "until the next restart."
        ) from error
    except (OSError, ValueError) as error:
        raise TemperError(f"The energy counter {file} cannot be read any more: {error}.") from error


def _temperature_files(sys: Path) -> list[Path]:
    chips = [folder for folder in sorted(sys.glob("class/hwmon/hwmon*")) if _text(folder / "name") in _THERMOMETERS]
    files = [file for chip in chips for file in sorted(chip.glob("temp*_input"))]
    if files:
        return files
    zones = sorted(sys.glob("class/thermal/thermal_zone*"))
    return [zone / "temp" for zone in zones if _text(zone / "type") in _ZONE_TYPES]


def _total(files: Iterable[Path]) -> int:
    return sum(_number(file) or 0 for file in files)


def _number(file: Path) -> int | None:
    text = _text(file)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
