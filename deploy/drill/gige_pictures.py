"""What the drill's camera shows: pictures in the pixel formats of Aravis's fake camera, sent in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import UsageError
from ...detection.images import read_image
from ..sources import PICTURE_SUFFIXES

#: Codes of GenICam's Pixel Format Naming Convention for what the fake camera can send.
PIXEL_CODES = {
    0x0108_0001: "Mono8",
    0x0110_0007: "Mono16",
    0x0218_0014: "RGB8",
    0x0108_0008: "BayerGR8",
    0x0108_0009: "BayerRG8",
    0x0108_000A: "BayerGB8",
    0x0108_000B: "BayerBG8",
}
#: So many pictures are drawn beforehand and sent in turn.
_DRAWN = 16
_FORMS = 2
#: Encoded pictures that are kept; the others of a large folder are encoded each time.
_KEPT_BYTES = 256 << 20
# a mosaic's colours by row and column parity, as channels of RGB
_MOSAIC = {"RG": (0, 1, 1, 2), "GR": (1, 0, 2, 1), "GB": (1, 2, 0, 1), "BG": (2, 1, 1, 0)}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Region:
    """The part of the sensor that is sent, in pixels."""

    x: int
    y: int
    width: int
    height: int


class PictureRing:
    """Pictures one after the other, for ever, as a camera encodes them.

    No two that follow each other are the same, because no sensor repeats itself: each picture that was read is sent in
    two forms that differ by a level here and there.

    Args:
        pictures: uint8 [H, W] or [H, W, 3] RGB of any size, repeated where the region is larger; None draws some for
            each region.
    """

    def __init__(self, pictures: Sequence[Picture] | None) -> None:
        self._pictures = pictures
        self._shown: Sequence[Picture] = ()
        self._encoded: dict[int, NDArray[np.uint8]] = {}
        self._for: tuple[Region, int] | None = None
        self._turn = 0

    def next(self, region: Region, pixel_format: int) -> NDArray[np.uint8]:
        """The next picture's bytes.

        Args:
            region: of the sensor.
            pixel_format: a key of :data:`PIXEL_CODES`; any other is sent as ``Mono8``.

        Returns:
            uint8 [bytes].
        """
        if self._for != (region, pixel_format):
            self._shown = draw_pictures(region.width, region.height) if self._pictures is None else self._pictures
            self._encoded = {}
            self._for = region, pixel_format
        forms = 1 if self._pictures is None else _FORMS
        self._turn = (self._turn + 1) % (forms * len(self._shown))
        data = self._encoded.get(self._turn)
        if data is None:
            number, form = divmod(self._turn, forms)
            picture = self._shown[number] if self._pictures is None else _form(self._shown[number], region, form)
            data = encoded(picture, PIXEL_CODES.get(pixel_format, "Mono8"))
            if len(self._encoded) * data.nbytes < _KEPT_BYTES:
                self._encoded[self._turn] = data
        return data


def _form(picture: Picture, region: Region, form: int) -> Picture:
    """The region's part of a picture; form 1 differs from form 0 in the lowest bit of every other pixel or so."""
    rows = np.arange(region.y, region.y + region.height) % picture.shape[0]
    columns = np.arange(region.x, region.x + region.width) % picture.shape[1]
    part = picture[rows][:, columns]
    return part if form == 0 else part ^ np.random.default_rng(1).integers(0, 2, part.shape, np.uint8)


def encoded(picture: Picture, pixel_format: str) -> NDArray[np.uint8]:
    """A picture's bytes in a pixel format.

    Args:
        picture: uint8 [H, W] or [H, W, 3] RGB.
        pixel_format: a value of :data:`PIXEL_CODES`.

    Returns:
        uint8 [bytes].
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if pixel_format == "Mono16":
        return np.ascontiguousarray(grey.astype("<u2") << 8).view(np.uint8).ravel()
    if pixel_format == "Mono8":
        return np.asarray(np.ascontiguousarray(grey).ravel(), np.uint8)
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    if pixel_format == "RGB8":
        return np.ascontiguousarray(rgb).ravel()
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, channel in enumerate(_MOSAIC[pixel_format.removeprefix("Bayer")[:2]]):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, channel]
    return mosaic.ravel()


def read_pictures(folder: Path) -> list[Picture]:
    """The pictures of a folder, by name; grey where their files are.

    Raises:
        UsageError: if there are none, or one cannot be read.
        TemperError: if one is no picture that is inspected.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise UsageError(f"There are no pictures in {folder}.")
    pictures: list[Picture] = []
    for path in paths:
        read = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if read is None:
            raise UsageError(f"The picture {path} cannot be read.")
        pictures.append(read_image(path, "grey" if read.ndim == 2 else "rgb"))
    return pictures


def draw_pictures(width: int, height: int, count: int = _DRAWN, seed: int = 0) -> list[Picture]:
    """Grey pictures [H, W] with a sensor's noise; every fourth with a white and a black square."""
    noise = np.random.default_rng(seed).standard_normal((height, width), np.float32)
    sensor = (120 + 4 * noise).clip(0, 255).astype(np.uint8)
    pictures = []
    for number in range(count):
        # drawing anew for each would keep the camera from answering for seconds
        picture = np.roll(sensor, 13 * number, axis=1)
        if number % 4 == 3:
            side = max(8, min(width, height) // 8)
            picture[side : 2 * side, side : 2 * side] = 255
            picture[-2 * side : -side, -2 * side : -side] = 5
        pictures.append(picture)
    return pictures
