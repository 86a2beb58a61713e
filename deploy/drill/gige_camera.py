"""A GigE Vision camera that counts what it sends: ``python -m temper.deploy.drill.gige_camera``.

It is Aravis's fake camera, which speaks the real protocol over UDP, with pictures of our own in it. Every frame that
it sends is written down, with its id and the time, before it leaves, in a file that a kill leaves behind. A drill
holds what was sent against what was stored.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ...core.errors import TemperError
from ..cameras.introspection import aravis

#: Pictures that are drawn beforehand and sent in turn; each gets its number written into it.
_DRAWN = 16
_LIBRARY = "libaravis-0.8.so.0"


@dataclass(frozen=True)
class SentFrame:
    """A frame that the camera sent.

    Attributes:
        frame_id: as the camera counts, from 1 to 65535.
        time: seconds of UTC since 1970.
    """

    frame_id: int
    time: float


def read_sent(path: Path) -> list[SentFrame]:
    """What a camera has written down; a line that a kill cut off is left out."""
    if not path.exists():
        return []
    frames = []
    for line in path.read_text(encoding="ascii").splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and len(words) == 2:
            frames.append(SentFrame(int(words[0]), float(words[1])))
    return frames


def draw_pictures(width: int, height: int, count: int = _DRAWN, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Grey pictures [H, W] with a sensor's noise; every fourth with a white and a black square."""
    generator = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        picture = generator.normal(120, 4, (height, width)).clip(0, 255).astype(np.uint8)
        if number % 4 == 3:
            side = max(8, min(width, height) // 8)
            picture[side : 2 * side, side : 2 * side] = 255
            picture[-2 * side : -side, -2 * side : -side] = 5
        pictures.append(picture)
    return pictures


class CountingCamera:
    """The camera; it sends as soon as a program asks it to, until the process ends.

    Args:
        address: of the network interface, such as 127.0.0.1.
        serial: its serial number; it is found as ``Aravis-Fake-SERIAL``.
        counts: file that every frame is written down in.
        pictures: are sent in turn, where the size asked for is theirs; else new ones are drawn.

    Raises:
        TemperError: if it cannot be started: the address is not of this machine.
        MissingDependencyError: if Aravis is not installed.
    """

    def __init__(
        self, address: str, serial: str, counts: Path, pictures: list[NDArray[np.uint8]] | None = None
    ) -> None:
        Aravis, _ = aravis()
        self._library = ctypes.CDLL(_LIBRARY)
        self._pictures = pictures or []
        self._sent = 0
        self._counts = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._server: Any = Aravis.GvFakeCamera.new(address, serial)
        if not self._server.is_running():
            raise TemperError(f"The camera cannot be started on {address}. Give an address of this machine.")
        self._fill_pattern = self._set_fill_pattern(self._server.get_fake_camera())

    def _set_fill_pattern(self, camera: Any) -> Any:
        """Have our pictures put into each frame. Through introspection the library never calls a Python function."""
        pointer, number = ctypes.c_void_p, ctypes.c_uint32
        kind = ctypes.CFUNCTYPE(None, pointer, pointer, number, number, number)
        library = self._library
        library.arv_buffer_get_data.restype = pointer
        library.arv_buffer_get_data.argtypes = [pointer, ctypes.POINTER(ctypes.c_size_t)]
        library.arv_buffer_get_frame_id.restype = ctypes.c_uint64
        for name in ("arv_buffer_get_frame_id", "arv_buffer_get_image_width", "arv_buffer_get_image_height"):
            getattr(library, name).argtypes = [pointer]
        library.arv_fake_camera_set_fill_pattern.argtypes = [pointer, kind, pointer]
        function = kind(self._fill)
        library.arv_fake_camera_set_fill_pattern(hash(camera), function, None)
        return function

    def _fill(self, buffer: Any, _data: Any, _exposure: int, _gain: int, _pixel_format: int) -> None:
        width, height = (
            int(ask(buffer))
            for ask in (self._library.arv_buffer_get_image_width, self._library.arv_buffer_get_image_height)
        )
        if not self._pictures or self._pictures[0].shape != (height, width):
            self._pictures = draw_pictures(width, height)
        size = ctypes.c_size_t()
        address = self._library.arv_buffer_get_data(buffer, ctypes.byref(size))
        target = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), (height * width,))
        target[:] = self._pictures[self._sent % len(self._pictures)].reshape(-1)
        # its number, so that no two frames are the same picture
        target[:8] = np.frombuffer(self._sent.to_bytes(8, "little"), np.uint8)
        self._sent += 1
        frame_id = int(self._library.arv_buffer_get_frame_id(buffer))
        os.write(self._counts, f"{frame_id} {time.time():.6f}\n".encode())


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Of the network interface.")
@click.option("--serial", default="T01", show_default=True, help="It is found as Aravis-Fake-SERIAL.")
@click.option(
    "--counts", type=click.Path(path_type=Path), required=True, help="File that every frame is written down in."
)
@click.option("--images", type=click.Path(path_type=Path, exists=True), help="Folder of pictures to send; drawn ones.")
def main(address: str, serial: str, counts: Path, images: Path | None) -> None:
    """Be a GigE Vision camera until you are ended."""
    pictures = _read(images) if images is not None else None
    camera = CountingCamera(address, serial, counts, pictures)
    click.echo("ready")
    with contextlib.suppress(KeyboardInterrupt):
        while camera is not None:
            time.sleep(3600)


def _read(folder: Path) -> list[NDArray[np.uint8]]:
    from ...detection.images import read_image
    from ..sources import PICTURE_SUFFIXES

    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    pictures = [read_image(path, "grey") for path in files]
    return [picture for picture in pictures if picture.shape == pictures[0].shape]


if __name__ == "__main__":
    main()
