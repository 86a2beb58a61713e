"""line.yml: what is written is what is meant; a mistake is one sentence with its line and the nearest right word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from temper.core.errors import UsageError
from temper.deploy.line.config import LineConfig, read_line
from temper.deploy.line.config_cameras import AravisCamera, FolderCamera, StreamCamera
from temper.deploy.line.template import KINDS, line_template

PLAIN = """\
line: hot-1
cameras:
  - name: top
    type: aravis
    address: 10.0.0.5
    mm_per_pixel: {across: 0.2, along: 0.3}
  - name: drop
    type: folder
    path: incoming
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line.yml"
    path.write_text(PLAIN)
    return path


def test_fields_have_defaults_and_cameras_their_kinds(file: Path) -> None:
    config = read_line(file)
    top, drop = config.cameras
    assert isinstance(top, AravisCamera)
    assert isinstance(drop, FolderCamera)
    assert top.scale == (0.2, 0.3)
    assert drop.scale is None
    assert config.overload.policy == "drop-oldest"
    assert config.metrics is not None
    assert config.metrics.address == "127.0.0.1", "nothing listens beyond loopback unless told to"
    assert LineConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("kind", KINDS)
def test_what_init_writes_can_be_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    path.write_text(line_template("line-1", kind, str(path)))
    assert read_line(path, environment={"CAMERA_PASSWORD": "secret"}).cameras[0].type == kind


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("overload.quee=3", "there is no field 'quee' in 'overload'. Did you mean 'queue'?"),
        ("overload.policy=drop", "overload.policy is 'drop'; it takes drop-oldest, drop-newest or block."),
        ("cameras=[]", "cameras is []; it takes a list of one or more"),
        ("cameras=[{name: a, type: aravi}]", "cameras.0.type is 'aravi'; it takes aravis, gentl, stream"),
        (
            "cameras=[{name: a, type: stream, url: 'rtsp://x', gain: 3}]",
            "which is a stream. It belongs to aravis or gentl.",
        ),
        ("cameras=[{name: a/b, type: v4l2}]", "cameras.0.name is 'a/b'"),
        ("cameras=[{name: a, type: v4l2}, {name: a, type: v4l2}]", "a stands there twice"),
        ("strip.by=speed", "'by: speed' needs metres_per_second"),
        ("tiles={size: 100, overlap: 80}", "overlap must be at most half of size"),
        (
            "tiles.size=[3]",
            "tiles.size is [3]; it takes a whole number from 16 to 16384, a list of two (width, height)",
        ),
        ("judging.smallest_mm=5", "judging has sizes in mm, so each camera needs mm_per_pixel"),
        ("judging.severity={crazing: big}", "judging.severity.crazing is 'big'; it takes minor, major or critical"),
        (
            "judging.severity={crazing: {minor: 20, major: 50}}",
            "it takes minor, major or critical, or a section with major and critical, ascending",
        ),
        ("judging.severity={crazing: {major: 50, critical: 20}}", "a section with major and critical, ascending"),
        ("judging.ignore=[{camera: top}]", "a zone has either camera and points, or across_mm"),
        ("metrics.port=99999", "metrics.port is 99999; it takes a whole number from 1 to 65535"),
        ("supervision.hang_seconds=0", "supervision.hang_seconds is 0; it takes a number from 1 to 3600"),
        ("cameras=[{name: a, type: stream, url: strip.mp4}]", "a stream's address begins with rtsp:// or rtsps://"),
        ("strip={by: speed, metres_per_second: 3}", "so the camera drop needs mm_per_pixel"),
        (
            "cameras=[{name: a, type: stream, url: 'rtsp://x', read_seconds: 30}]",
            "the camera a may take 30 s to answer, and supervision.hang_seconds (10) must be longer",
        ),
        ("mqtt.topic=plant/#", "mqtt.topic is 'plant/#'; messages go to one topic, so there is no + or # in it"),
        ("mqtt.topic=+/plant", "mqtt.topic is '+/plant'; messages go to one topic, so there is no + or # in it"),
        (
            "mqtt={host: 10.0.0.9, password_file: p}",
            "mqtt: the broker is beyond this machine, and its",
        ),
        (
            "cameras=[{name: a, type: v4l2, line_scan: {height: 64, overlap: 64}}]",
            "overlap (64) must be at most half of height (64)",
        ),
        (
            "cameras=[{name: a, type: v4l2, line_scan: {height: 64}}]",
            "overlap (64) must be at most half of height (64)",
        ),
        (
            "cameras=[{name: a, type: aravis, mm_per_pixel: 1, line_scan: {}}]\nstrip={by: frame, metres_per_frame: 1}",
            "so 'by: frame' does not place them: set 'by: encoder' and metres_per_count, the strip's way in a line",
        ),
        (
            "strip={by: encoder, metres_per_count: 1, encoder_feature: A, encoder_chunk: ChunkB}",
            "encoder_feature and encoder_chunk are two ways to one count; give one of them",
        ),
        ("bundle=${NOWHERE}", "the environment variable NOWHERE is not set"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(file: Path, change: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as raised:
        read_line(file, change.splitlines(), environment={})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "cameras=[{name: a, type: stream, url: 'rtp://u:s3cret@h'}]",
            "cameras.0.url is 'rtp://h'; a stream's",
        ),
        ("cameras=[{name: a, type: stream, url: 'rtsp://u:s3cret/x@h'}]", "is 'rtsp://h'; that has no host, or a port"),
        ("cameras=[{name: a, type: stream, url: 'rtsp://u:s3cret'}]", "is 'rtsp://u'; that has no host, or a port"),
        ("cameras=[{name: a, type: stream, url: 'u:s3cret@h'}]", "is 'h'; a stream's address begins with rtsp://"),
        ("cameras=[{name: a, type: stream, url: ['rtsp://u:s3cret@h']}]", "cameras.0.url is a list; it takes a text"),
        ("plant.url=postgresql://u:${NOWHERE}s3cret@h/d", "plant.url is 'postgresql://h/d', and the environment"),
        ("plant.uri=postgresql://u:s3cret", "--set plant.uri=***: there is no field 'uri' in 'plant'"),
        ("mqtt.host=mqtt://u:s3cret@h", "mqtt.host is 'mqtt://h'; a host is a name or an address alone"),
        ("mqtt.host=u:s3cret@h", "mqtt.host is 'h'; a host is a name or an address alone"),
    ],
)
def test_a_mistake_is_told_without_the_password(file: Path, change: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as raised:
        read_line(file, [change], environment={"CAMERA_PASSWORD": "s3cret"})
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("password", ["a/s3cret", "s3cret#", "?s3cret", "s3cret[@/", "s3cret @/", "s3cret" * 20 + "/"])
def test_a_password_of_a_variable_is_never_told(file: Path, password: str) -> None:
    file.write_text("line: a\ncameras:\n  - name: b\n    type: stream\n    url: rtsp://u:${CAMERA_PASSWORD}@host/x\n")
    with pytest.raises(UsageError, match=r"url is 'rtsp://host/x'; that has no host, .*write @ as %40, / as") as raised:
        read_line(file, environment={"CAMERA_PASSWORD": password})
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ValueError, match="begins with rtsp://") as as_the_log_shows_it:
        StreamCamera(name="b", type="stream", url=password)
    assert "s3cret" not in str(as_the_log_shows_it.value)


