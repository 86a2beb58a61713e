"""Pixel formats of cameras as the pictures that a graph takes: uint8, grey or RGB.

The rule, the same for every format:

1. Of more than 8 bits the 8 highest count; the others are cut off, nothing is stretched.
2. A Bayer pattern becomes RGB by bilinear interpolation (OpenCV's), after step 1.
3. RGB becomes grey by 0.299 R + 0.587 G + 0.114 B; grey becomes RGB by repeating it.

Names are those of GenICam's Pixel Format Naming Convention (PFNC 2.4). ``Mono10p`` and ``Mono12p`` are its packed
formats, lowest bits first; ``Mono10Packed`` and ``Mono12Packed`` are GigE Vision's older ones, in which two pixels
share the byte between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.errors import nearest
from ...detection.images import Channels
from .base import CameraMisconfigured

Bytes = NDArray[np.uint8]

_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2RGB,
    "GR": cv2.COLOR_BayerGRBG2RGB,
    "GB": cv2.COLOR_BayerGBRG2RGB,
    "BG": cv2.COLOR_BayerBGGR2RGB,
}


def _whole(raw: Bytes, pixels: int) -> Bytes:
    return raw[:pixels]


def _wide(bits: int) -> Callable[[Bytes, int], Bytes]:
    """``bits`` in two bytes each, lowest byte first."""

    def unpack(raw: Bytes, pixels: int) -> Bytes:
        return (raw[: 2 * pixels].view("<u2") >> (bits - 8)).astype(np.uint8)

    return unpack


def _ten_packed_low_first(raw: Bytes, pixels: int) -> Bytes:
    """Four pixels in five bytes."""
    groups = _groups(raw, pixels, 4, 5)
    out = np.empty((len(groups), 4), np.uint8)
    out[:, 0] = groups[:, 0] >> 2 | groups[:, 1] << 6
    out[:, 1] = groups[:, 1] >> 4 | groups[:, 2] << 4
    out[:, 2] = groups[:, 2] >> 6 | groups[:, 3] << 2
    out[:, 3] = groups[:, 4]
    return out.ravel()[:pixels]


def _twelve_packed_low_first(raw: Bytes, pixels: int) -> Bytes:
    """Two pixels in three bytes."""
    groups = _groups(raw, pixels, 2, 3)
    out = np.empty((len(groups), 2), np.uint8)
    out[:, 0] = groups[:, 0] >> 4 | groups[:, 1] << 4
    out[:, 1] = groups[:, 2]
    return out.ravel()[:pixels]


def _packed_high_first(raw: Bytes, pixels: int) -> Bytes:
    """Two pixels in three bytes: the first and the last hold the high bits, the one between the low bits of both."""
    return np.ascontiguousarray(_groups(raw, pixels, 2, 3)[:, ::2]).ravel()[:pixels]


def _groups(raw: Bytes, pixels: int, per_group: int, size: int) -> Bytes:
    """The bytes as [groups, bytes of a group]; the last group is filled up where the picture ends inside it."""
    groups = -(-pixels // per_group)
    missing = groups * size - len(raw)
    if missing > 0:
        raw = np.concatenate([raw, np.zeros(missing, np.uint8)])
    return raw[: groups * size].reshape(groups, size)


_UNPACK: dict[str, Callable[[Bytes, int], Bytes]] = {
    "8": _whole,
    "10": _wide(10),
    "12": _wide(12),
    "14": _wide(14),
    "16": _wide(16),
    "10p": _ten_packed_low_first,
    "12p": _twelve_packed_low_first,
    "10Packed": _packed_high_first,
    "12Packed": _packed_high_first,
}
_BITS = {"8": 8.0, "10": 16, "12": 16, "14": 16, "16": 16, "10p": 10, "12p": 12, "10Packed": 12, "12Packed": 12}
#: Every format that can be inspected.
PIXEL_FORMATS: tuple[str, ...] = (
    *(f"Mono{depth}" for depth in _UNPACK),
    *(f"Bayer{order}{depth}" for order in _BAYER for depth in _UNPACK if depth != "14"),
    "RGB8",
    "BGR8",
    "RGB8Packed",
    "BGR8Packed",
    "RGBa8",
    "BGRa8",
)


def require_known(pixel_format: str, camera: str) -> None:
    """Refuse a format that cannot be inspected.

    Raises:
        CameraMisconfigured: naming the nearest one that can.
    """
    if pixel_format not in PIXEL_FORMATS:
        raise CameraMisconfigured(
            f"The camera {camera} sends {pixel_format} pictures, which cannot be inspected."
            f"{nearest(pixel_format, PIXEL_FORMATS)} Set its pixel_format."
        )


def bytes_of(pixel_format: str, width: int, height: int) -> int:
    """How many bytes a picture has, without padding."""
    if pixel_format.startswith(("RGB", "BGR")):
        return width * height * (4 if "a8" in pixel_format else 3)
    depth = pixel_format.removeprefix("Mono") if pixel_format.startswith("Mono") else pixel_format[7:]
    return int(-(-width * height * _BITS[depth] // 8))


def to_picture(raw: Bytes, pixel_format: str, width: int, height: int, channels: Channels) -> NDArray[np.uint8]:
    """A camera's bytes as a picture.

    Args:
        raw: uint8 [N], at least as many as :func:`bytes_of` says.
        pixel_format: one of :data:`PIXEL_FORMATS`.
        width: in pixels.
        height: in pixels.
        channels: ``"grey"`` gives [H, W], ``"rgb"`` gives [H, W, 3].

    Returns:
        uint8; where nothing has to be computed it is a view of ``raw``, so that no picture is copied for nothing.

    Raises:
        ValueError: if there are too few bytes.
    """
    needed = bytes_of(pixel_format, width, height)
    if len(raw) < needed:
        raise ValueError(f"a {pixel_format} picture of {width} x {height} has {needed} bytes; {len(raw)} came")
    if pixel_format.startswith(("RGB", "BGR")):
        return _from_colour(raw[:needed].reshape(height, width, -1), pixel_format, channels)
    bayer = pixel_format.startswith("Bayer")
    depth = pixel_format[7:] if bayer else pixel_format.removeprefix("Mono")
    plane = _UNPACK[depth](raw[:needed], width * height).reshape(height, width)
    if bayer:
        return _converted(cv2.cvtColor(plane, _BAYER[pixel_format[5:7]]), channels)
    if channels == "rgb":
        return np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), np.uint8)
    return plane


def _from_colour(picture: Bytes, pixel_format: str, channels: Channels) -> NDArray[np.uint8]:
    swapped, alpha = pixel_format.startswith("BGR"), picture.shape[2] == 4
    codes: dict[tuple[bool, bool, str], Any] = {
        (False, False, "grey"): cv2.COLOR_RGB2GRAY,
        (True, False, "grey"): cv2.COLOR_BGR2GRAY,
        (False, True, "grey"): cv2.COLOR_RGBA2GRAY,
        (True, True, "grey"): cv2.COLOR_BGRA2GRAY,
        (True, False, "rgb"): cv2.COLOR_BGR2RGB,
        (False, True, "rgb"): cv2.COLOR_RGBA2RGB,
        (True, True, "rgb"): cv2.COLOR_BGRA2RGB,
    }
    code = codes.get((swapped, alpha, channels))
    return picture if code is None else np.asarray(cv2.cvtColor(picture, code), np.uint8)


def _converted(rgb: Any, channels: Channels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if channels == "grey" else rgb, np.uint8)
