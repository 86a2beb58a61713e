"""Cameras of a GenTL producer, the .cti file that a camera's maker ships, through harvesters."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MissingDependencyError, TemperError, install_hint
from ...detection.images import Channels
from ..frames import Cause, Frame
from .base import CameraLost, CameraMisconfigured, CameraUnavailable
from .clock import CameraClock, Times, paced
from .encoder import CAME_SECONDS, EncoderAtFetch
from .frame_ids import FrameIds
from .genicam import FeatureValue, GenicamSettings, chunk_selector, nearest_feature
from .pixels import require_known, to_picture

_FETCH_SECONDS = 0.1
# GenTL's DEVICE_ACCESS_STATUS: free; read-only, no access or busy because another has it; open in this process
_IN_USE = {1: False, 2: True, 3: True, 4: True, 5: True, 6: True}


@dataclass(frozen=True)
class GentlDevice:
    """A camera that a producer knows.

    Attributes:
        id: by which it can be opened; so can it by its serial number.
        vendor: its maker.
        model: its model.
        serial: its serial number.
        in_use: whether a program has it open; None where the producer does not say.
    """

    id: str
    vendor: str
    model: str
    serial: str
    in_use: bool | None


def devices_of(producer: Path) -> list[GentlDevice]:
    """The cameras of a producer.

    Raises:
        CameraMisconfigured: if the producer cannot be loaded.
        MissingDependencyError: if harvesters is not installed.
    """
    harvester = _PRODUCERS.take(producer, "search")
    try:
        return _devices(harvester)
    finally:
        _PRODUCERS.give_back(producer)


def _devices(harvester: Any) -> list[GentlDevice]:
    return [
        GentlDevice(
            str(info.id_ or ""),
            str(info.vendor or ""),
            str(info.model or ""),
            str(info.serial_number or ""),
            _IN_USE.get(info.access_status),
        )
        for info in harvester.device_info_list
    ]


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
        self._name, self._channels = name, channels
        self._producer = producer
        self._acquirer: Any = None
        self._harvester: Any = _PRODUCERS.take(producer, name)
        try:
            self._acquirer = self._open(producer, device)
            nodes = self._acquirer.remote_device.node_map
            _apply(nodes, settings, name)
            self._count, self._sent = self._encoder(nodes, settings)
            self._acquirer.num_buffers = max(settings.buffers, int(self._acquirer.min_num_buffers))
            if self._count is not None:
                self._count.read()
            self._acquirer.start()
        except BaseException:
            self.close()
            raise
        self._ids, self._clock = FrameIds(), CameraClock()
        self._ready: deque[Frame] = deque()
        self._exposed: float | None = None

    @property
    def facts(self) -> dict[str, str]:
        """Vendor, model, serial number, size."""
        return self._facts

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        if self._ready:
            return self._ready.popleft()
        until = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            left = until - asked
            try:
                # short, because harvesters waits by the time of day, which may be set meanwhile. What did not arrive
                # whole it gives back by itself: the count shows that it is missing.
                buffer = self._acquirer.try_fetch(timeout=min(max(left, 0.001), _FETCH_SECONDS))
            except Exception as error:  # harvesters raises GenTL's own, a class for each of its codes
                raise CameraLost(f"The connection to the camera {self._name} is gone ({error}).") from error
            if buffer is not None:
                break
            if left <= 0:
                return None
        try:
            return self._received(buffer, time.monotonic() - asked > CAME_SECONDS)
        finally:
            buffer.queue()

    def close(self) -> None:
        """Stop it and free it for others."""
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        for method in ("stop", "destroy") if acquirer is not None else ():
            with contextlib.suppress(Exception):  # what is gone already cannot be stopped
                getattr(acquirer, method)()
        if harvester is not None:
            _PRODUCERS.give_back(self._producer)

    def _open(self, producer: Path, device: str | None) -> Any:
        devices = _devices(self._harvester)
        index = next((i for i, one in enumerate(devices) if device is None or device in (one.id, one.serial)), None)
        if index is None:
            known = ", ".join(one.id for one in devices) or "none"
            raise CameraUnavailable(
                f"There is no camera {device or 'at all'} for {self._name}; {producer.name} has: {known}."
            )
        found = devices[index]
        self._facts = {"vendor": found.vendor, "model": found.model, "serial": found.serial}
        try:
            return self._harvester.create(index)
        except Exception as error:
            raise CameraUnavailable(
                f"The camera {self._name} ({found.id}) cannot be opened ({error}). Does another program hold it?"
            ) from error

    def _received(self, buffer: Any, waited_for: bool) -> Frame:
        arrived, utc = time.monotonic(), time.time()
        try:
            frame_id, missing = self._ids.next(int(buffer.frame_id))
        except TemperError as error:
            raise CameraLost(f"The camera {self._name} was started anew. {error}") from error
        stamped = _stamped(buffer)
        travel = self._clock.travel(stamped, arrived) if stamped else 0.0
        if self._count is not None:
            self._count.read()
        moments = paced(self._exposed, arrived - travel, len(missing))
        self._exposed = arrived - travel
        lost = "The camera counted it, and it did not arrive."
        for one, moment in zip(missing, moments, strict=True):
            way = Times.of(arrived, utc, arrived - moment)
            frame = Frame(self._name, f"{self._name} {one}", None, Cause.LOST, lost, one, *way)
            self._ready.append(replace(frame, encoder=self._count.at(moment) if self._count is not None else None))
        frame = self._frame(buffer, frame_id, Times.of(arrived, utc, travel))
        if self._count is not None:
            # without a timestamp nobody knows how long it has lain ready
            frame = replace(frame, encoder=self._count.at(arrived - travel if stamped or waited_for else None))
        elif self._sent is not None and frame.cause is not Cause.LOST:
            if not _brings_chunks(buffer):
                raise CameraLost(f"The camera {self._name} sent no encoder count with a frame.")
            frame = replace(frame, encoder=_value(self._sent, self._name))
        self._ready.append(frame)
        return self._ready.popleft()

    def _encoder(self, nodes: Any, settings: GenicamSettings) -> tuple[EncoderAtFetch | None, Any]:
        """What tells the encoder's count: a counter that is asked, or the node that has what came with a frame."""
        if settings.encoder_feature is not None:
            node = _node(nodes, settings.encoder_feature, self._name)
            return EncoderAtFetch(lambda: _value(node, self._name), settings.encoder_bits), None
        if settings.encoder_chunk is not None:
            return None, _node(nodes, settings.encoder_chunk, self._name)
        return None, None

    def _frame(self, buffer: Any, frame_id: int, times: Times) -> Frame:
        source = f"{self._name} {frame_id}"
        if buffer.is_complete() is False:
            return Frame(self._name, source, None, Cause.LOST, "It did not arrive whole.", frame_id, *times)
        component = buffer.payload.components[0]
        started = time.perf_counter()
        try:
            require_known(component.data_format, self._name)
            # the producer uses its buffer again, so this is the one copy
            raw = np.frombuffer(component.data.tobytes(), np.uint8)
            size = (int(component.width), int(component.height))
            picture = to_picture(raw, component.data_format, *size, self._channels)
        except ValueError as error:
            return Frame(self._name, source, None, Cause.ERROR, f"It cannot be unpacked: {error}.", frame_id, *times)
        decode_ms = 1000 * (time.perf_counter() - started)
        return Frame(self._name, source, picture, None, None, frame_id, *times, decode_ms)


