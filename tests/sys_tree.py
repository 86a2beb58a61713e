"""A tree like /sys, with a processor's sensors in it whose counters a thread moves on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from temper.core.files import write_text


class SysTree:
    """Zones of RAPL, a thermometer, clocks and a throttle counter below a folder.

    Args:
        folder: to make them in.
        full: ``max_energy_range_uj`` of every zone.
        zones: the name of each, by folder.
    """

    def __init__(self, folder: Path, full: int = 262_143_328_850, zones: dict[str, str] | None = None) -> None:
        self.folder, self.full = folder, full
        names = {"intel-rapl:0": "package-0"} if zones is None else zones
        self.energy = {folder / "class/powercap" / zone / "energy_uj": 0 for zone in names}
        for file, name in zip(self.energy, names.values(), strict=True):
            file.parent.mkdir(parents=True)
            (file.parent / "name").write_text(f"{name}\n")
            (file.parent / "max_energy_range_uj").write_text(f"{full}\n")
            file.write_text(f"{0:020d}\n")

    def set_energy(self, microjoules: int) -> None:
        """Set the counter of every zone."""
        text = f"{microjoules % (self.full + 1):020d}\n".encode()
        for file in self.energy:
            with file.open("r+b", buffering=0) as there:  # in place, so that a reader finds the old or the new
                there.write(text)

    def with_heat(self, celsius: float = 50.0, mhz: float = 3000.0, throttled: int | None = 0) -> None:
        """Add or change a thermometer, clocks of two cores and, unless None, a counter of throttling."""
        values = {
            "class/hwmon/hwmon0/name": "nvme",
            "class/hwmon/hwmon0/temp1_input": "99000",
            "class/hwmon/hwmon1/name": "coretemp",
            "class/hwmon/hwmon1/temp1_input": f"{1000 * celsius:.0f}",
            "class/hwmon/hwmon1/temp2_input": f"{1000 * celsius - 3000:.0f}",
            "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": f"{1000 * (mhz - 100):.0f}",
            "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": f"{1000 * (mhz + 100):.0f}",
        }
        if throttled is not None:
            values["devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"] = str(throttled)
        for name, value in values.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, f"{value}\n")


class Moving:
    """Moves the counters of a tree on at a constant power while a ``with`` block lasts.

    Args:
        tree: whose counters.
        watts: of every zone.
    """

    def __init__(self, tree: SysTree, watts: float) -> None:
        self._tree, self._watts = tree, watts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._move, daemon=True)

    def __enter__(self) -> Moving:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _move(self) -> None:
        while not self._ended.wait(0.001):
            self._tree.set_energy(int(1e6 * self._watts * (time.monotonic() - self._began)))
