"""Cameras of a GenTL producer, the .cti file that a camera's maker ships, through harvesters."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MissingDependencyError, TemperError, nearest
from ...detection.images import Channels
from ..frames import Cause, Frame
from .base import CameraLost, CameraMisconfigured, CameraUnavailable
from .clock import CameraClock
from .frame_ids import FrameIds
from .genicam import FeatureValue, GenicamSettings
from .pixels import require_known, to_picture


class GentlCamera:
    """One connection to a camera; see ``base.Camera``.

    Args:
        name: of the camera in frames and messages.
        producer: the .cti file.
        device: its id or serial number; None takes the first.
        settings: what is set before it begins.
        channels: what the bundle takes.

    Raises:
        CameraUnavailable: if it is not there or another program holds it.
        CameraMisconfigured: if the producer cannot be loaded, or the camera cannot be set as asked.
        MissingDependencyError: if harvesters is not installed.
    """

    wrap = None

    def __init__(
        self, name: str, producer: Path, device: str | None, settings: GenicamSettings, channels: Channels
    ) -> None:
        harvesters = _harvesters()
        self._name, self._channels = name, channels
        self._acquirer: Any = None
        self._harvester: Any = harvesters.core.Harvester()
        self._timeout = harvesters.core.TimeoutException if hasattr(harvesters.core, "TimeoutException") else None
        try:
            self._acquirer = self._open(producer, device)
            nodes = self._acquirer.remote_device.node_map
            _apply(nodes, settings, name)
            self._encoder = _node(nodes, settings.encoder_feature, name) if settings.encoder_feature else None
            self._acquirer.num_buffers = max(settings.buffers, int(self._acquirer.min_num_buffers))
            self._acquirer.start()
        except BaseException:
            self.close()
            raise
        self._ids, self._clock = FrameIds(), CameraClock()
        self._tick = self._seconds_in_a_tick(nodes)
        self._ready: deque[Frame] = deque()

    @property
    def facts(self) -> dict[str, str]:
        """Vendor, model, serial number, size."""
        return self._facts

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        if self._ready:
            return self._ready.popleft()
        try:
            buffer = self._acquirer.try_fetch(timeout=timeout)
        except Exception as error:  # harvesters raises GenTL's own, a class for each of its codes
            raise CameraLost(f"The connection to the camera {self._name} is gone ({error}).") from error
        if buffer is None:
            return None
        try:
            return self._received(buffer)
        finally:
            buffer.queue()

    def close(self) -> None:
        """Stop it and free it for others."""
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        for part, methods in ((acquirer, ("stop", "destroy")), (harvester, ("reset",))):
            for method in methods if part is not None else ():
                try:
                    getattr(part, method)()
                except Exception:  # what is gone already cannot be stopped
                    continue

    def _open(self, producer: Path, device: str | None) -> Any:
        if not producer.is_file():
            raise CameraMisconfigured(f"There is no GenTL producer {producer} for the camera {self._name}.")
        try:
            self._harvester.add_file(str(producer), check_existence=True, check_validity=True)
            self._harvester.update()
        except Exception as error:
            raise CameraMisconfigured(f"The GenTL producer {producer} cannot be loaded ({error}).") from error
        there = [(str(info.id_), str(info.serial_number)) for info in self._harvester.device_info_list]
        index = next((i for i, names in enumerate(there) if device is None or device in names), None)
        if index is None:
            known = ", ".join(names[0] for names in there) or "none"
            raise CameraUnavailable(
                f"There is no camera {device or ''} for {self._name}; {producer.name} has: {known}."
            )
        info = self._harvester.device_info_list[index]
        self._facts = {"vendor": str(info.vendor), "model": str(info.model), "serial": there[index][1]}
        try:
            return self._harvester.create(index)
        except Exception as error:
            raise CameraUnavailable(
                f"The camera {self._name} ({there[index][0]}) cannot be opened ({error}). Does another program hold it?"
            ) from error

    def _seconds_in_a_tick(self, nodes: Any) -> float:
        """Timestamps count ticks; GenICam's default are nanoseconds."""
        frequency = getattr(getattr(nodes, "GevTimestampTickFrequency", None), "value", None)
        return 1 / float(frequency) if frequency else 1e-9

    def _received(self, buffer: Any) -> Frame:
        arrived, utc = time.monotonic(), time.time()
        timestamp = buffer.timestamp
        exposed = self._clock.exposed(float(timestamp) * self._tick, utc) if timestamp else utc
        times: dict[str, Any] = {"exposed": exposed, "arrived": arrived, "travel_ms": 1000 * (utc - exposed)}
        try:
            frame_id, missing = self._ids.next(int(buffer.frame_id))
        except TemperError as error:
            raise CameraLost(f"The camera {self._name} was started anew. {error}") from error
        lost = "The camera counted it, and it did not arrive."
        for one in missing:
            self._ready.append(Frame(self._name, f"{self._name} {one}", None, Cause.LOST, lost, one, **times))
        frame = self._frame(buffer, frame_id, times)
        self._ready.append(frame if self._encoder is None else replace(frame, encoder=int(self._encoder.value)))
        return self._ready.popleft()

    def _frame(self, buffer: Any, frame_id: int, times: dict[str, Any]) -> Frame:
        source = f"{self._name} {frame_id}"
        if buffer.is_complete() is False:
            return Frame(self._name, source, None, Cause.LOST, "It did not arrive whole.", frame_id, **times)
        component = buffer.payload.components[0]
        started = time.perf_counter()
        try:
            require_known(component.data_format, self._name)
            # the producer uses its buffer again, so this is the one copy
            raw = np.frombuffer(component.data.tobytes(), np.uint8)
            size = (int(component.width), int(component.height))
            picture = to_picture(raw, component.data_format, *size, self._channels)
        except ValueError as error:
            return Frame(self._name, source, None, Cause.ERROR, f"It cannot be unpacked: {error}.", frame_id, **times)
        decode_ms = 1000 * (time.perf_counter() - started)
        return Frame(self._name, source, picture, None, None, frame_id, decode_ms=decode_ms, **times)