class _Producers:
    """The producers in use: a producer is loaded once in a process, and its cameras share it.

    Which cameras there are is asked as it is loaded, and not again while one of them is open: harvesters closes all
    cameras to ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[Path, tuple[Any, int]] = {}

    def take(self, producer: Path, name: str) -> Any:
        """The harvester of a producer; to be given back."""
        harvesters = _harvesters()
        if not producer.is_file():
            raise CameraMisconfigured(f"There is no GenTL producer {producer} for the camera {name}.")
        with self._lock:
            harvester, users = self._loaded.get(producer, (None, 0))
            if harvester is None:
                harvester = harvesters.core.Harvester()
                try:
                    harvester.add_file(str(producer), check_existence=True, check_validity=True)
                    harvester.update()
                except Exception as error:  # not one class: the loader's, GenTL's, harvesters' own
                    harvester.reset()
                    raise CameraMisconfigured(f"The GenTL producer {producer} cannot be loaded ({error}).") from error
            self._loaded[producer] = harvester, users + 1
            return harvester

    def give_back(self, producer: Path) -> None:
        """The last one who gives it back unloads it."""
        with self._lock:
            harvester, users = self._loaded.pop(producer)
            if users > 1:
                self._loaded[producer] = harvester, users - 1
            else:
                with contextlib.suppress(Exception):
                    harvester.reset()


_PRODUCERS = _Producers()


def _stamped(buffer: Any) -> float:
    """A buffer's timestamp in seconds; 0 where the producer has none."""
    ticks = float(buffer.timestamp or 0)
    try:
        return ticks / float(buffer.timestamp_frequency)
    except (AttributeError, TypeError, ZeroDivisionError):  # a producer that does not tell counts nanoseconds
        return ticks / 1e9


