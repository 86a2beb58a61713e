"""A watched folder: each picture once, whole, in order, and none that stays broken without a word."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from temper.deploy.cameras.base import CameraLost, CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.folder import DONE, Afterwards, FolderCamera
from temper.deploy.frames import Cause, Frame


def encoded(value: int = 100) -> bytes:
    return cv2.imencode(".png", np.full((20, 30), value, np.uint8))[1].tobytes()


def put(folder: Path, name: str, content: bytes, moment: float | None = None) -> None:
    partial = folder / f".{name}"
    partial.write_bytes(content)
    if moment is not None:
        os.utime(partial, (moment, moment))
    partial.rename(folder / name)


def watch(folder: Path, afterwards: Afterwards = "keep", after: float | None = None) -> FolderCamera:
    return FolderCamera("drop", folder, "grey", 0.15, 0.6, afterwards, after)


def grab(camera: FolderCamera, seconds: float = 5.0) -> Frame:
    frame = camera.grab(seconds)
    assert frame is not None
    return frame


def test_pictures_come_in_the_order_of_their_change_and_once(tmp_path: Path) -> None:
    for name, moment in (("b.png", 1000), ("a.png", 2000), ("c.png", 1000)):
        put(tmp_path, name, encoded(), moment)
    (tmp_path / "notes.txt").write_text("shift 2")
    camera = watch(tmp_path)
    assert [grab(camera).source for _ in range(3)] == ["b.png", "c.png", "a.png"]
    assert camera.grab(0.4) is None
    put(tmp_path, "d.png", encoded())
    frame = grab(camera)
    assert frame.source == "d.png"
    assert frame.image is not None
    assert frame.image.shape == (20, 30)
    assert frame.exposed == pytest.approx(time.time(), abs=30)


def test_a_file_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    content = encoded()
    path = tmp_path / "slow.png"
    camera = watch(tmp_path)
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), max(1, len(content) // 6)):
            file.write(content[start : start + max(1, len(content) // 6)])
            frame = camera.grab(0.05)
            assert frame is None
    assert grab(camera).image is not None


def test_a_file_that_never_gets_whole_is_an_error_after_its_time(tmp_path: Path) -> None:
    put(tmp_path, "torn.png", encoded()[:40])
    camera = watch(tmp_path)
    started = time.monotonic()
    frame = grab(camera)
    assert time.monotonic() - started >= 0.5
    assert frame.cause is Cause.ERROR
    assert "torn.png is not a picture" in str(frame.detail)
    assert camera.grab(0.4) is None


def test_a_file_that_is_mended_in_time_is_taken(tmp_path: Path) -> None:
    put(tmp_path, "late.png", encoded()[:40])
    camera = watch(tmp_path)
    assert camera.grab(0.3) is None
    put(tmp_path, "late.png", encoded())
    assert grab(camera).image is not None


@pytest.mark.parametrize(("afterwards", "left"), [("keep", ["a.png"]), ("delete", []), ("move", [DONE])])
def test_what_becomes_of_a_file(tmp_path: Path, afterwards: Afterwards, left: list[str]) -> None:
    put(tmp_path, "a.png", encoded())
    camera = watch(tmp_path, afterwards)
    grab(camera)
    assert sorted(os.listdir(tmp_path)) == left
    if afterwards == "move":
        assert os.listdir(tmp_path / DONE) == ["a.png"]


def test_what_an_earlier_process_took_is_not_taken_again(tmp_path: Path) -> None:
    put(tmp_path, "old.png", encoded(), 1000)
    put(tmp_path, "new.png", encoded(), 1001)
    assert grab(watch(tmp_path, after=1000.5)).source == "new.png"


def test_folders_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(CameraUnavailable, match="is not there"):
        watch(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CameraMisconfigured, match="is not a folder"):
        watch(tmp_path / "file")
    folder = tmp_path / "gone"
    folder.mkdir()
    camera = watch(folder)
    folder.rmdir()
    with pytest.raises(CameraLost, match="is gone"):
        camera.grab(2)
