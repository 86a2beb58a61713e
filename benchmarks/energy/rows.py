"""What is kept of energy, heat and endurance: rows of plain data, each with the sensor it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...detection.intervals import Estimate
from ..latency_rows import Summary
from ..subject import STRICT, Kind, Subject

#: Whose energy and heat a sensor tells.
Part = Literal["module", "gpu", "processor"]
#: How energy is come by: a counter of the hardware, or samples of power that are integrated.
Method = Literal["counter", "power samples"]
#: Whether a candidate slowed between its first minute and its last; None where that cannot be said.
Verdict = Literal["slowed", "faster", "no change shown"]


@dataclass(frozen=True)
class SensorInfo:
    """A sensor.

    Attributes:
        name: unlike that of any other sensor of the machine: "nvml-0", "rapl", "processor", "jetson".
        device: what it sits on, as the system calls it.
        covers: whose power it tells, in a few words.
        part: of the machine that it belongs to.
        method: how energy is come by; None where it tells no power, but heat or clocks alone.
    """

    __pydantic_config__ = STRICT

    name: str
    device: str
    covers: str
    part: Part
    method: Method | None


@dataclass(frozen=True)
class Heat:
    """What one sensor told over a stretch of time; None where it does not tell.

    Attributes:
        sensor: name of the sensor.
        watts_mean: energy over the stretch divided by its length.
        temperature_start_c: of the last reading before the stretch.
        temperature_end_c: of the last reading in it.
        temperature_max_c: highest of its readings.
        clock_start_mhz: as the temperature.
        clock_end_mhz: as the temperature.
        throttled: whether any reading told of throttling.
        throttle_reasons: in the words of the reference, sorted.
    """

    __pydantic_config__ = STRICT

    sensor: str
    watts_mean: float | None
    temperature_start_c: float | None
    temperature_end_c: float | None
    temperature_max_c: float | None
    clock_start_mhz: float | None
    clock_end_mhz: float | None
    throttled: bool | None
    throttle_reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnergyRow:
    """What one sensor told while one candidate was run back to back, with nothing else to do.

    Attributes:
        subject: what ran.
        batch: pictures per call.
        threads: of the runtime; None means that the runtime chose.
        sensor: whose figures these are.
        seconds: from the first call to the end of the last.
        frames: pictures that were answered in it.
        readings: of the sensor in it.
        idle_seconds: how long the loaded candidate was watched at rest before.
        watts_idle: mean power meanwhile.
        joules_per_frame: energy over ``seconds`` divided by ``frames``.
        joules_per_frame_above_idle: the same without ``watts_idle`` over ``seconds``.
        heat: power, temperatures, clocks and throttling over ``seconds``.
        other_cpu_share: what other programs used of all processors meanwhile, from 0 to 1.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    batch: int
    threads: int | None
    sensor: SensorInfo
    seconds: float
    frames: int
    readings: int
    idle_seconds: float
    watts_idle: float | None
    joules_per_frame: float | None
    joules_per_frame_above_idle: float | None
    heat: Heat
    other_cpu_share: float
    row: Literal["energy"] = "energy"
    kind: Kind = "measured"


@dataclass(frozen=True)
class SoakMinute:
    """One minute of a soak.

    Attributes:
        seconds: from its first call to the end of its last.
        frames: pictures that were answered.
        frames_per_second: their rate.
        latency: of its calls, end to end; without intervals, as it is one stretch.
        window_ms: mean duration of a call in each of up to twelve equal parts, in order; what the verdict rests on.
        resident_mib: memory of the candidate's process at the end; None where the system does not tell.
        other_cpu_share: what other programs used of all processors meanwhile, from 0 to 1.
        heat: one entry per sensor.
    """

    __pydantic_config__ = STRICT

    seconds: float
    frames: int
    frames_per_second: float
    latency: Summary
    window_ms: tuple[float, ...]
    resident_mib: float | None
    other_cpu_share: float
    heat: tuple[Heat, ...]


@dataclass(frozen=True)
class SoakRow:
    """One candidate run on and on.

    Attributes:
        subject: what ran.
        batch: pictures per call.
        threads: of the runtime; None means that the runtime chose.
        asked_minutes: how many were asked for.
        minute_seconds: how long each is, 60 but in tests.
        sensors: that were read; may be empty.
        minutes: those that were measured whole, in order.
        slowdown: mean duration of a call in the last minute, divided by that in the first, with its interval.
        verdict: whether it slowed, by that interval; None below two minutes, or without an interval.
        complete: whether all minutes asked for were measured.
    """

    __pydantic_config__ = STRICT

    subject: Subject
    batch: int
    threads: int | None
    asked_minutes: int
    minute_seconds: float
    sensors: tuple[SensorInfo, ...]
    minutes: tuple[SoakMinute, ...]
    slowdown: Estimate | None
    verdict: Verdict | None
    complete: bool
    row: Literal["soak"] = "soak"
    kind: Kind = "measured"
