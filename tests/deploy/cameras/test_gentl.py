"""GenTL producers through harvesters, against the toy producer that the genicam package ships."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from temper.core.errors import MissingDependencyError
from temper.deploy.cameras.base import CameraLost, CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.discovery import find_cameras
from temper.deploy.cameras.genicam import GenicamSettings
from temper.deploy.cameras.gentl import GentlCamera
from temper.deploy.frames import Frame

genicam = pytest.importorskip("genicam", reason="harvesters is not installed (pip install '.[cameras]')")
pytest.importorskip("harvesters")
PRODUCER = Path(genicam.__file__).parent / "viky.cti"
pytestmark = pytest.mark.skipif(not PRODUCER.is_file(), reason="the genicam package ships no viky.cti here")
ANY = GenicamSettings()


@pytest.fixture
def camera() -> Iterator[GentlCamera]:
    made = GentlCamera("top", PRODUCER, None, ANY, "grey")
    yield made
    made.close()


def grabbed(connection: GentlCamera, count: int) -> list[Frame]:
    frames = [connection.grab(5) for _ in range(count)]
    assert None not in frames
    return [frame for frame in frames if frame is not None]


def test_frames_come_in_order(camera: GentlCamera) -> None:
    assert camera.facts == {"vendor": "Machine Vision Games Ltd.", "model": "Viky", "serial": "0"}
    frames = grabbed(camera, 10)
    first = frames[0].frame_id
    assert first is not None
    assert [frame.frame_id for frame in frames] == list(range(first, first + 10))
    assert all(frame.image is not None and frame.image.shape == (400, 400) for frame in frames)
    # a picture that was handed out does not change when its buffer is used again
    kept = [frame.image.copy() for frame in frames if frame.image is not None]
    grabbed(camera, 20)
    assert all((frame.image == copy).all() for frame, copy in zip(frames, kept, strict=True))


def test_a_region_and_colours() -> None:
    camera = GentlCamera("top", PRODUCER, "VikyTL_DEV_blue", GenicamSettings(region=(0, 0, 200, 100)), "rgb")
    try:
        frame = grabbed(camera, 1)[0]
    finally:
        camera.close()
    assert frame.image is not None and frame.image.shape == (100, 200, 3)
    assert camera.facts["serial"] == "2"


def test_two_cameras_of_one_producer(camera: GentlCamera) -> None:
    other = GentlCamera("bottom", PRODUCER, "1", ANY, "grey")
    try:
        assert grabbed(camera, 1)[0].camera == "top"
        assert grabbed(other, 1)[0].camera == "bottom"
        with pytest.raises(CameraUnavailable, match="The camera third .* cannot be opened .*in use"):
            GentlCamera("third", PRODUCER, "1", ANY, "grey")
    finally:
        other.close()
    assert grabbed(camera, 1)[0].image is not None


def test_an_encoder_is_asked_with_each_frame() -> None:
    camera = GentlCamera("top", PRODUCER, None, GenicamSettings(encoder_feature="Width"), "grey")
    try:
        grabbed(camera, 2)
        assert [frame.encoder for frame in grabbed(camera, 3)] == [400] * 3
        # this producer stamps nothing, so of frames that lay ready nobody knows when they were exposed
        time.sleep(0.3)
        assert camera.grab(1).encoder is None  # type: ignore[union-attr]
    finally:
        camera.close()


def test_a_count_that_comes_with_the_frames() -> None:
    settings = GenicamSettings(encoder_chunk="ChunkNrBounces")
    camera = GentlCamera("top", PRODUCER, None, settings, "grey")
    try:
        counts = [frame.encoder for frame in grabbed(camera, 5)]
    finally:
        camera.close()
    known = [count for count in counts if count is not None]
    assert len(known) == 5
    assert known == sorted(known)


def test_frames_that_bring_no_count_end_the_connection() -> None:
    settings = GenicamSettings(encoder_chunk="ChunkNrBounces", features={"ChunkModeActive": False})
    camera = GentlCamera("top", PRODUCER, None, settings, "grey")
    try:
        with pytest.raises(CameraLost, match="The camera top sent no encoder count with a frame"):
            camera.grab(5)
    finally:
        camera.close()


def test_it_is_free_after_closing(camera: GentlCamera) -> None:
    camera.close()
    camera.close()
    again = GentlCamera("top", PRODUCER, None, ANY, "grey")
    try:
        assert grabbed(again, 1)[0].image is not None
    finally:
        again.close()


def test_no_such_camera() -> None:
    with pytest.raises(CameraUnavailable, match="There is no camera X for top; viky.cti has: VikyTL_DEV_red"):
        GentlCamera("top", PRODUCER, "X", ANY, "grey")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (GenicamSettings(features={"Widht": 10}), "has no feature Widht. Did you mean 'Width'?"),
        (GenicamSettings(features={"Width": "wide"}), "refuses Width wide: .*cannot convert string"),
        (GenicamSettings(region=(8, 0, 100, 100)), "has no feature OffsetX"),
        (GenicamSettings(encoder_chunk="ChunkEncoderValue"), "refuses ChunkSelector EncoderValue"),
        (GenicamSettings(pixel_format="Mono99"), "refuses PixelFormat Mono99"),
    ],
)
def test_what_the_camera_does_not_have_is_told(settings: GenicamSettings, message: str) -> None:
    with pytest.raises(CameraMisconfigured, match=message):
        GentlCamera("top", PRODUCER, None, settings, "grey")


def test_no_such_producer(tmp_path: Path) -> None:
    with pytest.raises(CameraMisconfigured, match="There is no GenTL producer .*absent.cti for the camera top"):
        GentlCamera("top", tmp_path / "absent.cti", None, ANY, "grey")
    broken = tmp_path / "broken.cti"
    broken.write_text("no library")
    with pytest.raises(CameraMisconfigured, match="The GenTL producer .*broken.cti cannot be loaded"):
        GentlCamera("top", broken, None, ANY, "grey")


def test_without_harvesters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "harvesters.core", None)
    with pytest.raises(MissingDependencyError, match=r"GenTL cameras need harvesters, .* pip install '\.\[cameras\]'"):
        GentlCamera("top", PRODUCER, None, ANY, "grey")


def test_they_are_found(camera: GentlCamera) -> None:
    found = [one for one in find_cameras([PRODUCER]).cameras if one.protocol == "GenTL"]
    assert [(one.id, one.serial) for one in found] == [
        ("VikyTL_DEV_red", "0"),
        ("VikyTL_DEV_green", "1"),
        ("VikyTL_DEV_blue", "2"),
    ]
    assert grabbed(camera, 1)[0].image is not None
