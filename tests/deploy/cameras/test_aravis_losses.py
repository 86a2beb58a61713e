"""Packets that get lost, and cameras that are killed, hang, or are restarted while they send."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gige import counting_camera, lossy_camera
from gige_connections import SMALL, grabbed, opened, written_in
from temper.deploy.cameras.aravis import AravisCamera
from temper.deploy.cameras.base import CameraLost, CameraUnavailable
from temper.deploy.frames import Cause, Frame

#: In which a lost connection must be noticed: Aravis's heartbeat has three tries.
NOTICED_SECONDS = 12.0


def grab_until_lost(connection: AravisCamera, frames: list[Frame]) -> None:
    """Raises when the connection is found to be lost; what comes before that is appended to ``frames``."""
    until = time.monotonic() + NOTICED_SECONDS
    while time.monotonic() < until:
        frame = connection.grab(0.5)
        if frame is not None:
            frames.append(frame)


def test_lost_packets_become_lost_frames() -> None:
    with lossy_camera(5) as address:
        connection = AravisCamera("top", address, replace(SMALL, frame_rate=50.0, packet_bytes=1400), "grey")
        try:
            frames = grabbed(connection, 60)
        finally:
            connection.close()
    ids = [frame.frame_id for frame in frames]
    assert ids[0] is not None
    assert ids == list(range(ids[0], ids[0] + 60))
    lost = [frame for frame in frames if frame.cause is not None]
    assert len(lost) > 20
    assert {frame.cause for frame in lost} == {Cause.LOST} and all(frame.image is None for frame in lost)
    assert any("packets were lost since the camera was connected" in (frame.detail or "") for frame in lost)
    # positions and times go on through what was lost
    exposed = [frame.exposed for frame in frames]
    assert max(exposed) - min(exposed) < 10
    assert all(frame.travel_ms >= 0 for frame in frames)


def test_a_camera_that_is_killed_is_noticed_and_comes_back(tmp_path: Path) -> None:
    with counting_camera(tmp_path, "--size", "640x480") as camera:
        connection = AravisCamera("top", camera.id, SMALL, "grey")
        frames = grabbed(connection, 5)
        camera.kill()
        # what had arrived is handed out all the same
        with pytest.raises(CameraLost, match="connection to the camera top is gone"):
            grab_until_lost(connection, frames)
        connection.close()
        sent = {one.frame_id for one in camera.sent}
        assert {written_in(frame) for frame in frames if frame.image is not None} <= sent
        with pytest.raises(CameraUnavailable, match="camera top"):
            AravisCamera("top", camera.id, SMALL, "grey")
        camera.start()
        with opened(camera) as connection:
            assert grabbed(connection, 3)[2].cause is None


def test_a_camera_that_hangs_is_noticed(tmp_path: Path) -> None:
    with counting_camera(tmp_path, "--size", "640x480") as camera:
        connection = AravisCamera("top", camera.id, SMALL, "grey")
        grabbed(connection, 3)
        camera.kill(signal.SIGSTOP)
        with pytest.raises(CameraLost, match="connection to the camera top is gone"):
            grab_until_lost(connection, [])
        connection.close()
        camera.kill(signal.SIGCONT)


def test_a_camera_restarted_under_us_is_noticed(tmp_path: Path) -> None:
    with counting_camera(tmp_path, "--size", "640x480") as camera:
        connection = AravisCamera("top", camera.id, SMALL, "grey")
        grabbed(connection, 3)
        camera.kill()
        camera.start()
        with pytest.raises(CameraLost, match="camera top"):
            grab_until_lost(connection, [])
        connection.close()
        with opened(camera) as again:
            grabbed(again, 3)
