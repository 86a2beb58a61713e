"""What is said of a picture file: its size, its format, and why it is none."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from foreign_data import SIZE, drawing, write_drawing
from temper.core.errors import TemperError
from temper.detection.images import MAX_PICTURE_BYTES, MAX_PIXELS, read_image
from temper.distill.data.pictures import THUMBNAIL_SIDE, look_at, look_at_all


def encoded(ending: str, seed: int = 0) -> bytes:
    return bytes(cv2.imencode(ending, drawing(seed))[1])


@pytest.mark.parametrize(
    ("ending", "name"),
    [(".jpg", "JPEG"), (".png", "PNG"), (".bmp", "BMP"), (".tif", "TIFF"), (".webp", "WebP"), (".JPEG", "JPEG")],
)
def test_a_sound_picture(tmp_path: Path, ending: str, name: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(ending.lower()))
    facts = look_at(path)
    assert (facts.size, facts.problem, facts.format, facts.mislabelled) == (SIZE, "", name, False)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.thumbnail is not None
    assert (facts.thumbnail.shape, facts.thumbnail.dtype) == ((THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)


@pytest.mark.parametrize(("ending", "written"), [(".jpg", ".png"), (".png", ".jpg"), (".bmp", ".webp")])
def test_an_ending_that_lies_is_seen(tmp_path: Path, ending: str, written: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(written))
    facts = look_at(path)
    assert (facts.size, facts.mislabelled) == (SIZE, True)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_a_picture_cut_short_is_none(tmp_path: Path, ending: str) -> None:
    content = encoded(ending)
    for length in (len(content) // 3, len(content) * 2 // 3, len(content) - 12):
        path = tmp_path / f"a{ending}"
        path.write_bytes(content[:length])
        facts = look_at(path)
        assert facts.size is None
        assert facts.thumbnail is None
        assert "is cut short" in facts.problem or "is no picture that can be read" in facts.problem


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("restarts", [0, 2])
def test_what_a_camera_writes_behind_a_picture_is_no_part_of_it(
    tmp_path: Path, progressive: int, restarts: int
) -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts]
    content = bytes(cv2.imencode(".jpg", drawing(0), options)[1])
    noise = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    for trailing in (b"\xff\xda", b"\xff\xda" + noise, noise):
        (tmp_path / "a.jpg").write_bytes(content + trailing)
        assert look_at(tmp_path / "a.jpg").problem == ""
    (tmp_path / "a.jpg").write_bytes(content[:-2])
    assert "cut short" in look_at(tmp_path / "a.jpg").problem


def test_a_cut_picture_behind_a_whole_preview_is_none(tmp_path: Path) -> None:
    """A camera writes a small JPEG into the header of the large one, with an end mark of its own."""
    preview, content = encoded(".jpg", 1), encoded(".jpg", 0)
    comment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    whole = content[:2] + comment + content[2:]
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    assert look_at(path).size == SIZE
    path.write_bytes(whole[: len(whole) - len(content) // 3])
    assert "is a JPEG that is cut short" in look_at(path).problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is an empty file"),
        (b"hello", "is no picture that can be read (5 bytes)"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "is no picture that can be read (16 bytes)"),
        (b"\xff\xd8\xff\xe0", "is a JPEG that is cut short (4 bytes)"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert look_at(path).problem == problem
    assert not look_at(path).mislabelled


def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path: Path) -> None:
    """A PNG of a kilobyte that says it has ten thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert look_at(path).problem == "has more than 400,000,000 pixels, or says so"


def test_a_picture_file_of_hundreds_of_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MAX_PICTURE_BYTES + 1)  # takes no room on the disk
    assert look_at(path).problem == "has more than 268,435,456 bytes"
    with pytest.raises(TemperError, match="a.png has more than 268,435,456 bytes"):
        read_image(path, "grey")


def test_opencvs_limit_is_ours() -> None:
    assert os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] == str(MAX_PIXELS)


def test_a_missing_file_is_a_fact_as_well(tmp_path: Path) -> None:
    facts = look_at(tmp_path / "a.jpg")
    assert (facts.size, facts.problem, facts.sha256) == (None, "cannot be read: No such file or directory", "")


def test_many_are_looked_at_in_their_order_and_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(30)]
    for number, path in enumerate(paths):
        write_drawing(path, number, (40 + number, 50))
    paths[7].write_bytes(encoded(".tif")[:200])
    level = cv2.utils.logging.getLogLevel()
    sizes = [facts.size for facts in look_at_all(paths)]
    assert sizes == [None if number == 7 else (40 + number, 50) for number in range(30)]
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level
