"""RTSP from GStreamer's server: pictures, and every way in which they can stop."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import pytest
from rtsp_server import Server, serving
from temper.deploy.cameras.base import CameraLost, CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.stream import StreamCamera

pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


def test_pictures_come_at_their_rate_with_their_times(server: Server) -> None:
    camera = StreamCamera("top", server.url(), "grey", read_seconds=5)
    frames = [camera.grab(5) for _ in range(50)]
    camera.close()
    whole = [frame for frame in frames if frame is not None and frame.image is not None]
    assert len(whole) >= 45
    assert all(frame.image is not None and frame.image.shape == (240, 320) for frame in whole)
    assert whole[0].image is not None
    assert whole[-1].image is not None
    assert (whole[0].image != whole[-1].image).any()
    steps = np.diff([frame.exposed for frame in whole])
    assert np.median(steps) == pytest.approx(0.04, abs=0.02)
    assert all(0 <= frame.travel_ms < 5000 for frame in whole)
    assert camera.facts["size"] == "320 x 240"


def test_a_server_that_is_killed_is_a_lost_camera_at_once(server: Server) -> None:
    camera = StreamCamera("top", server.url(), "rgb", read_seconds=3)
    first = camera.grab(5)
    assert first is not None
    assert first.image is None or first.image.shape == (240, 320, 3)
    server.send(signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(CameraLost, match=r"of the camera top (has ended|fell silent)"):  # noqa: PT012
        while True:
            camera.grab(1)
    assert time.monotonic() - started < 4
    camera.close()
    server.start()
    again = StreamCamera("top", server.url(), "grey")
    assert again.grab(5) is not None
    again.close()


def test_a_server_that_hangs_is_a_lost_camera_within_its_time(server: Server) -> None:
    camera = StreamCamera("top", server.url(), "grey", read_seconds=1.5)
    assert camera.grab(5) is not None
    server.send(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(CameraLost, match="fell silent"):  # noqa: PT012
        while True:
            camera.grab(1)
    assert 1 < time.monotonic() - started < 8
    camera.close()


def test_what_cannot_be_opened_is_one_sentence_without_the_password(server: Server) -> None:
    with pytest.raises(CameraMisconfigured, match="is not known there .404.") as raised:
        StreamCamera("top", server.url("user:s3cret@", "nowhere"), "grey")
    assert "s3cret" not in str(raised.value)
    server.stop()
    with pytest.raises(CameraUnavailable, match="cannot be opened .connection refused.") as refused:
        StreamCamera("top", server.url("user:s3cret@"), "grey")
    assert "s3cret" not in str(refused.value)


def test_a_wrong_password_is_no_matter_of_waiting(server: Server) -> None:
    server.stop()
    guarded = Server("inspector", "s3cret")
    guarded.start()
    try:
        camera = StreamCamera("top", guarded.url("inspector:s3cret@"), "grey")
        assert camera.grab(5) is not None
        camera.close()
        with pytest.raises(CameraMisconfigured, match="refuses the user name or password") as raised:
            StreamCamera("top", guarded.url("inspector:wr0ng@"), "grey")
        assert "wr0ng" not in str(raised.value)
    finally:
        guarded.stop()


@pytest.mark.parametrize("password", ["a/b", "a#b?c", "a[b", "a]@b", "100%41 é:"])
def test_any_password_lets_in_and_none_is_shown(server: Server, password: str) -> None:
    server.stop()
    guarded = Server("inspector", password)
    guarded.start()
    try:
        camera = StreamCamera("top", guarded.url(f"inspector:{quote(password, safe='')}@"), "grey")
        assert camera.facts["source"] == guarded.url()
        assert camera.grab(5) is not None
        camera.close()
        for written in (password + "x", quote(password + "x", safe="")):
            # a raw / ends the host for FFmpeg, so that it never comes to asking for the path
            with pytest.raises((CameraMisconfigured, CameraUnavailable), match=re.escape(guarded.url())):
                StreamCamera("top", guarded.url(f"inspector:{written}@"), "grey", open_seconds=2)
    finally:
        guarded.stop()


def test_a_camera_that_answers_slowly_takes_no_longer_than_it_may() -> None:
    """Each answer comes in time, and all together do not; FFmpeg allows opening twice its time."""
    description = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/9\r\n"
    answers = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(description)}\r\n\r\n{description}",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
        "PLAY": "Session: 1\r\n\r\n",
    }

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, contextlib.suppress(OSError):
            while asked := client.recv(4096).decode():
                time.sleep(0.2)
                number = re.search(r"CSeq: (\d+)", asked)
                assert number is not None
                client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\n{answers.get(asked.split()[0], '')}".encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        started = time.monotonic()
        with pytest.raises(CameraUnavailable, match=r"of the camera top was not open within 1.5 s"):
            StreamCamera("top", f"rtsp://127.0.0.1:{listening.getsockname()[1]}/x", "grey", open_seconds=1.5)
        assert time.monotonic() - started < 2.2
