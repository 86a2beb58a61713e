from __future__ import annotations

from pathlib import Path

import pytest
from temper.core.errors import TemperError
from temper.deploy.cameras.base import CameraMisconfigured, CameraUnavailable
from temper.deploy.cameras.v4l2 import V4l2Camera

pytest.importorskip("av", reason="V4L2 is read by PyAV")


@pytest.mark.parametrize(
    ("device", "kind", "message"),
    [
        ("/dev/video-none", CameraUnavailable, "There is no /dev/video-none for the camera top. Is it plugged in?"),
        ("/dev/null", CameraMisconfigured, "/dev/null of the camera top cannot be opened with video_size 640x480"),
        ("{tmp}/a.txt", CameraMisconfigured, "a.txt of the camera top is no device. It is one like /dev/video0."),
    ],
)
def test_what_is_no_camera_is_told_in_a_sentence(
    tmp_path: Path, device: str, kind: type[TemperError], message: str
) -> None:
    (tmp_path / "a.txt").write_text("no camera")
    with pytest.raises(kind) as told:
        V4l2Camera("top", device.format(tmp=tmp_path), "grey", (640, 480))
    assert message in str(told.value)
    assert "\n" not in str(told.value)
