"""GigE Vision and USB3 Vision cameras through Aravis."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import TemperError
from ...detection.images import Channels
from ..frames import Cause, Frame
from .aravis_settings import apply_settings
from .base import CameraLost, CameraMisconfigured, CameraUnavailable
from .clock import CameraClock, Times, paced
from .discovery import gige_in_use
from .encoder import CAME_SECONDS, EncoderAtFetch
from .frame_ids import GIGE_VISION_WRAP, FrameIds
from .genicam import GenicamSettings
from .introspection import aravis
from .pixels import require_known, to_picture


class AravisCamera:
    """One connection to a camera; see ``base.Camera``.

    A picture is copied once, out of the driver's buffer, which goes back to the driver at once; formats that have to be
    unpacked are unpacked from that copy.

    Args:
        name: of the camera in messages and frames.
        address: its id as ``discovery`` gives it, or its IP address; None takes the only one there is.
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
        self._device: Any = self._camera.get_device()
        self._device.connect("control-lost", lambda _device: lost.set())
        self._gige_address = _gige_address(self._device)
        self._ready: deque[Frame] = deque()
        self._clock = CameraClock()
        self._exposed: float | None = None
        self._next_trigger = time.monotonic()
        self._acquiring = False
        self._count = EncoderAtFetch(self._read_encoder, settings.encoder_bits) if settings.encoder_feature else None
        self._chunks: Any = None
        try:
            apply_settings(self._device, self._camera, settings, name)
            if settings.encoder_chunk:
                self._chunks = self._camera.create_chunk_parser()
            self._pixel_format = str(self._camera.get_pixel_format_as_string())
            require_known(self._pixel_format, name)
            #: The highest count of the camera, after which it begins at 1; None if it goes on for ever.
            self.wrap = GIGE_VISION_WRAP if self._counts_in_16_bits() else None
            self._ids = FrameIds(self.wrap)
            self._facts = self._ask_facts()
            self._start()
        except BaseException as error:
            self.close()
            if isinstance(error, TemperError) or not _is_glib_error(error):
                raise
            raise CameraUnavailable(f"The camera {name} does not answer ({error}).") from error

    @property
    def facts(self) -> dict[str, str]:
        """Vendor, model, serial number, pixel format, size, and the size of packets of GigE Vision."""
        return self._facts

    @property
    def statistics(self) -> dict[str, int]:
        """What the driver has counted since this connection was made, by its own names: ``n_missing_packets``,
        ``n_underruns`` (frames that came while all buffers were full) and others; empty once it is closed."""
        if self._stream is None:
            return {}
        names = [str(self._stream.get_info_name(index)) for index in range(self._stream.get_n_infos())]
        return {name: int(self._stream.get_info_uint64_by_name(name)) for name in names}

    def grab(self, timeout: float) -> Frame | None:
        """The next frame; see ``base.Camera.grab``."""
        if self._ready:
            return self._ready.popleft()
        until = time.monotonic() + timeout
        while True:
            wait = max(0.0, min(until - time.monotonic(), self._until_trigger()))
            asked = time.monotonic()
            buffer = self._stream.timeout_pop_buffer(int(1e6 * wait))
            if buffer is not None and self._came_too_late(buffer):
                self._stream.push_buffer(buffer)
                continue
            if buffer is not None:
                return self._received(buffer, time.monotonic() - asked > CAME_SECONDS)
            # only now: what came before the connection went is handed out
            if self._lost.is_set():
                raise CameraLost(f"The connection to the camera {self._name} is gone.")
            if time.monotonic() >= until:
                return None

    def close(self) -> None:
        """Stop it and free it for others."""
        if self._camera is None:
            return
        answers = not self._lost.is_set() and self._answers()
        if answers:
            with contextlib.suppress(Exception):  # it may be gone this very moment
                if self._acquiring:
                    self._camera.stop_acquisition()
            with contextlib.suppress(Exception):
                if hasattr(self._device, "leave_control"):
                    self._device.leave_control()
        # Aravis ends a connection when nothing refers to it any more. With a camera that does not answer that takes
        # some seconds, in which whoever reconnects has to show signs of life.
        last = [self._camera, self._stream, self._device, self._chunks]
        self._camera = self._stream = self._device = self._chunks = None
        if answers:
            last.clear()
        else:
            threading.Thread(target=last.clear, name=f"closing {self._name}", daemon=True).start()

    def _answers(self) -> bool:
        """Whether it is worth asking for anything: each request that a dead camera does not answer takes 2.5 s."""
        if self._gige_address is None:
            return True
        return any(gige_in_use(self._gige_address, 0.2) is not None for _ in range(3))

    def _ask_facts(self) -> dict[str, str]:
        region = self._camera.get_region()
        facts = {
            "vendor": str(self._camera.get_vendor_name()),
            "model": str(self._camera.get_model_name()),
            "serial": str(self._camera.get_device_serial_number()),
            "pixel_format": self._pixel_format,
            "size": f"{region.width} x {region.height}",
        }
        if self._camera.is_gv_device():
            facts["packet_bytes"] = str(self._camera.gv_get_packet_size())
        return facts

    def _start(self) -> None:
        Aravis, GLib = aravis()
        try:
            payload = self._camera.get_payload()
            self._stream = self._camera.create_stream(None, None)
            if self._stream is None:
                raise CameraUnavailable(f"The camera {self._name} opens no stream of pictures.")
            self._require_packets()
            for _ in range(self._settings.buffers):
                self._stream.push_buffer(Aravis.Buffer.new_allocate(payload))
            if self._count is not None:
                self._count.read()
            self._camera.start_acquisition()
            self._acquiring = True
        except GLib.Error as error:
            raise CameraUnavailable(f"The camera {self._name} does not start: {error.message}.") from error

    def _require_packets(self) -> None:
        """Aravis sends a test packet as it makes the stream, and takes a smaller size where it does not get through."""
        wanted = self._settings.packet_bytes
        if wanted is None:
            return
        got = int(self._camera.gv_get_packet_size())
        if got != wanted:
            raise CameraMisconfigured(
                f"Packets of {wanted} bytes do not get through from the camera {self._name}; those of {got} do. Set "
                f"packet_bytes to {got}, or the network's MTU higher."
            )

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

    def _came_too_late(self, buffer: Any) -> bool:
        """Whether it is what is left of a frame that was given up for later ones; a whole frame never is."""
        return buffer.get_status() != self._success and self._ids.is_late(int(buffer.get_frame_id()))

    def _received(self, buffer: Any, waited_for: bool) -> Frame:
        """The frame of a buffer, which goes back to the driver; those missing before it come first."""
        arrived, utc = time.monotonic(), time.time()
        try:
            frame_id, missing = self._ids.next(int(buffer.get_frame_id()))
        except TemperError as error:
            raise CameraLost(f"The camera {self._name} was started anew. {error}") from error
        # a frame whose first packet was lost has no timestamp
        timestamp = int(buffer.get_timestamp())
        travel = self._clock.travel(timestamp / 1e9, arrived) if timestamp else 0.0
        if self._count is not None:
            self._count.read()
        moments = paced(self._exposed, arrived - travel, len(missing))
        self._exposed = arrived - travel
        for number, moment in zip(missing, moments, strict=True):
            times = Times.of(arrived, utc, arrived - moment)
            lost = self._lost_frame(number, "The camera counted it, and it did not arrive.", times)
            self._ready.append(replace(lost, encoder=self._count.at(moment) if self._count is not None else None))
        frame = self._frame(buffer, frame_id, Times.of(arrived, utc, travel))
        if self._count is not None:
            # without a timestamp nobody knows how long it has lain ready
            frame = replace(frame, encoder=self._count.at(arrived - travel if timestamp or waited_for else None))
        elif self._chunks is not None and buffer.get_status() == self._success:
            frame = replace(frame, encoder=self._sent_count(buffer))
        self._stream.push_buffer(buffer)
        self._ready.append(frame)
        return self._ready.popleft()

    def _read_encoder(self) -> int:
        """What the encoder's counter says now."""
        _, GLib = aravis()
        try:
            return int(self._device.get_integer_feature_value(self._settings.encoder_feature))
        except GLib.Error as error:
            raise CameraLost(f"The camera {self._name} tells no encoder count ({error.message}).") from error

    def _sent_count(self, buffer: Any) -> int:
        """What the encoder's counter said at the exposure, which came with the frame."""
        _, GLib = aravis()
        try:
            return int(self._chunks.get_integer_value(buffer, self._settings.encoder_chunk))
        except GLib.Error as error:
            raise CameraLost(
                f"The camera {self._name} sent no {self._settings.encoder_chunk} with a frame ({error.message})."
            ) from error

    def _frame(self, buffer: Any, frame_id: int, times: Times) -> Frame:
        status = buffer.get_status()
        if status != self._success:
            why = str(status.value_nick).replace("-", " ")
            packets = self.statistics.get("n_missing_packets", 0)
            so_far = f"; {packets} packets were lost since the camera was connected" if packets else ""
            return self._lost_frame(frame_id, f"It did not arrive whole: {why}{so_far}.", times)
        source = f"{self._name} {frame_id}"
        started = time.perf_counter()
        try:
            # the one copy: out of the driver's buffer, which is used again
            raw = np.frombuffer(buffer.get_data(), np.uint8)
            width, height = int(buffer.get_image_width()), int(buffer.get_image_height())
            picture = to_picture(raw, self._pixel_format, width, height, self._channels)
        except ValueError as error:
            detail = f"It cannot be unpacked: {error}."
            return Frame(self._name, source, None, Cause.ERROR, detail, frame_id, *times)
        decode_ms = 1000 * (time.perf_counter() - started)
        return Frame(self._name, source, picture, None, None, frame_id, *times, decode_ms)

    def _lost_frame(self, frame_id: int, detail: str, times: Times) -> Frame:
        return Frame(self._name, f"{self._name} {frame_id}", None, Cause.LOST, detail, frame_id, *times)


def _gige_address(device: Any) -> str | None:
    """The IP address of a GigE Vision camera; None for another."""
    if not hasattr(device, "get_device_address"):
        return None
    return str(device.get_device_address().get_address().to_string())


def _is_glib_error(error: BaseException) -> bool:
    _, GLib = aravis()
    return isinstance(error, GLib.Error)


def _by_address(Aravis: Any, asked: str | None) -> str | None:
    """The IP address of a GigE Vision camera that is asked for by its id; anything else as it is.

    A camera answers a search on several of this machine's networks. By its id Aravis may open it through one that its
    pictures do not come by; by its address the system's routes decide.
    """
    if asked is None or all(part.isdigit() for part in asked.split(".")):
        return asked
    Aravis.update_device_list()
    for index in range(Aravis.get_n_devices()):
        if Aravis.get_device_id(index) == asked and Aravis.get_device_protocol(index) == "GigEVision":
            return str(Aravis.get_device_address(index))
    return asked


def _open(name: str, address: str | None) -> Any:
    Aravis, GLib = aravis()
    asked = address or "the only one"
    try:
        camera = Aravis.Camera.new(_by_address(Aravis, address))
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
