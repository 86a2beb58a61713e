"""A watched folder: each picture once, whole, in order, and none that stays broken without a word."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from temper.deploy.cameras import folder as watching
from temper.deploy.cameras import folder_files
from temper.deploy.cameras.base import CameraLost, CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.folder import FolderCamera
from temper.deploy.cameras.folder_files import DONE, Afterwards, FolderFiles
from temper.deploy.cameras.folder_lines import FolderBlocks, FolderLines
from temper.deploy.cameras.line_scan import LineScanCamera
from temper.deploy.frames import Cause, FileState, Frame


def encoded(value: int = 100) -> bytes:
    return cv2.imencode(".png", np.full((20, 30), value, np.uint8))[1].tobytes()


def put(folder: Path, name: str, content: bytes, moment: float | None = None) -> None:
    partial = folder / f".{name}"
    partial.write_bytes(content)
    if moment is not None:
        os.utime(partial, (moment, moment))
    partial.rename(folder / name)


def watch(folder: Path, files: FolderFiles | None = None) -> FolderCamera:
    return FolderCamera("drop", folder, "grey", 0.15, 0.6, files)


def watch_lines(folder: Path, files: FolderFiles) -> FolderLines:
    blocks = FolderBlocks(watch(folder, files))
    return FolderLines(LineScanCamera(blocks, 32, 8), blocks, files)


def inspect(camera: FolderCamera, files: FolderFiles, count: int) -> list[str]:
    """Take so many files, as if the verdict of each was stored at once."""
    names = []
    for _ in range(count):
        frame = grab(camera)
        files.settle(frame.files)
        names.append(frame.source)
    return names


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
def test_what_becomes_of_a_file_once_its_verdict_is_stored(
    tmp_path: Path, afterwards: Afterwards, left: list[str]
) -> None:
    put(tmp_path, "a.png", encoded())
    files = FolderFiles(tmp_path, afterwards)
    camera = watch(tmp_path, files)
    frame = grab(camera)
    assert "a.png" in os.listdir(tmp_path)
    assert camera.grab(0.4) is None, "it is not taken again while it waits"
    files.settle(frame.files)
    assert sorted(os.listdir(tmp_path)) == left
    if afterwards == "move":
        assert os.listdir(tmp_path / DONE) == ["a.png"]
    assert camera.grab(0.4) is None


@pytest.mark.parametrize("afterwards", ["delete", "move"])
def test_what_has_its_verdict_from_an_earlier_process_is_put_away_and_not_taken(
    tmp_path: Path, afterwards: Afterwards
) -> None:
    put(tmp_path, "a.png", encoded())
    put(tmp_path, "b.png", encoded())
    stat = (tmp_path / "a.png").stat()
    known = FileState("a.png", stat.st_size, stat.st_mtime_ns)
    camera = watch(tmp_path, FolderFiles(tmp_path, afterwards, [known]))
    assert grab(camera).source == "b.png"
    assert not (tmp_path / "a.png").exists()


def test_a_picture_that_took_the_name_of_an_inspected_one_is_not_put_away(tmp_path: Path) -> None:
    put(tmp_path, "live.png", encoded(), 1000)
    files = FolderFiles(tmp_path, "delete")
    camera = watch(tmp_path, files)
    frame = grab(camera)
    put(tmp_path, "live.png", encoded(), 1001)
    files.settle(frame.files)
    frame = grab(camera)
    assert frame.exposed == 1001
    files.settle(frame.files)
    assert os.listdir(tmp_path) == []


def test_neither_reopening_nor_clocks_nor_times_make_a_file_come_twice_or_never(tmp_path: Path) -> None:
    ahead = time.time() + 7200
    put(tmp_path, "a.png", encoded())
    put(tmp_path, "ahead.png", encoded(), ahead)
    files = FolderFiles(tmp_path)
    assert inspect(watch(tmp_path, files), files, 2) == ["a.png", "ahead.png"]
    put(tmp_path, "new.png", encoded())
    put(tmp_path, "old.png", encoded(), 1000)  # as `cp -p` writes it
    camera = watch(tmp_path, files)
    assert inspect(camera, files, 2) == ["old.png", "new.png"]
    put(tmp_path, "older.png", encoded(), 900)
    assert inspect(camera, files, 1) == ["older.png"]
    assert watch(tmp_path, files).grab(0.4) is None


@pytest.mark.parametrize("replaced", [True, False])
def test_a_picture_of_the_same_name_is_another_one(tmp_path: Path, replaced: bool) -> None:
    files = FolderFiles(tmp_path)
    camera = watch(tmp_path, files)
    for moment in (1000, 1001, 999):
        if replaced:
            put(tmp_path, "live.png", encoded(), moment)
        else:
            (tmp_path / "live.png").write_bytes(encoded())
            os.utime(tmp_path / "live.png", (moment, moment))
        frame = grab(camera)
        assert frame.exposed == moment
        files.settle(frame.files)


def test_what_cannot_be_put_away_is_told_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "c.png"):
        put(tmp_path, name, encoded(), 1000)
        (tmp_path / DONE / name).mkdir(parents=True)
    files = FolderFiles(tmp_path, "move")
    camera = watch(tmp_path, files)
    assert inspect(camera, files, 1) == ["a.png"]
    with pytest.raises(CameraLost, match=r"a\.png cannot be put away \(Is a directory\): it stays"):
        camera.grab(1)
    camera = watch(tmp_path, files)
    assert inspect(camera, files, 2) == ["b.png", "c.png"]
    assert camera.grab(0.4) is None
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / DONE / name).rmdir()
    monkeypatch.setattr(folder_files, "TIDY_SECONDS", 0.0)
    assert camera.grab(0.4) is None
    assert os.listdir(tmp_path) == [DONE]


def test_what_is_gone_is_forgotten_but_not_with_a_share_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_files, "TIDY_SECONDS", 0.0)
    forgotten: list[str] = []
    folder = tmp_path / "share"
    folder.mkdir()
    files = FolderFiles(folder, forget=lambda gone: forgotten.extend(file.name for file in gone))
    for name in ("a.png", "b.png"):
        put(folder, name, encoded())
    camera = watch(folder, files)
    inspect(camera, files, 2)
    (folder / "a.png").unlink()
    assert camera.grab(0.4) is None
    assert forgotten == ["a.png"]
    folder.rename(tmp_path / "mounted elsewhere")
    folder.mkdir()
    assert camera.grab(0.4) is None
    assert forgotten == ["a.png"]
    folder.rmdir()
    (tmp_path / "mounted elsewhere").rename(folder)
    assert camera.grab(0.4) is None, "what is back is known"


def test_what_was_put_away_is_forgotten_also_where_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_files, "TIDY_SECONDS", 0.0)
    forgotten: list[str] = []
    files = FolderFiles(tmp_path, "delete", forget=lambda gone: forgotten.extend(file.name for file in gone))
    put(tmp_path, "a.png", encoded())
    camera = watch(tmp_path, files)
    inspect(camera, files, 1)
    assert camera.grab(0.3) is None
    assert forgotten == ["a.png"]


def test_files_that_are_gone_are_remembered_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_files, "TIDY_SECONDS", 0.0)
    monkeypatch.setattr(folder_files, "MOST_GONE", 3)
    forgotten: list[str] = []
    files = FolderFiles(tmp_path, forget=lambda gone: forgotten.extend(file.name for file in gone))
    files.settle(FileState(f"{number}.png", 1, 1) for number in range(5))
    files.tidy(())
    assert forgotten == ["0.png", "1.png"]


def test_a_look_at_many_files_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that are known a few are looked at in each look, whatever their number."""
    for number in range(3000):
        (tmp_path / f"{number}.png").touch()
    states = [(entry.name, entry.stat()) for entry in os.scandir(tmp_path)]
    known = [FileState(name, one.st_size, one.st_mtime_ns) for name, one in states]
    camera = watch(tmp_path, FolderFiles(tmp_path, known=known))
    looked: list[object] = []
    listed: list[object] = []
    stat, scandir = os.stat, os.scandir
    monkeypatch.setattr(os, "stat", lambda path, **more: looked.append(path) or stat(path, **more))
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(watching, "_CHECK_SECONDS", 0.0)
    camera._trust_until = float("inf")
    for _ in range(10):
        camera._look()
    assert len(looked) <= 20, "the folder itself, and one of the files"
    assert listed == []
    put(tmp_path, "new.png", encoded())
    camera._rest_until = 0.0
    assert grab(camera).source == "new.png"
    assert 1 <= len(listed) < 10


