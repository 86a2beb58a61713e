"""Cameras that answer are found, and whether another program holds them."""

from __future__ import annotations

import json
import socket
import struct
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from gige import counting_camera
from gige_connections import opened
from temper.commands.deploy_line import cameras
from temper.core.errors import MissingDependencyError
from temper.deploy.cameras import discovery
from temper.deploy.cameras.discovery import PRODUCERS_VARIABLE, find_cameras, gige_in_use, installed_producers


def test_a_gige_camera_is_found_and_told_in_use(tmp_path: Path) -> None:
    with counting_camera(tmp_path) as camera:
        found = [one for one in find_cameras([]).cameras if one.id == camera.id]
        assert [(one.vendor, one.model, one.serial, one.protocol) for one in found] == [
            ("Aravis", "Fake", camera.serial, "GigEVision")
        ]
        assert found[0].in_use is False
        with opened(camera):
            assert gige_in_use(found[0].address) is True
            listed = CliRunner().invoke(cameras, [])
            assert f"{camera.id}  Aravis Fake serial {camera.serial}  GigEVision" in listed.output
            assert "in use" in listed.output
        assert gige_in_use(found[0].address) is False
        listed = CliRunner().invoke(cameras, ["--json"])
        mine = [one for one in json.loads(listed.stdout) if one["id"] == camera.id]
        assert mine and mine[0]["in_use"] is False


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (struct.pack(">HHHHI", 0, 0x81, 4, 1, 0), False),
        (struct.pack(">HHHHI", 0, 0x81, 4, 1, 2), True),
        (struct.pack(">HHHHI", 0, 0x81, 4, 1, 1), True),
        (struct.pack(">HHHH", 0x8006, 0x81, 0, 1), True),
        (struct.pack(">HHHH", 0x8003, 0x81, 0, 1), None),
        (b"\0\0", None),
        (struct.pack(">HHHH", 0, 0x81, 0, 1), None),
    ],
)
def test_what_a_camera_may_answer(monkeypatch: pytest.MonkeyPatch, answer: bytes, told: bool | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stand_in:
        stand_in.bind(("127.0.0.1", 0))
        stand_in.settimeout(5)
        monkeypatch.setattr(discovery, "_CONTROL_PORT", stand_in.getsockname()[1])

        def serve() -> None:
            request, asker = stand_in.recvfrom(64)
            assert request == bytes.fromhex("4201008000040001 00000a00")
            stand_in.sendto(answer, asker)

        thread = threading.Thread(target=serve)
        thread.start()
        assert gige_in_use("127.0.0.1", 5) is told
        thread.join()


def test_producers_are_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.cti", "a.cti", "c.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv(PRODUCERS_VARIABLE, f"{tmp_path}:{tmp_path / 'absent'}:")
    assert [path.name for path in installed_producers()] == ["a.cti", "b.cti"]
    monkeypatch.delenv(PRODUCERS_VARIABLE)
    assert installed_producers() == []


def test_what_cannot_be_searched_is_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingDependencyError("Aravis is not there.")

    monkeypatch.setattr(discovery, "aravis", missing)
    pytest.importorskip("harvesters")
    broken = tmp_path / "broken.cti"
    broken.write_text("no library")
    remarks = find_cameras([broken]).remarks
    assert remarks[0] == "Aravis is not there."
    assert "broken.cti cannot be loaded" in remarks[1]


def test_devices_of_video4linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video0").mkdir()
    (tmp_path / "video0" / "name").write_text("USB camera\n")
    (tmp_path / "video1").mkdir()
    monkeypatch.setattr(discovery, "_VIDEO_DEVICES", tmp_path)
    found = discovery.find_video4linux()
    assert [(one.id, one.model, one.protocol, one.in_use) for one in found] == [
        ("/dev/video0", "USB camera", "Video4Linux", None),
        ("/dev/video1", "", "Video4Linux", None),
    ]