def _apply(nodes: Any, wanted: GenicamSettings, name: str) -> None:
    """Set what is asked for, by GenICam's standard names."""
    features: list[tuple[str, FeatureValue | None]] = [("PixelFormat", wanted.pixel_format)]
    if wanted.region is not None:
        x, y, width, height = wanted.region
        features += [
            ("OffsetX", 0),
            ("OffsetY", 0),
            ("Width", width),
            ("Height", height),
            ("OffsetX", x),
            ("OffsetY", y),
        ]
    features += [("ExposureTime", wanted.exposure_us), ("Gain", wanted.gain)]
    features += [("AcquisitionFrameRate", wanted.frame_rate)]
    if wanted.trigger != "free":
        source = "Software" if wanted.trigger == "software" else wanted.trigger_source
        features += [("TriggerSelector", "FrameStart"), ("TriggerSource", source), ("TriggerMode", "On")]
    features += list(wanted.features.items())
    for feature, value in features:
        if value is None:
            continue
        node = _node(nodes, feature, name)
        try:
            node.value = value
        except Exception as error:  # GenApi's own: out of range, not writable, no such entry
            raise CameraMisconfigured(f"The camera {name} refuses {feature} {value}: {error}.") from error


def _node(nodes: Any, feature: str, name: str) -> Any:
    node = getattr(nodes, feature, None)
    if node is None:
        raise CameraMisconfigured(f"The camera {name} has no feature {feature}.{nearest(feature, dir(nodes))}")
    return node


def _harvesters() -> Any:
    try:
        import harvesters.core
    except ImportError as error:
        raise MissingDependencyError("GenTL cameras need harvesters: pip install 'temper[cameras]'.") from error
    return harvesters
