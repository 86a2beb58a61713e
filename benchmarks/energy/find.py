"""The sensors of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...core.errors import TemperError
from ..candidate import PADDLE
from .jetson import is_jetson, open_jetson
from .nvml import open_gpus
from .processor import ProcessorSensor
from .sensor import Sensor

#: Runtimes that compute on the processor alone; all others keep a GPU busy, too.
PROCESSOR_RUNTIMES = ("onnxruntime", "openvino", PADDLE)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        sensors: open; each has something to tell.
        absences: of each kind of sensor that is not there (GPU, processor, and on a Jetson the module), why, in a
            sentence.
    """

    sensors: tuple[Sensor, ...]
    absences: dict[str, str]

    def for_runtime(self, runtime: str) -> list[Sensor]:
        """Those that tell of the parts of the machine that a runtime keeps busy: a processor's runtime no GPU."""
        on_gpu = runtime not in PROCESSOR_RUNTIMES
        return [sensor for sensor in self.sensors if on_gpu or sensor.info.part != "gpu"]

    def sentence(self, runtimes: Sequence[str]) -> str | None:
        """Why some runtimes have no power or temperature to show; None where all have."""
        blind = [name for name in dict.fromkeys(runtimes) if not any(map(tells_heat, self.for_runtime(name)))]
        if not blind:
            return None
        reasons = "; ".join(f"{kind}: {reason.rstrip('.')}" for kind, reason in self.absences.items())
        return f"No energy and heat of what runs on {', '.join(blind)}: no sensor tells it here ({reasons})."


def tells_heat(sensor: Sensor) -> bool:
    """Whether a sensor tells power or temperature, so that a run for its sake is worth its time."""
    try:
        return sensor.info.method is not None or sensor.read().temperature_c is not None
    except TemperError:
        return False


@contextlib.contextmanager
def sensors_here() -> Iterator[Found]:
    """Open all sensors of this machine, and close them at the end."""
    looks: dict[str, Callable[[], Sequence[Sensor]]] = {
        "GPU": open_gpus,
        "processor": lambda: [ProcessorSensor()],
    }
    if is_jetson():
        looks["module"] = lambda: [open_jetson()]
    sensors: list[Sensor] = []
    absences = {}
    with contextlib.ExitStack() as stack:
        for kind, look in looks.items():
            try:
                there = look()
                for sensor in there:
                    stack.callback(sensor.close)
                telling = [sensor for sensor in there if sensor.read().tells]
            except TemperError as error:
                absences[kind] = str(error)
                continue
            sensors += telling
            if not telling:
                absences[kind] = "It tells neither power nor heat."
        yield Found(tuple(sensors), absences)