def test_files_of_lines_have_their_verdict_with_the_frame_behind_them(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path, f"{number}.png", encoded(100 + number), 1000 + number)  # 20 lines each
    files = FolderFiles(tmp_path)
    camera = watch_lines(tmp_path, files)
    frames = [camera.grab(2.0) for _ in range(3)]  # frames begin at the lines 0, 24 and 48
    assert [[file.name for file in frame.files] for frame in frames if frame is not None] == [[], ["0.png"], ["1.png"]]
    for frame in frames:
        files.settle(frame.files if frame is not None else ())
    camera.close()
    assert grab(watch(tmp_path, files)).source == "2.png", "whose last lines no frame has shown"


def test_a_file_of_lines_that_cannot_be_read_has_its_verdict_too(tmp_path: Path) -> None:
    put(tmp_path, "0.png", encoded(), 1000)
    put(tmp_path, "1.png", encoded()[:40], 1001)
    files = FolderFiles(tmp_path)
    camera = watch_lines(tmp_path, files)
    frames: list[Frame] = []
    for name in ("2.png", "3.png", "4.png"):
        while (frame := camera.grab(1.0)) is not None or not frames:
            frames += [] if frame is None else [frame]
        put(tmp_path, name, encoded())
    frames += [frame for frame in [camera.grab(2.0)] if frame is not None]
    assert frames[0].cause is Cause.ERROR
    assert frames[1].image is not None
    assert [[file.name for file in frame.files] for frame in frames[:2]] == [[], ["0.png", "1.png"]]


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
