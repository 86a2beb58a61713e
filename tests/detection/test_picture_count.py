from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.core.errors import TemperError
from temper.detection.images import read_image
from temper.detection.picture_count import count_pictures

PAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize("pages", [1, 2, 5])
def test_pages_of_a_tiff(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "a.tiff"
    assert cv2.imwritemulti(str(path), [PAGE] * pages)
    assert count_pictures(path.read_bytes()) == pages
    if pages > 1:
        with pytest.raises(TemperError, match=f"holds {pages} pictures, and one of a file is read"):
            read_image(path, "grey")
    else:
        assert read_image(path, "grey").shape == (8, 8)


def _tiff(order: str, big: bool, kinds: list[int]) -> bytes:
    """A TIFF of directories alone, each with its NewSubfileType."""
    head = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    content = (b"II" if order == "<" else b"MM") + head
    for number, kind in enumerate(kinds):
        count, offset, value = ("Q", "Q", "QQ") if big else ("H", "I", "II")
        entry = struct.pack(order + "HH" + value[0], 254, 4, 1) + struct.pack(order + "I", kind) + b"\0" * 4 * big
        size = struct.calcsize(order + count) + len(entry) + struct.calcsize(order + offset)
        following = len(content) + size if number + 1 < len(kinds) else 0
        content += struct.pack(order + count, 1) + entry + struct.pack(order + offset, following)
    return content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_smaller_copies_are_no_pages(order: str, big: bool) -> None:
    assert count_pictures(_tiff(order, big, [0, 1, 1])) == 1
    assert count_pictures(_tiff(order, big, [0, 2, 2])) == 3


def test_pages_that_point_back_end() -> None:
    content = bytearray(_tiff("<", False, [0, 0]))
    content[-4:] = struct.pack("<I", 8)
    assert count_pictures(bytes(content)) == 2


def test_frames_of_an_animated_png(tmp_path: Path) -> None:
    content = cv2.imencode(".png", PAGE)[1].tobytes()
    assert count_pictures(content) == 1
    body = b"acTL" + struct.pack(">II", 4, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(TemperError, match="holds 4 pictures"):
        read_image(tmp_path / "a.png", "grey")


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".webp", ".png", ".tiff"])
def test_common_files_hold_one(ending: str) -> None:
    assert count_pictures(cv2.imencode(ending, PAGE)[1].tobytes()) == 1


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP"]), st.binary(max_size=80))
def test_any_bytes_have_an_answer(magic: bytes, rest: bytes) -> None:
    assert count_pictures(magic + rest) >= 1
