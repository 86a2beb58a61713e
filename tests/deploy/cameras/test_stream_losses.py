"""No picture that differs from what the camera sent is handed on, and none is missing without a word."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rtsp_loss import lossy
from rtsp_server import serving
from temper.deploy.cameras.base import CameraLost
from temper.deploy.cameras.pyav import PacketCamera
from temper.deploy.cameras.stream import StreamCamera
from temper.deploy.frames import Cause, Frame

av = pytest.importorskip("av", reason="PyAV is not installed")


def grab(url: str, count: int, into: list[Frame], warm: threading.Event) -> None:
    camera = StreamCamera("top", url, "grey")
    while len(into) < count:
        if len(into) == 10:
            warm.set()
        frame = camera.grab(5)
        assert frame is not None
        into.append(frame)
    camera.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_packets_lost_on_the_way(seed: int) -> None:
    chance = random.Random(seed)
    dropped: list[int] = []
    warm = threading.Event()

    def drop(number: int) -> bool:
        if warm.is_set() and chance.random() < 0.015:
            dropped.append(number)
            return True
        return False

    sent: list[Frame] = []
    came: list[Frame] = []
    with serving() as server, lossy(server.port, drop) as port:
        # the same stream without losses, to the end of the other one and beyond
        thread = threading.Thread(target=grab, args=(server.url(), 200, sent, threading.Event()), daemon=True)
        thread.start()
        grab(f"rtsp://127.0.0.1:{port}/line", 160, came, warm)
        thread.join(20)
    assert len(dropped) > 1
    assert all(frame.cause is None for frame in sent)
    true = {frame.image.tobytes() for frame in sent if frame.image is not None}
    believed = [frame for frame in came if frame.image is not None]
    assert len(believed) > 20
    assert [frame.source for frame in believed if frame.image is not None and frame.image.tobytes() not in true] == []
    assert {frame.cause for frame in came if frame.cause is not None} == {Cause.LOST}
    # one frame for each picture that was sent, those that never came included
    steps = np.diff([frame.exposed for frame in came])
    assert steps.max() < 0.06
    assert len(came) == pytest.approx(1 + (came[-1].exposed - came[0].exposed) / 0.04, abs=1.5)


COUNT, GROUP = 60, 20


def scene(number: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(60, 180, (96, 128 + 3 * COUNT), np.uint8)
    return noise[:, 3 * number : 3 * number + 128]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {"tune": "zerolatency", "g": str(GROUP), "sc_threshold": "0", "crf": "10"}
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number), format="gray")))
        container.mux(stream.encode())
    return path


class Damaged:
    """A video some of whose packets are cut in two or left out."""

    def __init__(self, path: Path, cut: set[int], out: set[int]) -> None:
        self._container, self._cut, self._out = av.open(str(path)), cut, out
        self.streams = self._container.streams

    def demux(self, stream: Any) -> Iterator[Any]:
        for number, packet in enumerate(self._container.demux(stream)):
            if number in self._cut:
                half = av.Packet(bytes(packet)[: packet.size // 2])
                half.pts, half.dts, half.time_base, half.stream = packet.pts, packet.dts, packet.time_base, stream
                packet = half
            if number not in self._out:
                yield packet

    def close(self) -> None:
        self._container.close()


@pytest.mark.parametrize(
    ("cut", "out", "not_believed"),
    [
        (set(), set(), set()),
        ({20}, set(), set(range(20, 40))),
        ({27}, set(), set(range(27, 40))),
        (set(), {27, 28}, set(range(27, 40))),
        (set(), {40}, set(range(40, 60))),
        ({45}, {23}, {*range(23, 40), *range(45, 60)}),
    ],
)
def test_damaged_and_missing_packets_of_a_video(
    video: Path, cut: set[int], out: set[int], not_believed: set[int]
) -> None:
    camera = PacketCamera("top", "a.mkv", Damaged(video, cut, out), "grey")
    frames: list[Frame] = []
    with pytest.raises(CameraLost, match="has ended"):  # noqa: PT012
        while True:
            frame = camera.grab(1)
            assert frame is not None
            frames.append(frame)
    camera.close()
    assert len(frames) == COUNT
    assert {number for number, frame in enumerate(frames) if frame.cause is not None} == not_believed
    for number, frame in enumerate(frames):
        assert (frame.image is None) == (frame.cause is not None)
        if frame.image is not None:
            assert np.abs(frame.image.astype(int) - scene(number)).mean() < 4
    assert [frame.cause for number, frame in enumerate(frames) if number in cut] == [Cause.ERROR] * len(cut)
    assert [frame.cause for number, frame in enumerate(frames) if number in out] == [Cause.LOST] * len(out)
