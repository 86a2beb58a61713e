"""NVIDIA GPUs through NVML, the library behind ``nvidia-smi``, by NVIDIA's own binding (``nvidia-ml-py``)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import MissingDependencyError, TemperError, install_hint
from .rows import SensorInfo
from .sensor import Reading

if TYPE_CHECKING:
    from types import ModuleType

#: NVML renews power and its counter some ten times a second.
INTERVAL_SECONDS = 0.1
#: Bits of NVML that mean a clock held down; the others (idle, clocks that somebody set, groups) are no throttling.
THROTTLE_REASONS = {
    "nvmlClocksThrottleReasonSwPowerCap": "power limit",
    "nvmlClocksThrottleReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "temperature",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "temperature, by hardware",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power brake",
    "nvmlClocksThrottleReasonBoardLimit": "limit of the board",
    "nvmlClocksThrottleReasonReliability": "reliability of the voltage",
}
#: What the hardware does not have and what this user may not see; anything else is trouble.
_NOT_TOLD = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_FUNCTION_NOT_FOUND",  # of a driver older than the binding
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
)


def load_nvml() -> ModuleType:
    """The binding, its library loaded and initialised; whoever calls shuts it down.

    Raises:
        MissingDependencyError: if the binding is not installed.
        TemperError: if there is no driver, or it does not answer.
    """
    try:
        import pynvml
    except ImportError as error:
        raise MissingDependencyError(
            f"A GPU's power is read through nvidia-ml-py, which is not installed. {install_hint('energy')}"
        ) from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise TemperError(f"NVML tells nothing here, as the NVIDIA driver does not answer: {error}.") from error
    module: ModuleType = pynvml
    return module


def open_gpus(visible: str | None = None) -> list[NvmlSensor]:
    """A sensor for each GPU that a runtime may use.

    Args:
        visible: as ``CUDA_VISIBLE_DEVICES``, which it is read from if None: numbers in the order of the PCI bus or
            UUIDs.

    Raises:
        TemperError: if there are none, or they cannot be asked.
    """
    nvml = load_nvml()
    try:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
        gpus = [NvmlSensor(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        raise TemperError(f"The NVIDIA driver does not say which GPUs there are: {error}.") from error
    chosen = [gpu for gpu in gpus if shown is None or gpu.is_in(shown)]
    if not chosen:
        of_them = f", of {len(gpus)} GPUs" if gpus else ""
        raise TemperError(f"The NVIDIA driver gives this process no GPU{of_them}; look at CUDA_VISIBLE_DEVICES.")
    return chosen


class NvmlSensor:
    """One GPU: energy of its board, temperature, clock of its multiprocessors, throttling.

    Args:
        nvml: the binding, initialised.
        index: of the GPU.
    """

    interval_seconds = INTERVAL_SECONDS

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml = nvml
        self._index = index
        self._device = nvml.nvmlDeviceGetHandleByIndex(index)
        self._uuid = _words(nvml.nvmlDeviceGetUUID(self._device))
        # an older binding lacks the last ones
        known = {name: said for name, said in THROTTLE_REASONS.items() if hasattr(nvml, name)}
        self._reasons: Mapping[int, str] = {getattr(nvml, name): said for name, said in known.items()}
        self._first_mj = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, self._device)
        power = self._ask(nvml.nvmlDeviceGetPowerUsage, self._device)
        counted = self._first_mj is not None
        self.info = SensorInfo(
            name=f"nvml-{index}",
            device=_words(nvml.nvmlDeviceGetName(self._device)),
            covers="GPU board with its memory; no processor, no power supply",
            part="gpu",
            method="counter" if counted else "power samples" if power is not None else None,
        )

    def is_in(self, visible: str) -> bool:
        """Whether a text like ``CUDA_VISIBLE_DEVICES`` names this GPU."""
        names = [name.strip() for name in visible.split(",") if name.strip()]
        return any(name == str(self._index) or (name[:4] == "GPU-" and self._uuid.startswith(name)) for name in names)

    def read(self) -> Reading:
        """Counter or power, temperature, clock and throttling now.

        Raises:
            TemperError: if the driver does not answer any more.
        """
        nvml, device = self._nvml, self._device
        joules = watts = None
        if self._first_mj is not None:
            energy = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, device)
            joules = None if energy is None else (energy - self._first_mj) / 1000
        elif self.info.method is not None:
            power = self._ask(nvml.nvmlDeviceGetPowerUsage, device)
            watts = None if power is None else power / 1000
        at = time.monotonic()
        # the newer name of each first: the older one is to go, and drivers before 535 have no other
        bits = self._ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, device)
        if bits is None:
            bits = self._ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, device)
        temperature = self._ask(nvml.nvmlDeviceGetTemperatureV, device, nvml.NVML_TEMPERATURE_GPU)
        if temperature is None:
            temperature = self._ask(nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU)
        return Reading(
            at=at,
            joules=joules,
            watts=watts,
            temperature_c=temperature,
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, device, nvml.NVML_CLOCK_SM),
            throttle=None if bits is None else frozenset(said for bit, said in self._reasons.items() if bits & bit),
        )

    def close(self) -> None:
        """NVML stays loaded as long as the process: others may use it, too."""

    def _ask(self, function: Callable[..., int], *arguments: Any) -> int | None:
        """A number of NVML's; None where this GPU or its driver does not tell it.

        Raises:
            TemperError: if the driver does not answer any more.
        """
        try:
            return int(function(*arguments))
        except self._nvml.NVMLError as error:
            if error.value in [getattr(self._nvml, name) for name in _NOT_TOLD]:
                return None
            raise TemperError(f"GPU {self._index} does not answer any more: {error}.") from error


def _words(name: str | bytes) -> str:
    """The binding gave bytes before its version 12."""
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else name
