"""NVIDIA Jetson's own sensors, through jtop, the Python API of ``jetson-stats`` and its service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import MissingDependencyError, TemperError, install_hint
from .rows import SensorInfo
from .sensor import Reading

#: How often jtop's service is asked to read the board's INA3221.
INTERVAL_SECONDS = 0.5
#: The service is the system's; the environment has the library that speaks to it.
JETSON_ADVICE = f"'sudo pip3 install jetson-stats' and a restart set up its service. {install_hint('energy')}"


def is_jetson() -> bool:
    """Whether this is a Jetson."""
    if Path("/etc/nv_tegra_release").exists():
        return True
    try:
        return b"jetson" in Path("/proc/device-tree/model").read_bytes().lower()
    except OSError:
        return False


def open_jetson() -> JetsonSensor:
    """The sensor of this Jetson, connected to jtop's service.

    Raises:
        MissingDependencyError: if jetson-stats is not installed.
        TemperError: if this is no Jetson, or the service does not answer.
    """
    if not is_jetson():
        raise TemperError("This is no Jetson.")
    try:
        from jtop import JtopException, jtop
    except ImportError as error:
        raise MissingDependencyError(
            f"A Jetson's power is read through jetson-stats, which is not installed. {JETSON_ADVICE}"
        ) from error
    client = jtop(interval=INTERVAL_SECONDS)
    try:
        client.start()
        return JetsonSensor(client, JtopException)
    except JtopException as error:
        words = " ".join(str(error).split())
        raise TemperError(
            f"jtop's service does not answer ({words}); 'sudo systemctl restart jtop.service' starts it, and its "
            "library here has to be of the same version."
        ) from error


class JetsonSensor:
    """A Jetson module: power at its input, its hottest temperature, the GPU's clock.

    Args:
        client: jtop, started.
        trouble: the exception that it raises.
        sys: where sysfs is mounted; of throttling jtop says nothing, the kernel does.

    Raises:
        TemperError: if the service gives nothing.
    """

    interval_seconds = INTERVAL_SECONDS

    def __init__(self, client: Any, trouble: type[Exception], sys: Path = Path("/sys")) -> None:
        self._client, self._trouble = client, trouble
        self._currents = sorted(sys.glob("class/hwmon/hwmon*/oc*_event_cnt"))
        self._current_count = sum(map(_number, self._currents))
        types = sorted(sys.glob("class/thermal/cooling_device*/type"))
        self._alerts = [file.parent / "cur_state" for file in types if _text(file).endswith("-throttle-alert")]
        self._wait()
        total = self._total()
        rail = total.get("name")
        measured = rail or f"sum of {', '.join(self._client.power.get('rail', {}))}"
        self.info = SensorInfo(
            name="jetson",
            device=f"jtop, {measured if total else 'no power rails'}",
            covers=(
                "module input: processors, GPU, memory; no carrier board, no camera"
                if rail
                else "sum of the module's measured rails, which leaves out what has none; no carrier board"
            ),
            part="module",
            method="power samples" if total else None,
        )

    def read(self) -> Reading:
        """Power, temperature and clock of the next update.

        Raises:
            TemperError: if the service does not answer any more.
        """
        self._wait()
        power = self._total().get("power")
        temperatures = [one["temp"] for one in self._client.temperature.values() if one.get("online", True)]
        clocks = [gpu.get("freq", {}).get("cur") for gpu in dict(self._client.gpu).values()]
        told = [clock for clock in clocks if clock is not None]
        return Reading(
            at=time.monotonic(),
            watts=None if power is None else power / 1000,  # mW
            temperature_c=max(temperatures, default=None),
            clock_mhz=max(told) / 1000 if told else None,  # kHz
            throttle=self._throttle(),
        )

    def close(self) -> None:
        """End jtop's thread."""
        self._client.close()

    def _wait(self) -> None:
        """Wait for the next update of the service."""
        try:
            alive = self._client.ok()
        except self._trouble as error:
            raise TemperError(f"jtop's service does not answer any more: {error}.") from error
        if not alive:
            raise TemperError("jtop's service does not answer any more.")

    def _throttle(self) -> frozenset[str] | None:
        """By the alerts of the thermal framework, and the events of the over-current throttling."""
        if not self._alerts and not self._currents:
            return None
        count, before = sum(map(_number, self._currents)), self._current_count
        self._current_count = count
        hot = any(map(_number, self._alerts))
        return frozenset(({"temperature"} if hot else set()) | ({"current"} if count > before else set()))

    def _total(self) -> Mapping[str, Any]:
        total: Mapping[str, Any] = self._client.power.get("tot", {})
        return total


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> int:
    text = _text(file)
    return int(text) if text.isdigit() else 0
