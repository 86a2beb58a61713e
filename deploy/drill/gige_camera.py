"""A GigE Vision camera as a program: Aravis's fake camera with pictures of our own, which counts every frame it sends.

    python -m temper.deploy.drill.gige_camera --serial L1 --size 4096x1024 --fps 25 --counts sent

It speaks the real protocol over UDP, so whatever a plant's camera can do to us it can do: be killed, hang, lose
packets. A frame is written down before its first packet leaves, in a file that a kill leaves behind: what arrived is
always among what was counted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...core.errors import MissingDependencyError, TemperError, UsageError
from ..cameras.introspection import aravis
from .gige_pictures import PictureRing, Region, read_pictures

#: GigE Vision's control channel: where a camera listens.
CONTROL_PORT = 3956
_LIBRARY = "libaravis-0.8.so.0"
# registers of Aravis's fake camera, as its own GenICam description names them
_WIDTH, _HEIGHT, _X, _Y = 0x100, 0x104, 0x130, 0x134
_SENSOR_HEIGHT, _SENSOR_WIDTH = 0x118, 0x11C
_PERIOD_US = 0x138
_FILL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)


#: Two cameras on one address start without a word and answer for one another. Whoever runs one on loopback holds this
#: file, in the folder for temporary files, so that there is never a second one.
LOOPBACK_LOCK = "temper-gige-loopback.lock"


@dataclass(frozen=True)
class SentFrame:
    """A frame that the camera sent.

    Attributes:
        frame_id: the camera's own count, from 1 to 65535 and then from 1.
        time: seconds of UTC since 1970.
    """

    frame_id: int
    time: float


def read_sent(path: Path) -> list[SentFrame]:
    """What a camera has written down; a line that a kill cut off is left out, and there may be no file yet."""
    if not path.exists():
        return []
    frames = []
    for line in path.read_text(encoding="ascii").splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and len(words) == 2:
            frames.append(SentFrame(int(words[0]), float(words[1])))
    return frames


class CountingCamera:
    """The camera; it sends as soon as a program asks it to, until the process ends.

    The first eight bytes of each picture are its frame id, lowest byte first, so that a picture shows whose it is.

    Args:
        address: an IPv4 address of this machine that no other camera has.
        serial: its serial number; it is found as ``Aravis-Fake-SERIAL``.
        pictures: what it shows, sent in turn.
        size: width and height of its sensor, in pixels.
        fps: frames a second until a client asks for another rate.
        counts: file that every frame is written down in.
        lost_per_thousand: packets it loses, of a thousand.

    Raises:
        UsageError: if another camera has the address, or it is none of this machine.
        MissingDependencyError: if Aravis is not installed.
    """

    def __init__(
        self,
        address: str,
        serial: str,
        pictures: PictureRing,
        size: tuple[int, int],
        fps: float,
        counts: Path,
        lost_per_thousand: float = 0.0,
    ) -> None:
        Aravis, _ = aravis()
        _require_free(address)
        self._pictures = pictures
        self._counts = os.open(counts, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._library = _library()
        self._camera: Any = Aravis.GvFakeCamera.new(address, serial)
        if self._camera is None or not self._camera.is_running():
            raise UsageError(f"The camera cannot start on {address}: is it an address of this machine?")
        self._camera.set_property("gvsp-lost-ratio", lost_per_thousand / 1000)
        self._inner: Any = self._camera.get_fake_camera()
        width, height = size
        for register, value in (
            (_SENSOR_WIDTH, width),
            (_SENSOR_HEIGHT, height),
            (_WIDTH, width),
            (_HEIGHT, height),
            (_PERIOD_US, round(1e6 / fps)),
        ):
            self._inner.write_register(register, value)
        # the garbage collector must not take what C calls
        self._callback = _FILL(self._fill)
        self._library.arv_fake_camera_set_fill_pattern(hash(self._inner), self._callback, None)

    def _fill(self, buffer: int, _data: int, _exposure: int, _gain: int, pixel_format: int) -> None:
        """Put a picture into the buffer that is sent next, in Aravis's thread; count it before it leaves."""
        frame_id = int(self._library.arv_buffer_get_frame_id(buffer))
        region = Region(*(self._inner.read_register(register)[1] for register in (_X, _Y, _WIDTH, _HEIGHT)))
        data = self._pictures.next(region, pixel_format)
        size = ctypes.c_size_t()
        target = self._library.arv_buffer_get_data(buffer, ctypes.byref(size))
        ctypes.memmove(target, data.ctypes.data, data.nbytes)
        ctypes.memmove(target, frame_id.to_bytes(8, "little"), 8)
        # one call of the kernel, which keeps it whatever becomes of this process
        os.write(self._counts, f"{frame_id} {time.time():.6f}\n".encode("ascii"))


def _library() -> Any:
    """Aravis's C library: the introspected setter of the fill pattern never calls a Python function."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise MissingDependencyError(
            f"The camera needs {_LIBRARY}, which is not installed: sudo apt-get install gir1.2-aravis-0.8 python3-gi."
        ) from error
    library.arv_buffer_get_data.restype = ctypes.c_void_p
    library.arv_buffer_get_data.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)]
    library.arv_buffer_get_frame_id.restype = ctypes.c_uint64
    library.arv_buffer_get_frame_id.argtypes = [ctypes.c_void_p]
    library.arv_fake_camera_set_fill_pattern.restype = None
    library.arv_fake_camera_set_fill_pattern.argtypes = [ctypes.c_void_p, _FILL, ctypes.c_void_p]
    return library


def _require_free(address: str) -> None:
    """Aravis shares its address with a second camera without a word, and clients then talk to either."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, CONTROL_PORT))
        except OSError as error:
            raise UsageError(
                f"The camera cannot have {address}: {error.strerror}. Another camera runs there, or it is no address "
                "of this machine."
            ) from error


def _size(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        size = int(width), int(height)
    except ValueError:
        size = 0, 0
    if min(size) < 16 or max(size) > 16_384:
        raise click.BadParameter(f"{text!r} is no size such as 1280x1024, from 16 to 16384.")
    return size


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="An address of this machine.")
@click.option("--serial", default="T01", show_default=True, help="It is found as Aravis-Fake-SERIAL.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of pictures to send; synthetic ones without.")
@click.option("--synthetic", is_flag=True, help="Synthetic pictures, which is what there is without --images.")
@click.option("--fps", type=click.FloatRange(0.1, 1000), default=25.0, show_default=True, help="Frames a second.")
@click.option("--size", callback=_size, default="2048x2048", show_default=True, help="Of the sensor, in pixels.")
@click.option("--counts", type=click.Path(path_type=Path), required=True, help="File that frames are written down in.")
@click.option("--lost", type=click.FloatRange(0, 1000), default=0.0, help="Packets it loses, of a thousand.")
def main(
    address: str,
    serial: str,
    images: Path | None,
    synthetic: bool,
    fps: float,
    size: tuple[int, int],
    counts: Path,
    lost: float,
) -> None:
    """Be a GigE Vision camera until you are ended."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if images is not None and synthetic:
            raise UsageError("Give either --images or --synthetic.")
        ring = PictureRing(read_pictures(images) if images is not None else None)
        camera = CountingCamera(address, serial, ring, size, fps, counts, lost)
    except TemperError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo("ready")
    stop.wait()
    del camera


if __name__ == "__main__":
    main()
