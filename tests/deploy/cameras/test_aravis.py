"""GigE Vision cameras through Aravis, over the real protocol, against a camera that counts what it sends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gige import Camera, counting_camera
from gige_connections import SMALL, grabbed, opened, written_in
from temper.deploy.cameras.aravis import AravisCamera
from temper.deploy.cameras.base import CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.introspection import aravis


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    with counting_camera(tmp_path_factory.mktemp("camera"), "--size", "2048x1024") as made:
        yield made


def test_every_frame_comes_once_and_in_order(camera: Camera) -> None:
    with opened(camera, region=(0, 0, 2048, 1024), frame_rate=25.0) as connection:
        started = time.monotonic()
        frames = grabbed(connection, 50)
        seconds = time.monotonic() - started
        assert connection.statistics["n_missing_packets"] == 0
    first = frames[0].frame_id
    assert first is not None
    assert [frame.frame_id for frame in frames] == list(range(first, first + 50))
    assert all(frame.cause is None for frame in frames)
    # the picture is the one of its id, not the next one written into the same buffer
    assert [written_in(frame) for frame in frames] == [(first + n - 1) % 65_535 + 1 for n in range(50)]
    assert {frame.image.shape for frame in frames if frame.image is not None} == {(1024, 2048)}
    assert {written_in(frame) for frame in frames} <= {sent.frame_id for sent in camera.sent}
    assert 1.5 < seconds < 6


def test_times_are_those_of_the_exposure(camera: Camera) -> None:
    with opened(camera, frame_rate=25.0) as connection:
        frames = grabbed(connection, 25)
    exposed = np.array([frame.exposed for frame in frames])
    assert np.diff(exposed).min() > 0
    assert np.median(np.diff(exposed)) == pytest.approx(0.040, rel=0.1)
    assert all(frame.travel_ms >= 0 for frame in frames)
    assert min(frame.travel_ms for frame in frames[-5:]) < 100
    sent = {one.frame_id: one.time for one in camera.sent}
    # what every frame takes at least is not seen, and a busy machine takes its time
    assert abs(frames[-1].exposed - sent[written_in(frames[-1])]) < 1


def test_ids_go_on_where_sixteen_bits_end(camera: Camera) -> None:
    # Aravis's camera begins at 65401, and the tests before have not taken it over the end
    with opened(camera, region=(0, 0, 64, 64), frame_rate=400.0) as connection:
        assert connection.wrap == 65_535
        frames = grabbed(connection, 300)
    ids = [frame.frame_id for frame in frames]
    assert ids[0] is not None
    assert ids == list(range(ids[0], ids[0] + 300))
    assert ids[0] < 65_535 < ids[0] + 299
    assert all(
        frame.image is None or written_in(frame) == (ids[0] + n - 1) % 65_535 + 1 for n, frame in enumerate(frames)
    )


class Counting:
    """The device of a camera with an encoder of 1000 counts a second."""

    def __init__(self, device: Any) -> None:
        self._real = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_integer_feature_value(self, _name: str) -> int:
        return int(1000 * time.monotonic())


def test_frames_that_waited_have_the_encoders_count_of_their_exposure(camera: Camera) -> None:
    with opened(camera, encoder_feature="Width", frame_rate=25.0) as connection:
        connection._device = Counting(connection._device)
        assert connection._count is not None
        grabbed(connection, 5)
        time.sleep(0.4)  # whoever takes the frames is busy, and ten of them wait
        frames = grabbed(connection, 12)
    counts = [frame.encoder for frame in frames if frame.encoder is not None]
    assert len(counts) == 12
    moments = [1000 * (frame.arrived - frame.travel_ms / 1000) for frame in frames]
    off = [count - moment for count, moment in zip(counts, moments, strict=True)]
    assert max(abs(one - off[0]) for one in off) < 5


def test_a_count_that_comes_with_the_frames(camera: Camera) -> None:
    Aravis, _ = aravis()

    class Parser:  # Aravis's camera has no chunk data
        assert hasattr(Aravis.ChunkParser, "get_integer_value")

        def get_integer_value(self, buffer: Any, chunk: str) -> int:
            assert chunk == "ChunkEncoderValue"
            return int(buffer.get_frame_id()) * 10

    with opened(camera, frame_rate=25.0) as connection:
        connection._settings = replace(connection._settings, encoder_chunk="ChunkEncoderValue")
        connection._chunks = Parser()
        frames = grabbed(connection, 5)
    assert all(frame.image is not None and frame.encoder == written_in(frame) * 10 for frame in frames)


def test_facts_and_settings(camera: Camera) -> None:
    with opened(camera, exposure_us=5000.0, gain=4.0, features={"TestBoolean": True}) as connection:
        assert connection.facts == {
            "vendor": "Aravis",
            "model": "Fake",
            "serial": camera.serial,
            "pixel_format": "Mono8",
            "size": "640 x 480",
            "packet_bytes": "8996",
        }
        device = connection._device
        assert device.get_float_feature_value("ExposureTimeAbs") == 5000
        assert device.get_integer_feature_value("GainRaw") == 4
        assert device.get_boolean_feature_value("TestBoolean") is True


@pytest.mark.parametrize("pixel_format", ["Mono8", "Mono16", "RGB8", "BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_pixel_formats_show_the_same_scene(camera: Camera, pixel_format: str) -> None:
    with opened(camera, pixel_format=pixel_format) as connection:
        frame = grabbed(connection, 1)[0]
    assert frame.image is not None and frame.image.shape == (480, 640)
    # a sensor's noise of 4 levels around 120, but for the id in the corner and the squares that some pictures have
    middle = frame.image[200:280, 200:440]
    assert abs(float(middle.mean()) - 120) < 1 and float(middle.std()) < 5


def test_a_region_is_cut_out_of_the_sensor(camera: Camera) -> None:
    with opened(camera, region=(128, 64, 320, 200)) as connection:
        assert connection.facts["size"] == "320 x 200"
        assert {frame.image.shape for frame in grabbed(connection, 3) if frame.image is not None} == {(200, 320)}


def test_software_trigger(camera: Camera) -> None:
    with opened(camera, trigger="software", frame_rate=None) as connection:
        assert connection.grab(0.3) is None
        for _ in range(3):
            connection.trigger()
            assert grabbed(connection, 1)[0].cause is None
        assert connection.grab(0.3) is None


def test_a_software_trigger_given_at_a_rate(camera: Camera) -> None:
    with opened(camera, trigger="software", frame_rate=None, trigger_hz=20.0) as connection:
        started = time.monotonic()
        frames = grabbed(connection, 10)
        seconds = time.monotonic() - started
    assert all(frame.cause is None for frame in frames)
    assert 0.4 < seconds < 3


@pytest.mark.parametrize("trigger", ["hardware", "encoder"])
def test_a_trigger_by_an_input(camera: Camera, trigger: str) -> None:
    with opened(camera, trigger=trigger, trigger_source="Line0", frame_rate=None) as connection:
        device = connection._device
        assert device.get_string_feature_value("TriggerMode") == "On"
        assert device.get_string_feature_value("TriggerSource") == "Line0"
        # nothing pulls that line
        assert connection.grab(0.3) is None


def test_a_free_running_camera_after_a_triggered_one(camera: Camera) -> None:
    with opened(camera, trigger="software", frame_rate=None):
        pass
    with opened(camera) as connection:
        assert grabbed(connection, 2)[1].cause is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_format": "Mono9"}, "The camera top has no pixel format Mono9. Did you mean 'Mono8'?"),
        ({"pixel_format": "YUV422"}, "has no pixel format YUV422"),
        ({"region": (0, 0, 4096, 480)}, r"has 2048 x 1024 pixels; region \[0, 0, 4096, 480\]"),
        ({"exposure_us": 1e9}, "takes exposure_us from .*1e\\+09 was given"),
        ({"frame_rate": 1e6}, "takes frame_rate from 0.1 to 1000; 1e\\+06 was given"),
        ({"gain": -1.0}, "takes gain from 0 to 10; -1 was given"),
        ({"packet_bytes": 70_000}, "takes no packet_bytes 70000; the nearest it takes is 4464"),
        ({"trigger": "encoder", "trigger_source": "Line9"}, "has no trigger source Line9. Did you mean 'Line0'?"),
        ({"trigger": "hardware"}, "has trigger hardware, and no trigger_source"),
        ({"features": {"ExposureTimAbs": 10}}, "has no feature ExposureTimAbs. Did you mean 'ExposureTimeAbs'?"),
        ({"features": {"Zzz": 10}}, r"has no feature Zzz. It has \d+ others"),
        ({"encoder_chunk": "ChunkEncoderValue"}, "sends no chunk data, so it has no encoder_chunk ChunkEncoderValue"),
        ({"features": {"TestBoolean": "yes"}}, "takes true or false for TestBoolean; it was given 'yes'"),
        ({"features": {"Width": "wide"}}, "takes a whole number for Width; it was given 'wide'"),
        ({"features": {"PixelFormat": "Mono99"}}, "refuses PixelFormat Mono99"),
    ],
)
def test_what_the_camera_does_not_have_is_told(camera: Camera, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraMisconfigured, match=message):
        AravisCamera("top", camera.id, replace(SMALL, **changes), "grey")
    # and it is free for the next one
    with opened(camera) as connection:
        grabbed(connection, 1)


def test_a_camera_in_use_by_another_program(camera: Camera) -> None:
    code = (
        "import sys; from temper.deploy.cameras.aravis import *; c = AravisCamera('other', sys.argv[1], "
        "GenicamSettings(), 'grey'); print('held', flush=True); sys.stdin.read(); c.close()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, camera.id], stdin=pipe, stdout=pipe, text=True) as other:
        try:
            assert other.stdout is not None and other.stdin is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(CameraUnavailable, match="held by another program. Close that one"):
                AravisCamera("top", camera.id, SMALL, "grey")
            other.stdin.close()
            assert other.wait(10) == 0
        finally:
            other.kill()
    with opened(camera) as connection:
        assert grabbed(connection, 1)[0].cause is None


def test_no_such_camera(camera: Camera) -> None:
    with pytest.raises(
        CameraUnavailable, match="The camera top .Aravis-Fake-NONE. cannot be opened|There is no camera"
    ):
        AravisCamera("top", "Aravis-Fake-NONE", SMALL, "grey")


def test_it_may_be_closed_twice_and_tells_facts_still(camera: Camera) -> None:
    with opened(camera) as connection:
        grabbed(connection, 1)
        connection.close()
        assert connection.facts["serial"] == camera.serial
        assert connection.statistics == {}
