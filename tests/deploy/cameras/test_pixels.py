"""Pixel formats against a slow reference that goes bit by bit, written from the layouts' own definitions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from temper.deploy.cameras.base import CameraMisconfigured
from temper.deploy.cameras.pixels import PIXEL_FORMATS, bytes_of, require_known, to_picture

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 7))
SEEDS = st.integers(0, 2**32 - 1)


def packed_low_first(values: list[int], bits: int) -> bytes:
    """PFNC's ``p``: a stream of bits, lowest first, without padding but at its end."""
    stream = 0
    for place, value in enumerate(values):
        stream |= value << (place * bits)
    return stream.to_bytes(-(-len(values) * bits // 8), "little")


def packed_high_first(values: list[int], bits: int) -> bytes:
    """GigE Vision's ``Packed``: three bytes for two pixels; the one between holds the low bits of both."""
    low = bits - 8
    out = bytearray()
    for place in range(0, len(values), 2):
        first = values[place]
        second = values[place + 1] if place + 1 < len(values) else None
        out.append(first >> low)
        between = first & ((1 << low) - 1)
        if second is not None:
            between |= (second & ((1 << low) - 1)) << 4
        out.append(between)
        if second is not None:
            out.append(second >> low)
    return bytes(out)


def in_two_bytes(values: list[int], _bits: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def in_one_byte(values: list[int], _bits: int) -> bytes:
    return bytes(values)


LAYOUTS = {
    "8": (8, in_one_byte),
    "10": (10, in_two_bytes),
    "12": (12, in_two_bytes),
    "14": (14, in_two_bytes),
    "16": (16, in_two_bytes),
    "10p": (10, packed_low_first),
    "12p": (12, packed_low_first),
    "10Packed": (10, packed_high_first),
    "12Packed": (12, packed_high_first),
}


def made(depth: str, size: tuple[int, int], seed: int) -> tuple[NDArray[np.uint8], list[int]]:
    """A picture's bytes, and what its pixels shall be."""
    bits, layout = LAYOUTS[depth]
    width, height = size
    values = np.random.default_rng(seed).integers(0, 1 << bits, width * height).tolist()
    return np.frombuffer(layout(values, bits), np.uint8), [value >> (bits - 8) for value in values]


@pytest.mark.parametrize("depth", LAYOUTS)
@given(size=SIZES, seed=SEEDS)
@settings(max_examples=40)
def test_mono(depth: str, size: tuple[int, int], seed: int) -> None:
    raw, wanted = made(depth, size, seed)
    width, height = size
    assert len(raw) == bytes_of(f"Mono{depth}", width, height)
    grey = to_picture(raw, f"Mono{depth}", width, height, "grey")
    assert grey.dtype == np.uint8 and grey.shape == (height, width)
    assert grey.ravel().tolist() == wanted
    rgb = to_picture(raw, f"Mono{depth}", width, height, "rgb")
    assert np.array_equal(rgb, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("depth", [depth for depth in LAYOUTS if depth != "14"])
@pytest.mark.parametrize(("order", "places"), [("RG", "RGGB"), ("GR", "GRBG"), ("GB", "GBRG"), ("BG", "BGGR")])
def test_bayer(order: str, places: str, depth: str) -> None:
    """One colour over the whole sensor comes out as that colour, whichever corner the pattern begins with."""
    bits, layout = LAYOUTS[depth]
    colour = {"R": 200, "G": 100, "B": 40}
    height, width = 6, 8
    sensor = [colour[places[2 * (y % 2) + x % 2]] << (bits - 8) for y in range(height) for x in range(width)]
    raw = np.frombuffer(layout(sensor, bits), np.uint8)
    rgb = to_picture(raw, f"Bayer{order}{depth}", width, height, "rgb")
    assert np.array_equal(rgb, np.broadcast_to(np.array([200, 100, 40], np.uint8), (height, width, 3)))
    grey = to_picture(raw, f"Bayer{order}{depth}", width, height, "grey")
    assert np.array_equal(grey, np.full((height, width), round(0.299 * 200 + 0.587 * 100 + 0.114 * 40), np.uint8))


@pytest.mark.parametrize("pixel_format", ["RGB8", "BGR8", "RGB8Packed", "BGR8Packed", "RGBa8", "BGRa8"])
@given(size=SIZES, seed=SEEDS)
@settings(max_examples=20)
def test_colour(pixel_format: str, size: tuple[int, int], seed: int) -> None:
    width, height = size
    planes = 4 if "a8" in pixel_format else 3
    sent = np.random.default_rng(seed).integers(0, 256, (height, width, planes), np.uint8)
    wanted = sent[:, :, 2::-1] if pixel_format.startswith("BGR") else sent[:, :, :3]
    raw = sent.ravel()
    assert len(raw) == bytes_of(pixel_format, width, height)
    assert np.array_equal(to_picture(raw, pixel_format, width, height, "rgb"), wanted)
    grey = to_picture(raw, pixel_format, width, height, "grey")
    assert np.array_equal(grey, cv2.cvtColor(np.ascontiguousarray(wanted), cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_too_few_bytes_are_refused_and_more_are_left_out(pixel_format: str) -> None:
    needed = bytes_of(pixel_format, 7, 5)
    raw = np.arange(needed + 9, dtype=np.int64).astype(np.uint8)
    exact = to_picture(raw[:needed], pixel_format, 7, 5, "grey")
    assert np.array_equal(to_picture(raw, pixel_format, 7, 5, "grey"), exact)
    with pytest.raises(ValueError, match=f"7 x 5 has {needed} bytes; {needed - 1} came"):
        to_picture(raw[: needed - 1], pixel_format, 7, 5, "grey")


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", "grey"), ("RGB8", "rgb")])
def test_nothing_is_copied_where_nothing_is_computed(pixel_format: str, channels: str) -> None:
    raw = np.zeros(bytes_of(pixel_format, 16, 8), np.uint8)
    assert np.shares_memory(raw, to_picture(raw, pixel_format, 16, 8, channels))  # type: ignore[arg-type]


def test_an_unknown_format_is_told_with_the_nearest() -> None:
    with pytest.raises(CameraMisconfigured, match="The camera top sends Mono12pp pictures.*Did you mean 'Mono12p'"):
        require_known("Mono12pp", "top")
    for pixel_format in PIXEL_FORMATS:
        require_known(pixel_format, "top")
