"""GigE Vision and USB3 Vision cameras through Aravis."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...detection.images import Channels
from ..frames import Cause, Frame
from .aravis_settings import apply_settings
from .base import CameraLost, CameraUnavailable
from .clock import CameraClock
from .frame_ids import GIGE_VISION_WRAP, FrameIds
from .genicam import GenicamSettings
from .introspection import aravis
from .pixels import require_known, to_picture


@dataclass(frozen=True)
class FoundCamera:
    """A camera that answered a search.

    Attributes:
        id: by which it can be opened.
        vendor: its maker.
        model: its model.
        serial: its serial number.
        address: IP address, or place on the USB bus.
        protocol: ``GigEVision`` or ``USB3Vision``.
    """

    id: str
    vendor: str
    model: str
    serial: str
    address: str
    protocol: str


def find_cameras() -> list[FoundCamera]:
    """Ask all networks and buses of this machine for cameras; takes about a second.

    Raises:
        MissingDependencyError: if Aravis is not installed.
    """
    Aravis, _ = aravis()
    Aravis.update_device_list()
    return [
        FoundCamera(
            *(
                str(say(index) or "")
                for say in (
                    Aravis.get_device_id,
                    Aravis.get_device_vendor,
                    Aravis.get_device_model,
                    Aravis.get_device_serial_nbr,
                    Aravis.get_device_address,
                    Aravis.get_device_protocol,
                )
            )
        )
        for index in range(Aravis.get_n_devices())
    ]


class AravisCamera:
    """One connection to a camera; see ``base.Camera``.

    A frame is copied once, from the driver's buffer, which goes back to the driver at once.

    Args:
        name: of the camera in messages and frames.
        address: its id as :func:`find_cameras` gives it, or its IP address; None takes the only one there is.
        settings: what is set before it begins.
        channels: what the bundle takes.

    Raises:
        CameraUnavailable: if it is not there or another program holds it.
        CameraMisconfigured: if it cannot be set as asked, or sends pictures that cannot be inspected.
        MissingDependencyError: if Aravis is not installed.
    """

    def __init__(self, name: str, address: str | None, settings: GenicamSettings, channels: Channels) -> None:
        Aravis, _ = aravis()
        self._name, self._channels, self._settings = name, channels, settings
        self._success = Aravis.BufferStatus.SUCCESS
        self._camera: Any = _open(name, address)
        self._stream: Any = None
        self._lost = threading.Event()
        lost = self._lost
        device: Any = self._camera.get_device()
        self._device: Any = device
        device.connect("control-lost", lambda _device: lost.set())
        self._ready: deque[Frame] = deque()
        self._clock = CameraClock()
        self._next_trigger = time.monotonic()
        self._acquiring = False
        try:
            apply_settings(device, self._camera, settings, name)
            self._pixel_format = str(self._camera.get_pixel_format_as_string())
            require_known(self._pixel_format, name)
            self._ids = FrameIds(GIGE_VISION_WRAP if self._counts_in_16_bits() else None)
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def wrap(self) -> int | None:
        """The highest count of the camera, after which it begins at 1; None if it goes on for ever."""
        return GIGE_VISION_WRAP if self._counts_in_16_bits() else None

    @property
    def facts(self) -> dict[str, str]:
        """Model, serial number, pixel format, size."""
        region = self._camera.get_region()
        return {
            "vendor": str(self._camera.get_vendor_name()),
            "model": str(self._camera.get_model_name()),
            "serial": str(self._camera.get_device_serial_number()),
            "pixel_format": self._pixel_format,
            "size": f"{region.width} x {region.height}",
        }

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        if self._ready:
            return self._ready.popleft()
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            if left < 0:
                return None
            buffer = self._stream.timeout_pop_buffer(int(1e6 * min(left, self._until_trigger())))
            if buffer is not None:
                return self._received(buffer)
            if self._lost.is_set():
                raise CameraLost(f"The connection to the camera {self._name} is gone.")

    def close(self) -> None:
        """Stop it and free it for others."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        if self._acquiring and not self._lost.is_set():
            with contextlib.suppress(Exception):  # it may be gone this very moment
                camera.stop_acquisition()
        # Aravis gives a device up when nothing refers to it any more; a traceback may still do so
        if hasattr(self._device, "leave_control") and not self._lost.is_set():
            with contextlib.suppress(Exception):
                self._device.leave_control()
        self._stream = self._device = None

    def _start(self) -> None:
        Aravis, GLib = aravis()
        try:
            payload = self._camera.get_payload()
            self._stream = self._camera.create_stream(None, None)
            if self._stream is None:
                raise CameraUnavailable(f"The camera {self._name} opens no stream of pictures.")
            for _ in range(self._settings.buffers):
                self._stream.push_buffer(Aravis.Buffer.new_allocate(payload))
            self._camera.start_acquisition()
            self._acquiring = True
        except GLib.Error as error:
            raise CameraUnavailable(f"The camera {self._name} does not start: {error.message}.") from error

    def _counts_in_16_bits(self) -> bool:
        if not self._camera.is_gv_device():
            return False
        with contextlib.suppress(Exception):  # a feature of GigE Vision 2 that most cameras do not have
            return str(self._device.get_string_feature_value("GevGVSPExtendedIDMode")) != "On"
        return True

    def _until_trigger(self) -> float:
        """Seconds until the next software trigger, after giving one that is due."""
        rate = self._settings.trigger_hz
        if self._settings.trigger != "software" or rate is None:
            return 3600.0
        now = time.monotonic()
        if now >= self._next_trigger:
            self.trigger()
            self._next_trigger = max(self._next_trigger + 1 / rate, now)
        return self._next_trigger - now

    def trigger(self) -> None:
        """Start one exposure of a camera with a software trigger.

        Raises:
            CameraLost: if the camera does not answer.
        """
        _, GLib = aravis()
        try:
            self._camera.software_trigger()
        except GLib.Error as error:
            raise CameraLost(f"The camera {self._name} does not answer ({error.message}).") from error

    def _received(self, buffer: Any) -> Frame:
        arrived, utc = time.monotonic(), time.time()
        exposed = self._clock.exposed(buffer.get_timestamp() / 1e9, utc)
        try:
            frame_id, missing = self._ids.next(int(buffer.get_frame_id()))
        except TemperError as error:
            raise CameraLost(f"The camera {self._name} was started anew. {error}") from error
        self._ready.extend(self._never_came(number, exposed, arrived) for number in missing)
        frame = self._frame(buffer, frame_id, exposed, arrived, 1000 * (utc - exposed))
        self._stream.push_buffer(buffer)
        self._ready.append(replace(frame, encoder=self._encoder()) if self._settings.encoder_feature else frame)
        return self._ready.popleft()

    def _encoder(self) -> int | None:
        """The encoder's count, now: the strip has moved on since the exposure by as much as the frame took to come."""
        _, GLib = aravis()
        try:
            return int(self._device.get_integer_feature_value(self._settings.encoder_feature))
        except GLib.Error as error:
            raise CameraLost(f"The camera {self._name} tells no encoder count ({error.message}).") from error

    def _frame(self, buffer: Any, frame_id: int, exposed: float, arrived: float, travel_ms: float) -> Frame:
        source = f"{self._name} {frame_id}"
        status = buffer.get_status()
        if status != self._success:
            why = str(status.value_nick).replace("-", " ")
            return Frame(
                self._name, source, None, Cause.LOST, f"It did not arrive whole: {why}.", frame_id, exposed, arrived
            )
        started = time.perf_counter()
        try:
            # the one copy: out of the driver's buffer, which is used again
            raw = np.frombuffer(buffer.get_data(), np.uint8)
            width, height = int(buffer.get_image_width()), int(buffer.get_image_height())
            picture = to_picture(raw, self._pixel_format, width, height, self._channels)
        except ValueError as error:
            return Frame(
                self._name, source, None, Cause.ERROR, f"It cannot be unpacked: {error}.", frame_id, exposed, arrived
            )
        decode_ms = 1000 * (time.perf_counter() - started)
        return Frame(self._name, source, picture, None, None, frame_id, exposed, arrived, travel_ms, decode_ms)

    def _never_came(self, frame_id: int, exposed: float, arrived: float) -> Frame:
        detail = "The camera counted it, and it did not arrive."
        return Frame(self._name, f"{self._name} {frame_id}", None, Cause.LOST, detail, frame_id, exposed, arrived)


def _open(name: str, address: str | None) -> Any:
    Aravis, GLib = aravis()
    asked = address or "the only one"
    try:
        camera = Aravis.Camera.new(address)
    except GLib.Error as error:
        raise CameraUnavailable(
            f"The camera {name} ({asked}) cannot be opened: {error.message}. 'temper deploy cameras' lists those that "
            "answer."
        ) from error
    if camera is None:
        raise CameraUnavailable(
            f"There is no camera for {name} ({asked}). 'temper deploy cameras' lists those that answer."
        )
    device = camera.get_device()
    if hasattr(device, "is_controller") and not device.is_controller():
        raise CameraUnavailable(f"The camera {name} ({asked}) is held by another program. Close that one.")
    return camera
