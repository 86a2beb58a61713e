from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from steel_pictures import steel
from temper.deploy.results.pictures import PictureWriter, _plain_stem
from temper.detection.detections import Detections

FOUND = Detections(np.array([[40, 30, 72, 56]], np.float32), np.array([0.9]), np.array([0]), (128, 100))


def test_pictures_are_there_after_flush(tmp_path: Path) -> None:
    with PictureWriter(tmp_path, 3, ["dark"]) as pictures:
        names = [pictures.write(index, f"coil 7/{index}.png", steel(True), FOUND) for index in range(5)]
        pictures.flush()
        assert names == [f"pictures/run-3/{index:06d}-{index}.jpg" for index in range(5)]
        assert all((tmp_path / name).is_file() for name in names)


def test_large_pictures_keep_their_size(tmp_path: Path) -> None:
    with PictureWriter(tmp_path, 1, ["dark"]) as pictures:
        name = pictures.write(0, "a.png", np.zeros((700, 900, 3), np.uint8), FOUND)
        pictures.flush()
    drawn = cv2.imread(str(tmp_path / name))
    assert drawn is not None
    assert drawn.shape == (700, 900, 3)


def test_a_strip_longer_than_jpeg_knows_is_drawn_smaller(tmp_path: Path) -> None:
    with PictureWriter(tmp_path, 1, ["dark"]) as pictures:
        name = pictures.write(0, "a.png", np.zeros((64, 70_000), np.uint8), Detections.none((70_000, 64)))
        pictures.flush()
    drawn = cv2.imread(str(tmp_path / name))
    assert drawn is not None
    assert drawn.shape == (59, 65_500, 3)


@given(st.text(max_size=300))
def test_any_name_gives_a_plain_one(name: str) -> None:
    plain = _plain_stem(name)
    assert len(plain) <= 80
    assert set(plain) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_names_keep_what_tells_frames_apart() -> None:
    assert _plain_stem("coil 7/left.edge.png") == "left.edge"
    assert _plain_stem("line 2.mp4#17") == "line_2.mp4_17"