def test_a_raw_bracket_or_at_in_a_password_is_none_of_the_host(file: Path) -> None:
    file.write_text(
        "line: a\ncameras:\n  - name: b\n    type: stream\n    url: rtsp://u:${CAMERA_PASSWORD}@[::1]:554/x\n"
    )
    camera = read_line(file, environment={"CAMERA_PASSWORD": "a[b@c]d"}).cameras[0]
    assert isinstance(camera, StreamCamera)
    assert camera.url == "rtsp://u:a[b@c]d@[::1]:554/x"


@pytest.mark.parametrize("more", ["tls: true", "allow_plain: true", "host: localhost", "host: 127.0.0.9"])
def test_a_password_may_go_where_nobody_listens(file: Path, more: str) -> None:
    config = read_line(file, [f"mqtt={{password_file: p, {more}{'' if 'host' in more else ', host: plant'}}}"])
    assert config.mqtt is not None


def test_a_mistake_in_the_file_is_told_with_its_line(file: Path) -> None:
    file.write_text(PLAIN.replace("address", "adress"))
    with pytest.raises(UsageError, match=r"line.yml, line 5: there is no field 'adress' in 'cameras.0'"):
        read_line(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no line configuration .*'temper deploy init' writes one"):
        read_line(tmp_path / "line.yml")


def test_secrets_come_from_the_environment(file: Path) -> None:
    file.write_text("line: a\ncameras:\n  - name: b\n    type: stream\n    url: rtsp://u:${CAMERA_PASSWORD}@host/x\n")
    camera = read_line(file, environment={"CAMERA_PASSWORD": "s3cret"}).cameras[0]
    assert isinstance(camera, StreamCamera)
    assert camera.url == "rtsp://u:s3cret@host/x"
    with pytest.raises(
        UsageError, match=r"line 5: cameras.0.url is .* the environment variable CAMERA_PASSWORD is not set"
    ):
        read_line(file, environment={})