def _apply(nodes: Any, wanted: GenicamSettings, name: str) -> None:
    """Set what is asked for, by GenICam's standard names."""
    features: list[tuple[str, FeatureValue | None]] = [("PixelFormat", wanted.pixel_format)]
    if wanted.region is not None:
        x, y, width, height = wanted.region
        # a camera that has no offsets is at 0 all the same; those that have them allow a full size only there
        offsets = [one for one in ("OffsetX", "OffsetY") if getattr(nodes, one, None) is not None]
        features += [(offset, 0) for offset in offsets]
        features += [("Width", width), ("Height", height)]
        features += [(offset, at) for offset, at in (("OffsetX", x), ("OffsetY", y)) if at or offset in offsets]
    features += [("ExposureTime", wanted.exposure_us), ("Gain", wanted.gain)]
    features += [("AcquisitionFrameRate", wanted.frame_rate)]
    if wanted.trigger != "free":
        source = "Software" if wanted.trigger == "software" else wanted.trigger_source
        features += [("TriggerSelector", "FrameStart"), ("TriggerSource", source), ("TriggerMode", "On")]
    if wanted.encoder_chunk is not None:
        chunk = chunk_selector(wanted.encoder_chunk)
        features += [("ChunkModeActive", True), ("ChunkSelector", chunk), ("ChunkEnable", True)]
    features += list(wanted.features.items())
    for feature, value in features:
        if value is None:
            continue
        node = _node(nodes, feature, name)
        try:
            node.value = value
        except Exception as error:  # GenApi's own: out of range, not writable, no such entry
            raise CameraMisconfigured(f"The camera {name} refuses {feature} {value}: {error}.") from error


def _brings_chunks(buffer: Any) -> bool:
    """Whether a buffer has chunk data; where it has none the nodes keep those of the frame before."""
    raw = buffer.module
    with contextlib.suppress(Exception):  # GenTL's own: a producer need not tell both
        return bool(raw.is_containing_chunk_data())
    with contextlib.suppress(Exception):
        return int(raw.num_chunks) > 0
    return False


def _value(node: Any, name: str) -> int:
    try:
        return int(node.value)
    except Exception as error:  # GenApi's own: the camera is gone, or this frame brought none
        raise CameraLost(f"The camera {name} tells no encoder count ({error}).") from error


def _node(nodes: Any, feature: str, name: str) -> Any:
    node = getattr(nodes, feature, None)
    if node is None:
        known = [str(one.node.name) for one in nodes.nodes]
        raise CameraMisconfigured(f"The camera {name} has no feature {feature}.{nearest_feature(feature, known)}")
    return node


def _harvesters() -> Any:
    try:
        import harvesters.core
    except ImportError as error:
        told = "GenTL cameras need harvesters, which is not installed. "
        raise MissingDependencyError(told + install_hint("cameras")) from error
    return harvesters
