"""Pictures of more than 8 bits: what is read, and that nothing is taken for nearly black without a word."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from temper.core.errors import TemperError
from temper.detection.bit_depth import BitDepthError
from temper.detection.images import Channels, decode_image, read_image
from temper.distill.data.pictures import look_at

STEEL = np.random.default_rng(0).integers(20, 236, (40, 50), np.uint8)


def encoded(picture: NDArray[np.generic], ending: str = ".png") -> bytes:
    return bytes(cv2.imencode(ending, picture)[1])


def with_significant_bits(png: bytes, bits: int) -> bytes:
    """A PNG that says how many of its bits are meant; the chunk stands behind IHDR."""
    chunk = b"sBIT" + bytes([bits])
    return png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_the_eight_highest_of_sixteen_bits_count(ending: str, channels: Channels) -> None:
    noise = np.random.default_rng(1).integers(0, 256, STEEL.shape, np.uint16)
    read = decode_image(encoded((STEEL.astype(np.uint16) << 8) + noise, ending), channels, "a")
    assert np.array_equal(read if channels == "grey" else read[..., 1], STEEL)


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_bits_that_were_not_shifted_up_are_refused(tmp_path: Path, ending: str, bits: int) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(STEEL.astype(np.uint16) << (bits - 8), ending))
    said = rf"has 16 bits per value and none is above {int(STEEL.max()) << (bits - 8):,} of 65,535, .* with 8 bits"
    for channels in ("grey", "rgb"):
        with pytest.raises(BitDepthError, match=said):
            read_image(path, channels)  # type: ignore[arg-type]
    facts = look_at(path)
    assert facts.size is None and facts.problem.startswith("has 16 bits per value and none is above")


def test_black_is_black_at_any_depth() -> None:
    assert not decode_image(encoded(np.zeros((9, 9), np.uint16)), "grey", "a").any()


def test_a_dark_picture_that_says_its_depth_is_read() -> None:
    dark = STEEL.astype(np.uint16) << 4 << 2  # 12 bits, shifted up, and a quarter as bright
    with pytest.raises(BitDepthError, match="none is above"):
        decode_image(encoded(dark), "grey", "a")
    for bits in (12, 14, 16):
        read = decode_image(with_significant_bits(encoded(dark), bits), "grey", "a")
        assert np.array_equal(read, dark >> 8)
    # this one has bits below those that it says it means
    with pytest.raises(BitDepthError, match="none is above"):
        decode_image(with_significant_bits(encoded(dark + 1), 12), "grey", "a")


def test_a_tiff_of_twelve_bits_is_one() -> None:
    values = STEEL.astype(np.uint16) * 16 + 7
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(*STEEL.shape, 2), axis=-1)[..., 4:]
    rows = np.packbits(bits.reshape(len(STEEL), -1), axis=1).tobytes()
    height, width = STEEL.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(rows)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert np.array_equal(decode_image(file, "grey", "a"), STEEL)


def test_other_kinds_of_values_are_refused() -> None:
    with pytest.raises(BitDepthError, match="has values of the type float32; whole numbers of 8 or 16 bits are read"):
        decode_image(encoded(STEEL.astype(np.float32) / 255, ".tif"), "grey", "a")


@given(st.binary(max_size=60))
def test_any_chunks_give_a_picture_or_a_sentence(chunks: bytes) -> None:
    png = encoded(STEEL.astype(np.uint16) << 4)
    with contextlib.suppress(TemperError):
        assert decode_image(png[:33] + chunks + png[33:], "grey", "a").dtype == np.uint8


def test_a_colour_that_uses_the_range_speaks_for_the_picture(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint16)
    image[..., 0] = np.linspace(30_000, 65_535, 64).reshape(8, 8)
    content = cv2.imencode(".png", image)[1].tobytes()
    assert decode_image(content, "grey", "blue.png").max() < 64
    assert decode_image(content, "rgb", "blue.png").max() == 255
