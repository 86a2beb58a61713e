from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from steel_pictures import steel
from temper.core.errors import TemperError, UsageError
from temper.deploy.frames import Cause
from temper.deploy.sources import VideoFile, open_source, readable, require_apart


def write_video(path: Path, frames: int = 12, code: str = "MJPG") -> Path:
    """A video whose frames get brighter one by one."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 25, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), (10 + 15 * index) % 256, np.uint8))
    writer.release()
    return path


def test_a_folder_gives_its_pictures_in_order_and_names_the_rest(pictures: Path) -> None:
    source = open_source(pictures, "grey")
    frames = list(source.frames())
    assert source.total == len(frames) == 7
    assert [frame.source for frame in frames] == [*(f"{i}.png" for i in range(6)), "broken.jpg"]
    assert len(frames) == 7
    assert source.warnings == ["Left out, no pictures by their names (1): notes.txt."]


def test_a_picture_that_cannot_be_read_is_a_frame_with_its_cause(pictures: Path) -> None:
    broken = list(open_source(pictures, "grey").frames())[-1]
    assert broken.image is None
    assert broken.cause is Cause.ERROR
    assert "broken.jpg is not a picture that can be read (13 bytes)" in (broken.detail or "")


@pytest.mark.parametrize(("channels", "shape"), [("grey", (100, 128)), ("rgb", (100, 128, 3))])
def test_pictures_come_as_the_bundle_takes_them(pictures: Path, channels: str, shape: tuple[int, ...]) -> None:
    frame = next(iter(open_source(pictures, channels).frames()))  # type: ignore[arg-type]
    assert frame.image is not None
    assert frame.image.shape == shape
    assert frame.decode_ms > 0


def test_subfolders_are_looked_into_on_demand(pictures: Path) -> None:
    (pictures / "b" / "c").mkdir(parents=True)
    cv2.imwrite(str(pictures / "b" / "c" / "x.JPG"), steel(False))
    assert open_source(pictures, "grey").total == 7
    names = [frame.source for frame in open_source(pictures, "grey", recursive=True).frames()]
    assert len(names) == 8
    assert "b/c/x.JPG" in names


def test_pipes_and_dead_links_do_not_stop_the_line(pictures: Path) -> None:
    os.mkfifo(pictures / "pipe.png")
    (pictures / "dead.png").symlink_to(pictures / "gone.png")
    causes = {frame.source: frame.detail for frame in open_source(pictures, "grey").frames()}
    assert "is not a file" in (causes["pipe.png"] or "")
    assert "cannot be read: No such file" in (causes["dead.png"] or "")


def test_a_name_that_is_no_text_is_readable_all_the_same(tmp_path: Path) -> None:
    content = cv2.imencode(".png", steel(False))[1].tobytes()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(content)
    (frame,) = open_source(tmp_path, "grey").frames()
    assert frame.image is not None
    assert frame.source == "\ufffd.png"
    frame.source.encode("utf-8")
    assert readable("grün 2.png") == "grün 2.png"
    assert readable("a\x1b[31m\n.png") == "a\ufffd[31m\ufffd.png"


def test_one_picture_is_a_source_too(pictures: Path) -> None:
    (frame,) = open_source(pictures / "3.png", "grey").frames()
    assert frame.source == "3.png"
    assert frame.image is not None


@pytest.mark.parametrize(("name", "code"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_a_video_gives_its_frames_with_number_and_time(tmp_path: Path, name: str, code: str) -> None:
    source = open_source(write_video(tmp_path / name, code=code), "grey")
    frames = list(source.frames())
    assert source.total == len(frames) == 12
    assert [frame.source for frame in frames[:2]] == [f"{name}#0", f"{name}#1"]
    assert [frame.timestamp_ms for frame in frames[:3]] == pytest.approx([0, 40, 80])
    means = [float(frame.image.mean()) for frame in frames if frame.image is not None]
    assert means == pytest.approx([10 + 15 * i for i in range(12)], abs=4)
    assert source.warnings == []


def test_a_video_in_colour_is_rgb(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 250), np.uint8))  # BGR
    writer.release()
    (frame,) = open_source(tmp_path / "red.avi", "rgb").frames()
    assert frame.image is not None
    assert frame.image[0, 0] == pytest.approx([250, 0, 0], abs=8)


def test_a_video_that_ends_early_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.avi", frames=60).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 3 // 4])
    source = open_source(tmp_path / "cut.avi", "grey")
    *frames, rest = source.frames()
    assert 0 < len(frames) < 59
    assert all(frame.image is not None for frame in frames)
    assert (rest.image, rest.source) == (None, f"cut.avi#{len(frames)}..59")
    assert rest.detail == (
        f"{tmp_path / 'cut.avi'} says it has 60 frames; {len(frames)} could be read, the rest was not inspected."
    )


def test_a_video_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", code="mp4v").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("a video")
    for name in ("cut.mp4", "text.mp4"):
        with pytest.raises(TemperError, match=rf"{name} is neither a picture nor a video that can be read"):
            VideoFile(tmp_path / name, "grey")


def test_what_is_not_there_or_empty_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TemperError, match=r"There is nothing at .*nowhere\. Give a folder"):
        open_source(tmp_path / "nowhere", "grey")
    with pytest.raises(TemperError, match=r"There is no picture in .* \(it has no files\)"):
        open_source(tmp_path, "grey")
    (tmp_path / "deep").mkdir()
    (tmp_path / "list.csv").write_text("a,b")
    with pytest.raises(TemperError, match=r"it has other files: list\.csv, and subfolders: add --recursive"):
        open_source(tmp_path, "grey")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(TemperError, match="is neither a folder nor a file"):
        open_source(tmp_path / "pipe.png", "grey")


def test_results_do_not_go_among_the_pictures(pictures: Path, tmp_path: Path) -> None:
    require_apart(pictures, tmp_path / "out", recursive=True)
    require_apart(pictures, pictures / "out", recursive=False)
    with pytest.raises(UsageError, match="among the pictures of"):
        require_apart(pictures, pictures, recursive=False)
    with pytest.raises(UsageError, match="choose another --out"):
        require_apart(pictures, pictures / "a" / "out", recursive=True)
