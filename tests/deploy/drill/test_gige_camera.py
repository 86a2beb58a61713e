"""The camera that counts: its pictures, its counts after a kill, and that there is never a second one unnoticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from gige import counting_camera, one_camera_at_a_time, require_aravis
from gige_connections import grabbed, opened, written_in
from temper.core.errors import UsageError
from temper.deploy.cameras.pixels import to_picture
from temper.deploy.drill.gige_camera import read_sent
from temper.deploy.drill.gige_pictures import PIXEL_CODES, PictureRing, Region, draw_pictures, encoded, read_pictures

PROGRAM = [sys.executable, "-m", "temper.deploy.drill.gige_camera"]


def test_every_frame_is_counted_though_it_is_killed(tmp_path: Path) -> None:
    with counting_camera(tmp_path, "--size", "640x480", "--fps", "100") as camera:
        with opened(camera, frame_rate=None) as connection:
            frames = grabbed(connection, 40)
            camera.kill()
            while (frame := connection.grab(0)) is not None:
                frames.append(frame)
        sent = [one.frame_id for one in camera.sent]
        assert sent == list(range(sent[0], sent[0] + len(sent)))
        assert {written_in(frame) for frame in frames if frame.image is not None} <= set(sent)
        times = [one.time for one in camera.sent]
        assert np.median(np.diff(times)) == pytest.approx(0.010, rel=0.3)


def test_pictures_of_a_folder_are_sent(tmp_path: Path) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (480, 640), np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), picture)
    with (
        counting_camera(tmp_path, "--images", str(folder), "--size", "4096x1024") as camera,
        opened(camera, region=None, frame_rate=None) as connection,
    ):
        frames = grabbed(connection, 2)
    wide = np.tile(picture, (3, 7))[:1024, :4096]
    for frame in frames:
        assert frame.image is not None and frame.image.shape == (1024, 4096)
        # the first bytes are the frame id, and every other frame differs in lowest bits
        assert np.abs(frame.image[1:].astype(int) - wide[1:]).max() <= 1
    assert not np.array_equal(frames[0].image[1:], frames[1].image[1:])  # type: ignore[index]


def test_a_second_camera_is_refused(tmp_path: Path) -> None:
    with counting_camera(tmp_path):
        done = subprocess.run(
            [*PROGRAM, "--counts", str(tmp_path / "other")], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    assert "cannot have 127.0.0.1: Address already in use. Another camera runs there" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--address", "192.0.2.1"), "cannot have 192.0.2.1"),
        (("--size", "wide"), "is no size such as 1280x1024"),
        (("--images", "{}", "--synthetic"), "Give either --images or --synthetic"),
        (("--images", "{}"), "There are no pictures in"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    require_aravis()
    words = [word.format(tmp_path) for word in options]
    with one_camera_at_a_time():
        done = subprocess.run(
            [*PROGRAM, "--counts", str(tmp_path / "sent"), *words], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    assert message in done.stderr


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    counts = tmp_path / "sent"
    assert read_sent(counts) == []
    counts.write_text("7 1.5\n8 2.5\n9 3.")
    assert [(one.frame_id, one.time) for one in read_sent(counts)] == [(7, 1.5), (8, 2.5)]


@pytest.mark.parametrize("name", PIXEL_CODES.values())
def test_encoding_and_unpacking_agree(name: str) -> None:
    grey = np.full((6, 8), 90, np.uint8)
    assert np.array_equal(to_picture(encoded(grey, name), name, 8, 6, "grey"), grey)
    colour = np.broadcast_to(np.array([200, 100, 40], np.uint8), (6, 8, 3))
    if not name.startswith("Mono"):
        assert np.array_equal(to_picture(encoded(colour, name), name, 8, 6, "rgb"), colour)


def test_no_two_pictures_in_a_row_are_the_same() -> None:
    for ring in (PictureRing(draw_pictures(64, 48)), PictureRing(draw_pictures(64, 48)[:1]), PictureRing(None)):
        shown = [ring.next(Region(8, 4, 32, 16), 0x0108_0001).copy() for _ in range(40)]
        assert all(len(one) == 32 * 16 for one in shown)
        assert not any(np.array_equal(one, other) for one, other in zip(shown, shown[1:], strict=False))


def test_a_file_that_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UsageError, match="The picture .*a.png cannot be read"):
        read_pictures(tmp_path)
